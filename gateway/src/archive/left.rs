//! What is left of a journal: the segments of all nodes as one, and after them what the catalog has.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use anyhow::bail;
use blobs::archive::{Segment, SegmentName};
use blobs::{Marker, Node, Nodes};
use catalog::{Checkpoint, Reader};
use journal::{Journal, Replay};
use proto::{Event, Incarnation, NodeId, Recorded, Sha256Digest};

/// Events taken from the catalog at once.
const FROM_CATALOG: u32 = 1000;
/// Events taken from the journal at once.
const BATCH: usize = 1000;
/// How long one batch may take: the journal is there, or this is in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node has.
#[derive(Debug)]
pub(super) struct OnNode {
    pub(super) node: Node,
    pub(super) marker: Option<Marker>,
    pub(super) segments: Vec<SegmentName>,
}

/// Looks at every node but those that are given up.
pub(super) async fn look(nodes: &Nodes, without: &[NodeId]) -> anyhow::Result<Vec<OnNode>> {
    let mut found = Vec::new();
    for node in nodes.all().iter().filter(|node| !without.contains(node.id())) {
        let looked = async { Ok((node.read_marker().await?, node.segments(None).await?)) };
        match looked.await {
            Ok((marker, segments)) => found.push(OnNode { node: node.clone(), marker, segments }),
            Err(error) => {
                let error: blobs::Error = error;
                let id = node.id();
                bail!("{error}; start it, or give up what only it may have with --without {id}");
            }
        }
    }
    Ok(found)
}

/// One life of the journal, as the nodes have it: at each place the first segment that is right and follows from what was
/// before.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    found: &'a [OnNode],
    incarnation: Incarnation,
    /// The last event that was taken from a segment, and the chain digest there.
    last: u64,
    chain: Sha256Digest,
    ready: VecDeque<Recorded>,
    /// Segments that could not be used: not looked at again.
    unusable: HashSet<(NodeId, SegmentName)>,
    /// What could not be used, as sentences.
    pub(super) problems: Vec<String>,
}

// === impl Archive ===

impl<'a> Archive<'a> {
    pub(super) fn new(found: &'a [OnNode], incarnation: Incarnation) -> Self {
        let (ready, chain, problems) = (VecDeque::new(), Sha256Digest::new([0; 32]), Vec::new());
        Self { found, incarnation, last: 0, chain, ready, unusable: HashSet::new(), problems }
    }

    /// The next event; `None` when no node has a right segment with it.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        if self.ready.is_empty() {
            self.load().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// Takes the longest segment that has the next event, from whichever node.
    async fn load(&mut self) -> anyhow::Result<()> {
        let wanted = self.last + 1;
        let mut candidates: Vec<(&OnNode, SegmentName)> = self
            .found
            .iter()
            .flat_map(|on| on.segments.iter().map(move |name| (on, *name)))
            .filter(|(_, name)| name.incarnation == self.incarnation && name.first <= wanted && wanted <= name.last)
            .filter(|(on, name)| !self.unusable.contains(&(on.node.id().clone(), *name)))
            .collect();
        candidates.sort_by_key(|(_, name)| std::cmp::Reverse(name.last));
        for (on, name) in candidates {
            let id = on.node.id();
            match on.node.segment(&name).await? {
                Ok(segment) if self.follows(&segment) => {
                    self.last = name.last;
                    self.chain = segment.chain();
                    self.ready.extend(segment.events().iter().filter(|event| event.n >= wanted).cloned());
                    return Ok(());
                }
                Ok(_) => self.problems.push(format!("{id}: {name} does not follow from what is before it")),
                Err(bad) => self.problems.push(format!("{id}: {bad}")),
            }
            self.unusable.insert((id.clone(), name));
        }
        Ok(())
    }

    /// Takes note of the next event, which came from elsewhere.
    fn advance(&mut self, event: &Recorded) {
        (self.last, self.chain) = (event.n, event.chain(self.chain));
    }

    /// The last event that any segment has, by its name.
    pub(super) fn named_last(&self) -> u64 {
        let names = self.found.iter().flat_map(|on| &on.segments).filter(|name| name.incarnation == self.incarnation);
        names.map(|name| name.last).max().unwrap_or(0)
    }

    /// Whether the events of the segment come after those that were taken: it may begin with some of these.
    fn follows(&self, segment: &Segment) -> bool {
        let known = segment.events().iter().take_while(|event| event.n <= self.last);
        known.fold(segment.before(), |chain, event| event.chain(chain)) == self.chain
    }
}

/// What the catalog has where the archive has nothing.
#[derive(Debug)]
struct Tail<'a> {
    reader: &'a Reader,
    checkpoint: Checkpoint,
    ready: VecDeque<(u64, Vec<u8>)>,
}

// === impl Tail ===

impl<'a> Tail<'a> {
    fn new(reader: &'a Reader, checkpoint: Checkpoint) -> Self {
        Self { reader, checkpoint, ready: VecDeque::new() }
    }

    /// The event after number `at`; `None` from the checkpoint on, or when it cannot be decoded: the catalog does not know how
    /// it was published.
    async fn after(&mut self, at: u64) -> anyhow::Result<Option<Recorded>> {
        if at >= self.checkpoint.n {
            return Ok(None);
        }
        while self.ready.front().is_some_and(|(n, _)| *n <= at) {
            self.ready.pop_front();
        }
        if self.ready.is_empty() {
            self.ready.extend(self.reader.raw_events(at, FROM_CATALOG).await?);
        }
        let Some((n, raw)) = self.ready.pop_front().filter(|(n, _)| *n == at + 1) else {
            bail!("the catalog is folded up to event {}, but does not have event {}", self.checkpoint.n, at + 1);
        };
        let Ok(event) = Event::decode(&raw) else { return Ok(None) };
        let (subject, message_id) = (event.fact.subject(), event.id.to_string());
        Ok(Some(Recorded { n, subject, message_id, payload: raw.into() }))
    }
}

/// All that keeps its place: the archive, and what the catalog has in its holes and after it.
#[derive(Debug)]
pub(super) struct History<'a> {
    pub(super) archive: Archive<'a>,
    catalog: Option<Tail<'a>>,
    /// The last event that came.
    at: u64,
    /// The last one before the first that no node has.
    pub(super) archived: Option<u64>,
}

impl<'a> History<'a> {
    pub(super) fn new(archive: Archive<'a>, catalog: Option<(&'a Reader, Checkpoint)>) -> Self {
        let catalog = catalog.map(|(reader, checkpoint)| Tail::new(reader, checkpoint));
        Self { archive, catalog, at: 0, archived: None }
    }

    /// The next event; `None` at the end of all.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        let mut next = self.archive.next().await?;
        if next.is_none() {
            self.archived.get_or_insert(self.at);
            if let Some(catalog) = &mut self.catalog {
                next = catalog.after(self.at).await?;
            }
            if let Some(event) = &next {
                self.archive.advance(event);
            }
        }
        self.at = next.as_ref().map_or(self.at, |event| event.n);
        Ok(next)
    }
}

/// A journal that is there, event by event.
pub(super) struct Surviving {
    journal: Journal,
    to: Option<u64>,
    replay: Replay,
    ready: VecDeque<Recorded>,
}

// === impl Surviving ===

impl Surviving {
    /// Every event up to `to`, or for ever.
    pub(super) fn new(journal: &Journal, to: Option<u64>) -> Self {
        Self { journal: journal.clone(), to, replay: journal.replay(1, to), ready: VecDeque::new() }
    }

    /// The next event that there is; `None` at the end. After a gap, the one behind it.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        while self.ready.is_empty() && !self.replay.is_finished() {
            match self.replay.next_batch(BATCH, PATIENCE).await {
                Ok(batch) if batch.is_empty() && !self.replay.is_finished() => {
                    bail!("cannot read the journal: event {} did not come", self.replay.next_n());
                }
                Ok(batch) => self.ready.extend(batch),
                Err(journal::Error::Gap { found, .. }) => self.replay = self.journal.replay(found, self.to),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.ready.pop_front())
    }
}
