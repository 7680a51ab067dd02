//! What is left of a journal: the segments of all nodes as one, and after them what the catalog has.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::bail;
use blobs::archive::{Segment, SegmentName};
use blobs::{Marker, Node, Nodes};
use catalog::{Checkpoint, Reader};
use journal::Replay;
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
    /// What could not be used, as sentences.
    pub(super) problems: Vec<String>,
}

// === impl Archive ===

impl<'a> Archive<'a> {
    pub(super) fn new(found: &'a [OnNode], incarnation: Incarnation) -> Self {
        let (ready, chain, problems) = (VecDeque::new(), Sha256Digest::new([0; 32]), Vec::new());
        Self { found, incarnation, last: 0, chain, ready, problems }
    }

    /// The next event; `None` after the last one of which any node has a right segment.
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
        }
        Ok(())
    }

    /// Whether the events of the segment come after those that were taken: it may begin with some of these.
    fn follows(&self, segment: &Segment) -> bool {
        let known = segment.events().iter().take_while(|event| event.n <= self.last);
        known.fold(segment.before(), |chain, event| event.chain(chain)) == self.chain
    }
}

/// What the catalog has after the archive.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    reader: &'a Reader,
    checkpoint: Checkpoint,
    at: u64,
    ready: VecDeque<(u64, Vec<u8>)>,
}

// === impl Tail ===

impl<'a> Tail<'a> {
    /// The events after number `at`.
    pub(super) fn new(reader: &'a Reader, checkpoint: &Checkpoint, at: u64) -> Self {
        Self { reader, checkpoint: *checkpoint, at, ready: VecDeque::new() }
    }

    /// The next event; `None` at the checkpoint, or before an event that cannot be decoded: the catalog does not know how it
    /// was published.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        if self.at >= self.checkpoint.n {
            return Ok(None);
        }
        if self.ready.is_empty() {
            self.ready.extend(self.reader.raw_events(self.at, FROM_CATALOG).await?);
        }
        let Some((n, raw)) = self.ready.pop_front().filter(|(n, _)| *n == self.at + 1) else {
            bail!("the catalog is folded up to event {}, but does not have event {}", self.checkpoint.n, self.at + 1);
        };
        self.at = n;
        let Ok(event) = Event::decode(&raw) else { return Ok(None) };
        let (subject, message_id) = (event.fact.subject(), event.id.to_string());
        Ok(Some(Recorded { n, subject, message_id, payload: raw.into() }))
    }
}

/// All that keeps its place: the archive, and then the catalog's tail.
#[derive(Debug)]
pub(super) struct History<'a> {
    pub(super) archive: Archive<'a>,
    catalog: Option<(&'a Reader, Checkpoint)>,
    tail: Option<Tail<'a>>,
    /// The last event that came.
    at: u64,
    /// The last one of the archive, once that has ended.
    pub(super) archived: u64,
}

impl<'a> History<'a> {
    pub(super) fn new(archive: Archive<'a>, catalog: Option<(&'a Reader, Checkpoint)>) -> Self {
        Self { archive, catalog, tail: None, at: 0, archived: 0 }
    }

    /// The next event; `None` at the end of all.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        let mut next = match &mut self.tail {
            Some(tail) => tail.next().await?,
            None => self.archive.next().await?,
        };
        if next.is_none() && self.tail.is_none() {
            self.archived = self.at;
            if let Some((reader, checkpoint)) = self.catalog.take() {
                next = self.tail.insert(Tail::new(reader, &checkpoint, self.at)).next().await?;
            }
        }
        self.at = next.as_ref().map_or(self.at, |event| event.n);
        Ok(next)
    }
}

/// A journal that is there, event by event.
pub(super) struct Surviving {
    replay: Replay,
    ready: VecDeque<Recorded>,
}

// === impl Surviving ===

impl Surviving {
    pub(super) fn new(replay: Replay) -> Self {
        Self { replay, ready: VecDeque::new() }
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        if self.ready.is_empty() && !self.replay.is_finished() {
            self.ready.extend(self.replay.next_batch(BATCH, PATIENCE).await?);
            if self.ready.is_empty() && !self.replay.is_finished() {
                bail!("cannot read the journal: event {} did not come", self.replay.next_n());
            }
        }
        Ok(self.ready.pop_front())
    }
}
