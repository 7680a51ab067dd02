//! The lane that archives the journal on one node: what was acknowledged is written there within a second or so, as segments
//! that hold it byte for byte, so that a journal whose disk is lost can be restored.
//!
//! One process at a time does it for each node, under a lease. It remembers nothing: the node's own segments say how far it
//! is, so another process goes on from there, and a node that was wiped, or has lost a segment, is written anew.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use blobs::archive::{BadSegment, Coverage, Segment, SegmentName};
use blobs::{Node, Nodes};
use journal::{Archived, Journal, Replay};
use proto::{NodeId, Sha256Digest};
use runtime::retry;
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

use crate::config::Replicator;

mod error;

use error::Error;

/// How long the journal is asked at once while nothing comes: so long a shutdown may wait.
const WAIT: Duration = Duration::from_secs(1);

/// Archives on one node.
#[derive(Debug)]
pub(crate) struct Archiver {
    pub(crate) target: NodeId,
    pub(crate) nodes: Nodes,
    pub(crate) journal: Journal,
    pub(crate) markers: std::sync::Arc<journal::Markers>,
    pub(crate) settings: Replicator,
    /// This process among those that may hold the lease.
    pub(crate) holder: String,
    pub(crate) shutdown: Shutdown,
}

/// Where it is.
struct Tail {
    /// The last segment: written already, and not full.
    segment: Segment,
    /// What is on the node of that segment.
    written: BTreeSet<SegmentName>,
    /// The position as last told to others, and when.
    told: Option<(u64, Instant)>,
}

/// Reading all segments, one after the other.
struct Check {
    left: VecDeque<SegmentName>,
    /// The one before, and the chain digest after it.
    before: Option<(SegmentName, Sha256Digest)>,
}

// === impl Archiver ===

impl Archiver {
    /// Archives until the soft shutdown.
    pub(crate) async fn run(self) {
        let (target, interval) = (&self.target, self.settings.archive_interval);
        let mut said = None;
        while retry::sleep(interval, self.shutdown.soft_token()).await {
            let problem = self.look().await.err();
            let words = problem.as_ref().map(ToString::to_string);
            if words != said
                && let (Some(problem), Some(words)) = (&problem, &words)
            {
                if problem.needs_somebody() {
                    tracing::error!(node.id = %target, "the journal is not archived on node {target}: {words}");
                } else {
                    tracing::warn!(node.id = %target, "the journal is not archived on node {target} now: {words}");
                }
            }
            said = words;
        }
    }

    /// Archives if the node can take it, and nobody else does it.
    async fn look(&self) -> Result<(), Error> {
        let Some(node) = self.nodes.get(&self.target) else { return Ok(()) };
        if !node.state().is_healthy() || node.marker().is_none() || self.journal.stopped().is_some() {
            return Ok(());
        }
        if self.markers.is_gone(&self.target) {
            self.markers.refresh().await?;
            if self.markers.is_gone(&self.target) {
                return Ok(());
            }
        }
        let duty = format!("archive-{}", self.target);
        let Some(mut lease) = self.journal.acquire(&duty, &self.holder).await? else { return Ok(()) };
        let archived = tokio::select! {
            archived = self.archive(node) => archived,
            () = lease.keep() => {
                tracing::warn!(node.id = %self.target, "lost the lease of the archive on node {}", self.target);
                return Ok(());
            }
        };
        if let Err(error) = lease.release().await {
            tracing::debug!("the lease {duty} ends by itself: {error}");
        }
        archived
    }

    /// Archives until the shutdown, or until the node is another one than before.
    async fn archive(&self, node: &Node) -> Result<(), Error> {
        let disk = node.marker();
        let mut tail = self.resume(node).await?;
        let check_at = Instant::now() + self.settings.archive_check_interval;
        let mut check: Option<Check> = None;
        let last = tail.segment.last().map(|last| (last.n, last.message_id.clone()));
        let mut replay = match last {
            Some((n, message_id)) => self.journal.replay_after(n, message_id),
            None => self.journal.replay(tail.segment.name().first, None),
        };
        let is_served = || node.marker() == disk && !self.markers.is_gone(&self.target);
        while !self.shutdown.is_soft() && is_served() {
            // One at a time, so that what comes in does not wait for all of them.
            if check.is_none() && Instant::now() >= check_at {
                let found = Coverage::of(node.segments(Some(self.journal.identity().incarnation)).await?);
                check = Some(Check { left: found.segments.into(), before: None });
            }
            if let Some(check) = &mut check
                && self.check(node, check, &tail).await?
            {
                // What was wrong is deleted, and found missing when this is resumed.
                break;
            }
            let grown = self.gather(&mut tail, &mut replay).await?;
            if node.marker() != disk {
                break;
            }
            if grown {
                self.seal(node, &mut tail).await?;
            }
            self.tell(&mut tail).await?;
        }
        self.tell(&mut Tail { told: None, ..tail }).await
    }

    /// What the node has already. The last segment is read: it tells the chain digest from which to go on.
    async fn resume(&self, node: &Node) -> Result<Tail, Error> {
        let incarnation = self.journal.identity().incarnation;
        let found = Coverage::of(node.segments(Some(incarnation)).await?);
        let empty = |first, before| Segment::begin(incarnation, first, before);
        let mut tail = Tail { segment: empty(1, Sha256Digest::new([0; 32])), written: BTreeSet::new(), told: None };
        let mut segments = found.segments;
        while let Some(name) = segments.pop() {
            match node.segment(&name).await? {
                Ok(segment) => {
                    tail = Tail { segment, written: BTreeSet::from([name]), told: None };
                    break;
                }
                // What is in the journal still is written once more.
                Err(bad) => self.set_aside(node, &name, &bad).await?,
            }
        }
        let last = tail.segment.last().map_or(0, |last| last.n);
        tracing::info!(seq = last, node.id = %self.target, "archiving the journal on node {} after event {last}", self.target);
        // Those that a process before this one had no time to delete.
        tail.written.extend(found.superseded.into_iter().filter(|name| name.last <= last));
        if tail.segment.last().is_some() {
            self.clear(node, &mut tail).await?;
        }
        Ok(tail)
    }

    /// Reads the next segment, and deletes it when it is not what was written, and both when it does not follow from the one
    /// before: either may be the wrong one. True: it is at its end, or something is to be written once more.
    async fn check(&self, node: &Node, check: &mut Check, tail: &Tail) -> Result<bool, Error> {
        let Some(name) = check.left.pop_front() else { return Ok(true) };
        // The last one grows, and is replaced by a longer one then.
        if name.first >= tail.segment.name().first && !tail.written.contains(&name) {
            return Ok(true);
        }
        match node.segment(&name).await? {
            Ok(segment) => {
                if let Some((other, chain)) = check.before
                    && chain != segment.before()
                {
                    let bad = |of: SegmentName| BadSegment::new(&of, "and its neighbour do not follow from each other");
                    self.set_aside(node, &other, &bad(other)).await?;
                    self.set_aside(node, &name, &bad(name)).await?;
                    return Ok(true);
                }
                check.before = Some((name, segment.chain()));
                Ok(false)
            }
            Err(bad) => {
                self.set_aside(node, &name, &bad).await?;
                Ok(true)
            }
        }
    }

    /// A segment that is broken is in the way of the right one, which may have the same name.
    async fn set_aside(&self, node: &Node, name: &SegmentName, bad: &BadSegment) -> Result<(), Error> {
        let target = &self.target;
        // Else it may be all that is left of these events.
        if !self.has(name).await? {
            if self.shutdown.is_soft() {
                return Ok(());
            }
            return Err(Error::Broken(bad.clone()));
        }
        tracing::error!(node.id = %target, "{bad} on node {target}: it is deleted, and written once more from the journal");
        Ok(node.delete(&name.key()).await?)
    }

    /// Whether the journal has every event of a segment.
    async fn has(&self, name: &SegmentName) -> Result<bool, Error> {
        if self.journal.head().await?.n < name.last {
            return Ok(false);
        }
        let mut events = self.journal.replay(name.first, Some(name.last));
        while !events.is_finished() {
            match events.next_batch(self.settings.archive_segment_events, WAIT).await {
                Ok(_) if self.shutdown.is_soft() => return Ok(false),
                Ok(_) => {}
                Err(journal::Error::Gap { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Takes what comes within `archive_within`, and no more than a segment has room for. False when nothing came.
    async fn gather(&self, tail: &mut Tail, replay: &mut Replay) -> Result<bool, Error> {
        let settings = &self.settings;
        let mut due: Option<Instant> = None;
        if self.is_full(&tail.segment) {
            *tail = Tail { segment: tail.segment.next(), written: BTreeSet::new(), told: tail.told };
        }
        while !self.shutdown.is_soft() && !self.is_full(&tail.segment) {
            let wait = due.map_or(WAIT, |due| due.saturating_duration_since(Instant::now()));
            if wait.is_zero() {
                break;
            }
            let room = settings.archive_segment_events.saturating_sub(tail.segment.events().len());
            let batch = replay.next_batch(room, wait).await?;
            if batch.is_empty() && due.is_none() {
                return Ok(false);
            }
            due.get_or_insert_with(|| Instant::now() + settings.archive_within);
            for recorded in batch {
                tail.segment.push(recorded);
            }
        }
        Ok(due.is_some())
    }

    fn is_full(&self, segment: &Segment) -> bool {
        let settings = &self.settings;
        segment.bytes() >= settings.archive_segment_bytes || segment.events().len() >= settings.archive_segment_events
    }

    /// Writes the last segment with what has come, and deletes what it replaces.
    async fn seal(&self, node: &Node, tail: &mut Tail) -> Result<(), Error> {
        let name = node.put_segment(&tail.segment).await?;
        tail.written.insert(name);
        self.clear(node, tail).await
    }

    /// Deletes those whose events the last segment has, too.
    async fn clear(&self, node: &Node, tail: &mut Tail) -> Result<(), Error> {
        let kept = tail.segment.name();
        while let Some(name) = tail.written.iter().find(|name| **name != kept).copied() {
            node.delete(&name.key()).await?;
            tail.written.remove(&name);
        }
        Ok(())
    }

    /// Tells others how far the archive is, now and then.
    async fn tell(&self, tail: &mut Tail) -> Result<(), Error> {
        let Some(last) = tail.segment.last() else { return Ok(()) };
        let due = tail.told.is_none_or(|(n, at)| n < last.n && at.elapsed() >= self.settings.archive_save_within);
        if due {
            let archived = Archived { n: last.n, message_id: last.message_id.clone(), chain: tail.segment.chain() };
            self.journal.save_archived(&self.target, &archived).await?;
            tail.told = Some((last.n, Instant::now()));
        }
        Ok(())
    }
}
