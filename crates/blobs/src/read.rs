//! Reading a blob from any node that has it.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use proto::{NodeId, Sha256Digest, SliceDigests};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use crate::blob::{Slice, Slices};
use crate::verify::{Unfit, list_of};
use crate::{BlobRef, Error, Node, Nodes};

mod fetch;

use fetch::{Fetched, Job};

/// A blob, or a range of it, on its way to a reader.
///
/// Bytes are given out only after the digest of their slice was right, so that wrong bytes never leave. A slice that one
/// holder does not have, or has wrong, comes from the next one, and one that breaks off is gone on with there; a holder
/// that is slow to begin has the next one asked beside it. One slice is held, and one more is fetched ahead while the
/// process's prefetch budget allows it; a slice that is asked for twice may be in memory twice.
#[derive(Debug)]
pub struct Read {
    nodes: Nodes,
    blob: BlobRef,
    holders: Vec<Node>,
    /// Holders that the configuration does not know.
    strangers: Vec<NodeId>,
    plan: Option<Plan>,
    /// The next byte to be given out.
    position: u64,
    /// Where to stop.
    end: u64,
    ready: VecDeque<Bytes>,
    ahead: Option<Ahead>,
    bad: Vec<BadReplica>,
    failed: Vec<Failed>,
}

/// A holder that does not hold the right bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadReplica {
    /// Which one.
    pub node: NodeId,
    /// What is wrong there, as the end of a sentence that begins with the node.
    pub reason: String,
    /// Whether the object is not there at all.
    pub is_missing: bool,
}

/// A holder that did not give what it was asked for. Whether it is down or fails at this blob only is for
/// [`Node::fails_at`] to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Which one.
    pub node: NodeId,
    /// The object.
    pub key: String,
    /// What of it; all for `None`.
    pub range: Option<Range<u64>>,
}

#[derive(Debug, Clone)]
struct Plan {
    slices: Slices,
    /// `None` for a blob of one slice.
    digests: Option<SliceDigests>,
}

/// The slice that is fetched while the one before is given out.
#[derive(Debug)]
struct Ahead {
    index: usize,
    task: JoinSet<Fetched>,
    _permit: OwnedSemaphorePermit,
}

// === impl Read ===

impl Read {
    pub(crate) fn new(nodes: &Nodes, blob: BlobRef, holders: &[NodeId], offset: u64, length: u64) -> Self {
        let end = offset.saturating_add(length).min(blob.size_bytes);
        let mut known: Vec<Node> = nodes.ranked(blob.blob_id);
        known.retain(|node| holders.contains(node.id()));
        // Stable: among those that are as good, the blob decides, which spreads the load.
        known.sort_by_cached_key(|node| (!node.breaker().is_readable(), node.pace().class(nodes.config())));
        let strangers = holders.iter().filter(|holder| nodes.get(holder).is_none()).cloned().collect();
        Self {
            nodes: nodes.clone(),
            blob,
            holders: known,
            strangers,
            plan: None,
            position: offset.min(end),
            end,
            ready: VecDeque::new(),
            ahead: None,
            bad: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// The next verified bytes, in order; `None` at the end. `Error::Unavailable` when a holder may have the bytes but is
    /// down, `Error::Unreadable` when none has them.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.position += piece.len() as u64;
                return Ok(Some(piece));
            }
            if self.position >= self.end {
                return Ok(None);
            }
            self.load().await?;
        }
    }

    /// Where the blob turned out to be missing or wrong so far.
    pub fn bad_replicas(&self) -> &[BadReplica] {
        &self.bad
    }

    /// Who failed so far, the first time for each.
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// Fetches the slice at the position.
    async fn load(&mut self) -> Result<(), Error> {
        let plan = self.plan().await?;
        let index = plan.slices.at(self.position);
        let fetched = match self.ahead.take() {
            Some(mut ahead) if ahead.index == index => match ahead.task.join_next().await {
                Some(Ok(fetched)) => fetched,
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                None => self.slice_job(&plan, index)?.run().await,
            },
            _ => self.slice_job(&plan, index)?.run().await,
        };
        let range = plan.slices.get(index).filter(|slice| slice.len > 0);
        let range = range.filter(|_| plan.slices.count > 1).map(|slice| slice.start..slice.start + slice.len);
        let pieces = self.settle(fetched, &self.blob.blob_id.key(), range.as_ref())?;
        if let Some(slice) = plan.slices.get(index) {
            self.ready = cut(pieces, slice, self.position, self.end);
        }
        self.fetch_ahead(&plan, index + 1)
    }

    async fn plan(&mut self) -> Result<Plan, Error> {
        if let Some(plan) = &self.plan {
            return Ok(plan.clone());
        }
        let slices = self.blob.slices()?;
        let digests = match list_of(&self.blob)? {
            None => None,
            Some((list, digest)) => {
                let key = self.blob.blob_id.parts_key();
                let Fetched { outcome, unfit } = self.job(key.clone(), list, true, digest).run().await;
                let unfit = unfit.into_iter().map(|(node, unfit)| (node, unfit.of_list())).collect();
                let pieces = self.settle(Fetched { outcome, unfit }, &key, None)?;
                let unreadable = |reason: String| Error::Unreadable { blob: self.blob.blob_id, reason };
                Some(SliceDigests::from_bytes(&pieces.concat()).map_err(|error| unreadable(error.to_string()))?)
            }
        };
        Ok(self.plan.insert(Plan { slices, digests }).clone())
    }

    fn fetch_ahead(&mut self, plan: &Plan, index: usize) -> Result<(), Error> {
        let Some(slice) = plan.slices.get(index).filter(|slice| slice.start < self.end) else { return Ok(()) };
        let share = u32::try_from(slice.len).unwrap_or(u32::MAX);
        // Without a share there is no hurry: the slice is fetched when it is due.
        if let Ok(permit) = self.nodes.prefetch_budget().clone().try_acquire_many_owned(share) {
            let mut task = JoinSet::new();
            task.spawn(self.slice_job(plan, index)?.run());
            self.ahead = Some(Ahead { index, task, _permit: permit });
        }
        Ok(())
    }

    fn slice_job(&self, plan: &Plan, index: usize) -> Result<Job, Error> {
        let digest = match &plan.digests {
            None => Some(self.blob.sha256),
            Some(digests) => digests.get(index),
        };
        let (Some(slice), Some(digest)) = (plan.slices.get(index), digest) else {
            let reason = format!("it has no slice {index}");
            return Err(Error::Unreadable { blob: self.blob.blob_id, reason });
        };
        let is_whole = plan.slices.count == 1;
        Ok(self.job(self.blob.blob_id.key(), slice, is_whole, digest))
    }

    fn job(&self, key: String, slice: Slice, is_whole: bool, digest: Sha256Digest) -> Job {
        let (holders, hedges) = (self.holders.clone(), self.nodes.hedges().clone());
        Job { holders, blob: self.blob, key, slice, is_whole, digest, hedges }
    }

    /// Takes note of who failed, and asks whoever succeeded first from now on.
    fn settle(&mut self, fetched: Fetched, key: &str, range: Option<&Range<u64>>) -> Result<Vec<Bytes>, Error> {
        for (node, unfit) in fetched.unfit {
            let (blob, reason) = (self.blob.blob_id, unfit.reason());
            tracing::warn!(blob.id = %blob, node.id = %node, "cannot read blob {blob} from node {node}: it {reason}");
            let is_missing = matches!(unfit, Unfit::Missing);
            if matches!(unfit, Unfit::Down(_)) && !self.failed.iter().any(|failed| failed.node == node) {
                self.failed.push(Failed { node: node.clone(), key: key.to_owned(), range: range.cloned() });
            }
            if !matches!(unfit, Unfit::Down(_)) && !self.bad.iter().any(|bad| bad.node == node) {
                self.bad.push(BadReplica { node, reason, is_missing });
            }
        }
        match fetched.outcome {
            Ok((value, from)) => {
                self.holders.sort_by_key(|node| *node.id() != from);
                Ok(value)
            }
            Err(error) if self.strangers.is_empty() => Err(error),
            Err(Error::Unreadable { blob, reason } | Error::Unavailable { blob, reason }) => {
                let strangers: Vec<&str> = self.strangers.iter().map(NodeId::as_str).collect();
                let reason = format!("{reason}; not configured: {}", strangers.join(", "));
                Err(Error::Unavailable { blob, reason })
            }
            Err(error) => Err(error),
        }
    }
}

/// The part of a slice that lies between `from` and `to`.
fn cut(pieces: Vec<Bytes>, slice: Slice, from: u64, to: u64) -> VecDeque<Bytes> {
    let mut start = slice.start;
    let mut wanted = VecDeque::with_capacity(pieces.len());
    for mut piece in pieces {
        let end = start + piece.len() as u64;
        let skip = from.saturating_sub(start).min(end - start);
        let keep = to.min(end).saturating_sub(start);
        start = end;
        if skip < keep {
            let (skip, keep) = (usize::try_from(skip), usize::try_from(keep));
            let (skip, keep) = (skip.expect("within a piece"), keep.expect("within a piece"));
            piece.truncate(keep);
            wanted.push_back(piece.split_off(skip));
        }
    }
    wanted
}
