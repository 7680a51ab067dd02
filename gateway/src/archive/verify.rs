//! `gateway journal verify`: the journal beside its archive, event by event, on every node.

use anyhow::bail;
use blobs::archive::{BadSegment, Coverage, Segment, SegmentName};
use blobs::{Node, Nodes};
use journal::Journal;
use proto::{Incarnation, NodeId, Recorded, Sha256Digest};
use runtime::program::Process;

use super::left::Surviving;
use crate::config::Config;

/// So many differences are told of each node; the others are counted.
const SHOWN: usize = 20;

/// What was found.
#[derive(Debug)]
pub(super) struct Compared {
    /// The journal: which life, and its last event; `None` when there is no stream.
    pub(super) journal: Option<(Incarnation, u64)>,
    /// Each node's archive of each life that it has.
    pub(super) archives: Vec<Archive>,
    /// The nodes that could not be read, and why.
    pub(super) unread: Vec<(NodeId, String)>,
}

/// What one node has of one life of the journal.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    /// The segments that follow each other.
    pub(super) segments: usize,
    /// The last event of these; 0 when there are none.
    pub(super) last: u64,
    /// The chain digest over everything up to there.
    pub(super) chain: Sha256Digest,
    /// What is wrong, up to [`SHOWN`] of it, as sentences.
    pub(super) differences: Vec<String>,
    /// How much is wrong.
    pub(super) differing: usize,
}

/// The journal, read beside an archive.
struct Beside<'a> {
    journal: &'a Journal,
    events: Surviving,
    /// The last event there was when it was asked for last.
    head: u64,
}

/// Compares; waits for NATS, but neither for a stream that is missing nor for nodes that do not answer.
pub(super) async fn run(config: &Config, process: &Process) -> anyhow::Result<Compared> {
    let clock = process.clock.clone();
    let nodes = Nodes::open(&config.nodes, config.blobs.clone(), None, &process.tasks, clock).await?;
    let journal = Journal::open_if_there(&config.nats, &process.shutdown, &process.tasks).await?;
    let head = match &journal {
        Some(journal) => Some((journal.identity().incarnation, journal.head().await?.n)),
        None => None,
    };
    let mut compared = Compared { journal: head, archives: Vec::new(), unread: Vec::new() };
    for node in nodes.all() {
        let names = match node.segments(None).await {
            Ok(names) => names,
            Err(error) => {
                compared.unread.push((node.id().clone(), error.to_string()));
                continue;
            }
        };
        for life in lives(&names, head.map(|(incarnation, _)| incarnation)) {
            process.shutdown.check()?;
            let found = Coverage::of(names.iter().copied().filter(|name| name.incarnation == life));
            let beside = match (&journal, head) {
                (Some(journal), Some((incarnation, _))) if incarnation == life => {
                    Some(Beside { journal, events: Surviving::new(journal, None), head: 0 })
                }
                _ => None,
            };
            match archive(node, life, &found, beside, process).await {
                Ok(archive) => compared.archives.push(archive),
                Err(Failed::Node(error)) => {
                    compared.unread.push((node.id().clone(), error.to_string()));
                    break;
                }
                Err(Failed::Other(error)) => return Err(error),
            }
        }
    }
    Ok(compared)
}

/// Why an archive was not compared.
enum Failed {
    Node(blobs::Error),
    Other(anyhow::Error),
}

/// The lives of the journal that a node has something of, and the present one in any case.
fn lives(names: &[SegmentName], present: Option<Incarnation>) -> Vec<Incarnation> {
    let mut lives: Vec<Incarnation> = names.iter().map(|name| name.incarnation).chain(present).collect();
    lives.sort_unstable();
    lives.dedup();
    lives
}

async fn archive(
    node: &Node,
    incarnation: Incarnation,
    found: &Coverage,
    mut beside: Option<Beside<'_>>,
    process: &Process,
) -> Result<Archive, Failed> {
    let mut archive = Archive {
        node: node.id().clone(),
        incarnation,
        segments: found.segments.len(),
        last: found.last(),
        chain: Sha256Digest::new([0; 32]),
        differences: Vec::new(),
        differing: 0,
    };
    for name in &found.segments {
        process.shutdown.check().map_err(|cancelled| Failed::Other(cancelled.into()))?;
        let read = read(node, name, archive.last).await.map_err(Failed::Node)?;
        let last = read.as_ref().map_or(name.last, |segment| segment.name().last);
        archive.last = archive.last.max(last);
        if let Some(beside) = &mut beside {
            beside.reach(last).await.map_err(Failed::Other)?;
        }
        let segment = match read {
            Ok(segment) => segment,
            Err(bad) => {
                archive.differs(bad.to_string());
                // So that what follows is judged by itself.
                if let Some(beside) = &mut beside {
                    for n in name.first..=name.last.min(beside.head) {
                        archive.chain = beside.event(n).await.map_err(Failed::Other)?.chain(archive.chain);
                    }
                }
                continue;
            }
        };
        archive.compare(&segment, beside.as_mut()).await.map_err(Failed::Other)?;
    }
    if let Some(first) = found.beyond.first() {
        let (missing, until) = (archive.last + 1, first.first - 1);
        archive.differs(if missing <= until {
            format!("events {missing} to {until} are in no segment, but later ones are")
        } else {
            format!("the segment {first} begins in the middle of another one")
        });
    }
    if let Some(Beside { head, .. }) = beside
        && archive.last > head
    {
        let last = archive.last;
        let missing = last - head;
        archive.differs(format!(
            "the archive goes up to event {last}, the journal ends with event {head}: {missing} events are lost there"
        ));
    }
    Ok(archive)
}

// === impl Archive ===

/// Reads a segment. The last one may grow meanwhile, which gives it another name.
async fn read(node: &Node, name: &SegmentName, last: u64) -> Result<Result<Segment, BadSegment>, blobs::Error> {
    let mut name = *name;
    loop {
        let read = node.segment(&name).await?;
        if read.is_ok() || name.last < last {
            return Ok(read);
        }
        let names = node.segments(Some(name.incarnation)).await?;
        let grown = names.into_iter().filter(|other| other.first == name.first && other.last > name.last).max();
        match grown {
            Some(grown) => name = grown,
            None => return Ok(read),
        }
    }
}

impl Archive {
    fn differs(&mut self, sentence: String) {
        self.differing += 1;
        if self.differences.len() < SHOWN {
            self.differences.push(sentence);
        }
    }

    /// A segment beside the one before it, and beside the journal.
    async fn compare(&mut self, segment: &Segment, beside: Option<&mut Beside<'_>>) -> anyhow::Result<()> {
        let key = segment.name().key();
        if segment.before() != self.chain {
            self.differs(format!("the segment {key} does not follow from what is before it"));
        }
        if let Some(beside) = beside {
            let head = beside.head;
            for archived in segment.events().iter().take_while(|event| event.n <= head) {
                let n = archived.n;
                let there = beside.event(n).await?;
                if there != *archived {
                    self.differs(format!(
                        "event {n} is {} in the archive ({key}), and {} in the journal",
                        shown(archived),
                        shown(&there)
                    ));
                }
            }
        }
        self.chain = segment.chain();
        Ok(())
    }
}

/// An event as a sentence names it: two with the same id differ in their bytes.
fn shown(event: &Recorded) -> String {
    format!("{} ({}, SHA-256 {})", event.message_id, event.subject, Sha256Digest::of(&event.payload))
}

// === impl Beside ===

impl Beside<'_> {
    /// Asks where the journal ends, if it is not known to have event `n`.
    async fn reach(&mut self, n: u64) -> anyhow::Result<()> {
        if self.head < n {
            self.head = self.journal.head().await?.n;
        }
        Ok(())
    }

    /// The event `n`; to be asked for in order.
    async fn event(&mut self, n: u64) -> anyhow::Result<Recorded> {
        match self.events.next().await? {
            Some(event) if event.n == n => Ok(event),
            _ => bail!("the journal does not have event {n}, but later ones: it has a gap"),
        }
    }
}

// === impl Compared ===

impl Compared {
    /// Whether the journal and everything that was read of its archive are the same.
    pub(super) fn is_equal(&self) -> bool {
        let Some((present, _)) = self.journal else { return false };
        // The archive of a life that is over is what it is: nobody writes it any more.
        self.archives.iter().filter(|archive| archive.incarnation == present).all(|archive| archive.differing == 0)
    }

    /// Whether every node was read.
    pub(super) fn is_whole(&self) -> bool {
        self.unread.is_empty()
    }
}
