//! The audit: what the catalog says against what the nodes hold.
//!
//! Each node is gone through twice, in bounded memory: its listing, where each object is compared with its row, and its
//! rows, where those are looked for whose objects were not listed. What differs is looked at again before it counts: the
//! object first, then its row in a catalog that has reached the head the journal had after that. So what is under way
//! meanwhile (uploads, copies, erasures) is never taken for a difference. And the node must carry the marker of its disk
//! then still, or nothing that was seen there counts.

mod judge;
mod look;
mod node;
mod pace;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::{BlobId, MarkerId, NodeId, Sequence};
use tokio::sync::mpsc;

use super::Files;
use super::telling::telling;
use crate::error::{Error, Result};

use self::node::{Audit, Counters};

pub(super) use self::judge::is_recoverable;
pub(super) use self::look::PATIENCE;

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Difference {
    /// The catalog says that the node holds it, and it does not.
    Missing,
    /// It has another length.
    Truncated,
    /// It has other bytes.
    Corrupt,
    /// Its slice digests are missing or wrong.
    Parts,
    /// It was erased, and is there.
    Resurrected,
    /// No event names it.
    Orphan,
    /// The key is none of ours.
    Foreign,
    /// The node holds it, and the catalog does not say so.
    Unreported,
    /// No event names it; but events were lost since it was written.
    Recoverable,
}

/// How to audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Read every object, instead of looking at its length only.
    pub(crate) is_deep: bool,
    /// Publish events that have repaired what differs.
    pub(crate) repairs: bool,
    /// Bytes that are read in a second, at most.
    pub(crate) bytes_per_second: Option<u64>,
    /// Blobs whose ids are held in memory, so many and those of one folder more, before the rows without an object are
    /// looked for.
    pub(crate) held_blobs: usize,
}

/// A difference that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What it is.
    pub(crate) difference: Difference,
    /// Where.
    pub(crate) node: NodeId,
    /// The object.
    pub(crate) key: String,
    /// The blob; none for foreign objects.
    pub(crate) blob_id: Option<BlobId>,
    /// One sentence.
    pub(crate) detail: String,
    /// The event that has it repaired.
    pub(crate) repaired_by: Option<Sequence>,
}

/// How the audit of one node ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AuditedNode {
    /// The node, as it was asked for.
    pub(crate) node: String,
    /// Objects that were listed.
    pub(crate) objects: u64,
    /// Their bytes; when deep, those that were read.
    pub(crate) bytes: u64,
    /// Differences that were found.
    pub(crate) findings: u64,
    /// Differences that an event has repaired.
    pub(crate) repaired: u64,
    /// Why it could not be audited to its end.
    pub(crate) error: Option<String>,
}

/// What an audit tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// How far it is with a node.
    Progress(AuditedNode),
    /// A difference.
    Finding(Finding),
    /// All folders before this one are done; `None`: all of them.
    Done(Option<u8>),
    /// Everything is done.
    Summary(Sequence, Vec<AuditedNode>),
}

/// Why the audit of a node ends early.
#[derive(Debug)]
enum Stop {
    /// The node's fault; the others are audited.
    Node(String),
    /// The audit as a whole cannot go on.
    Failed(Error),
    /// Nobody listens any more.
    Unheard,
}

impl Files {
    /// Audits these nodes, or all of them, and tells of it until nobody listens.
    pub(crate) async fn audit(&self, nodes: &[String], plan: Plan, said: &mpsc::Sender<Said>) -> Result<()> {
        self.ready()?;
        let names: BTreeSet<String> = match nodes {
            [] => self.audited_names().await?,
            some => some.iter().cloned().collect(),
        };
        let mut audited = Vec::with_capacity(names.len());
        for name in names {
            let Some(node) = self.audit_from(&name, 0, plan, said).await? else { return Ok(()) };
            audited.push(node);
        }
        let checkpoint = self.catalog().checkpoints().now().map_or(0, |checkpoint| checkpoint.n);
        // Nobody to tell is no fault.
        let _ = said.send(Said::Summary(self.sequence(checkpoint)?, audited)).await;
        Ok(())
    }

    /// Audits a node from the folder `from` on; `None` when nobody listens any more.
    pub(crate) async fn audit_from(
        &self,
        name: &str,
        from: u8,
        plan: Plan,
        said: &mpsc::Sender<Said>,
    ) -> Result<Option<AuditedNode>> {
        let counters = Counters::default();
        let outcome = match self.audited_node(name).await? {
            Err(error) => Err(Stop::Node(error)),
            Ok((node, marker_id)) => {
                let audit = Audit::new(self, node, marker_id, plan, said, &counters);
                // On the heap: all that an audit asks makes a deep future.
                let progress = || Said::Progress(counters.node(name));
                telling(Box::pin(audit.run(from)), said, progress).await.unwrap_or(Err(Stop::Unheard))
            }
        };
        let error = match outcome {
            Ok(()) => None,
            Err(Stop::Node(reason)) => Some(reason),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Unheard) => return Ok(None),
        };
        Ok(Some(AuditedNode { error, ..counters.node(name) }))
    }

    /// The nodes that have joined, and those that are configured.
    pub(crate) async fn audited_names(&self) -> Result<BTreeSet<String>> {
        let joined = self.catalog().markers().await?;
        let configured = self.ready()?.nodes.all().iter().map(|node| node.id().to_string());
        Ok(joined.into_iter().map(|(node, _)| node.to_string()).chain(configured).collect())
    }

    /// The node of that name with the marker that it must carry, or why it cannot be audited.
    async fn audited_node(&self, name: &str) -> Result<Result<(blobs::Node, MarkerId), String>> {
        let markers: BTreeMap<String, MarkerId> =
            self.catalog().markers().await?.into_iter().map(|(node, marker)| (node.to_string(), marker)).collect();
        let Some(marker_id) = markers.get(name) else { return Ok(Err("has not joined".to_owned())) };
        let id: Option<NodeId> = name.parse().ok();
        let Some(node) = id.and_then(|id| self.opened()?.nodes.get(&id).cloned()) else {
            return Ok(Err("is not configured for this gateway".to_owned()));
        };
        Ok(Ok((node, *marker_id)))
    }
}

// === impl Difference ===

impl Difference {
    /// Whether there is nothing to be repaired.
    pub(crate) const fn is_information(self) -> bool {
        matches!(self, Self::Foreign | Self::Unreported)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Parts => "without the right slice digests",
            Self::Resurrected => "resurrected",
            Self::Orphan => "an orphan",
            Self::Foreign => "foreign",
            Self::Unreported => "unreported",
            Self::Recoverable => "recoverable",
        })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<catalog::Error> for Stop {
    fn from(error: catalog::Error) -> Self {
        Self::Failed(error.into())
    }
}
