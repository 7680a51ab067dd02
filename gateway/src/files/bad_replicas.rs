//! Nodes that turned out, in a download, not to hold what the catalog says: reported to the journal, from where the
//! replicators make the copy again.
//!
//! A download only notes what it found; one task tells the journal, so that no client waits for it and a node that lost
//! everything is not a flood of events.

use std::collections::HashMap;
use std::time::Duration;

use blobs::Failed;
use catalog::{Replica, ReplicaState};
use proto::{BlobId, Event, EventId, Fact, MarkerId, NodeId, ReplicaLost};
use runtime::shutdown::Shutdown;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Files, Opened, Reading, SOURCE};
use crate::error::{Error, Result};

/// So many findings may wait to be told; more are forgotten, and found again by the next download.
const QUEUE: usize = 256;
/// The same copy is told once in this time.
const AGAIN_AFTER: Duration = Duration::from_mins(1);
/// So many copies are remembered as told.
const MAX_REMEMBERED: usize = 4096;
/// The most characters of a reason.
const MAX_REASON: usize = 500;

/// Where downloads leave what they found.
#[derive(Debug, Clone)]
pub(super) struct Finds(mpsc::Sender<Find>);

/// What [`Files::report_bad_replicas`] takes it from.
pub(crate) type Inbox = mpsc::Receiver<Find>;

/// A copy that is not what the catalog says.
#[derive(Debug)]
pub(crate) struct Find {
    blob_id: BlobId,
    node: NodeId,
    /// What is wrong; or where the node failed, and may do so at this copy only.
    why: Why,
    /// The event that made the catalog say that the node has it.
    stored_seq: u64,
}

#[derive(Debug)]
enum Why {
    Wrong(String),
    Failed(Failed),
}

/// Which copies were told lately.
#[derive(Debug, Default)]
struct Told(HashMap<(BlobId, NodeId), Instant>);

pub(super) fn channel() -> (Finds, Inbox) {
    let (sender, inbox) = mpsc::channel(QUEUE);
    (Finds(sender), inbox)
}

// === impl Finds ===

impl Finds {
    /// Leaves a finding, if the catalog says that the node has the blob: where it does not, the node was asked on chance.
    fn leave(&self, blob_id: BlobId, replicas: &[Replica], node: &NodeId, why: Why) {
        let is_it = |replica: &&Replica| replica.node == *node && replica.state == Some(ReplicaState::Stored);
        let Some(replica) = replicas.iter().find(is_it) else { return };
        if self.0.try_send(Find { blob_id, node: node.clone(), why, stored_seq: replica.seq }).is_err() {
            debug!(blob.id = %blob_id, node.id = %node, "too many bad copies to report this one now");
        }
    }
}

// === impl Told ===

impl Told {
    /// Takes note that this copy is told now; false when it was told lately, or too many were.
    fn note(&mut self, find: &Find, now: Instant) -> bool {
        let key = (find.blob_id, find.node.clone());
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, at| now < *at + AGAIN_AFTER);
        }
        if self.0.get(&key).is_some_and(|at| now < *at + AGAIN_AFTER) || self.0.len() >= MAX_REMEMBERED {
            return false;
        }
        self.0.insert(key, now);
        true
    }

    fn forget(&mut self, find: &Find) {
        self.0.remove(&(find.blob_id, find.node.clone()));
    }
}

// === impl Reading ===

impl Reading {
    /// Reports, once for each, which nodes turned out not to hold what they should.
    pub(super) fn report(&mut self) {
        let bad = self.read.bad_replicas();
        let version = &self.file.version;
        let blob_id = version.blob.blob_id;
        for bad in bad.iter().skip(self.reported) {
            warn!(blob.id = %blob_id, node.id = %bad.node, "node {} {} (blob {blob_id})", bad.node, bad.reason);
            self.finds.leave(blob_id, &version.replicas, &bad.node, Why::Wrong(bad.reason.clone()));
        }
        let failed = self.read.failed();
        for failed in failed.iter().skip(self.reported_failed) {
            self.finds.leave(blob_id, &version.replicas, &failed.node, Why::Failed(failed.clone()));
        }
        (self.reported, self.reported_failed) = (bad.len(), failed.len());
    }
}

// === impl Files ===

impl Files {
    /// Tells the journal what downloads find, until the soft shutdown.
    pub(crate) async fn report_bad_replicas(self, mut inbox: Inbox, shutdown: Shutdown) {
        let mut told = Told::default();
        loop {
            let find = tokio::select! {
                biased;
                () = shutdown.soft_cancelled() => return,
                find = inbox.recv() => find,
            };
            let Some(find) = find else { return };
            if !told.note(&find, Instant::now()) {
                continue;
            }
            let Find { blob_id, node, .. } = &find;
            let Some(reason) = self.judge(&find).await else {
                told.forget(&find);
                continue;
            };
            if let Err(error) = self.tell(&find, &reason).await {
                warn!(blob.id = %blob_id, node.id = %node, "cannot report the copy of blob {blob_id} on node {node} as lost: {error:#}");
                told.forget(&find);
            }
        }
    }

    /// What is wrong with the copy. A node that is down, or was for a moment, is no reason to make it again; one that is well
    /// and never gives it is.
    async fn judge(&self, find: &Find) -> Option<String> {
        let failed = match &find.why {
            Why::Wrong(reason) => return Some(reason.clone()),
            Why::Failed(failed) => failed,
        };
        let node = self.opened()?.nodes.get(&find.node)?.clone();
        if !node.state().is_healthy() {
            return None;
        }
        let reason = Box::pin(node.fails_at(find.blob_id, &failed.key, failed.range.clone())).await?;
        Some(format!("gives others, but not this one: it {reason}"))
    }

    async fn tell(&self, find: &Find, reason: &str) -> Result<()> {
        let opened = self.ready()?;
        let Find { blob_id, node, stored_seq, .. } = find;
        // Older than the rows that are read next: a change in between is not judged by this report.
        let checkpoint = self.catalog().checkpoints().now().map_or(0, |checkpoint| checkpoint.n);
        let is_as_found = |replica: &Replica| {
            replica.node == *node && replica.state == Some(ReplicaState::Stored) && replica.seq == *stored_seq
        };
        if !self.catalog().replicas(*blob_id).await?.iter().any(is_as_found) {
            debug!(blob.id = %blob_id, node.id = %node, "what a download found on node {node} is known, or outdated");
            return Ok(());
        }
        let Some(marker_id) = marker_of(opened, node).await? else { return Ok(()) };
        let replicas = self.catalog().wanted_copies(node, &[*blob_id]).await?;
        if replicas.is_empty() {
            return Ok(());
        }
        let lost = ReplicaLost {
            node: node.clone(),
            marker_id,
            evaluated_at: checkpoint.max(*stored_seq),
            reason: reason.chars().take(MAX_REASON).collect(),
            replicas,
        };
        let (process, fact) = (&self.inner().process, Fact::ReplicaLost(lost));
        let event = Event::of_system(EventId::new(process.ids.v7()), SOURCE, process.clock.now(), fact);
        opened.journal.publish(&event).await.map_err(|error| super::publish::stopped(&error))?;
        warn!(
            blob.id = %blob_id, node.id = %node, event.id = %event.id,
            "reported the copy of blob {blob_id} on node {node} as lost: it {reason}"
        );
        Ok(())
    }
}

/// The marker that the node's bucket carries now: a bucket that was wiped lacks everything, and is another's business. The
/// fold compares it with the catalog's.
async fn marker_of(opened: &Opened, node: &NodeId) -> Result<Option<MarkerId>> {
    let Some(known) = opened.nodes.get(node) else { return Ok(None) };
    let found = known.read_marker().await.map_err(Error::from)?;
    let expected = known.marker().map(|marker| marker.marker_id);
    Ok(found.map(|marker| marker.marker_id).filter(|found| Some(*found) == expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    use uuid::Uuid;

    fn find(blob: u128, node: &str) -> Find {
        let blob_id = BlobId::new(Uuid::from_u128(blob));
        Find { blob_id, node: node.parse().unwrap(), why: Why::Wrong("has it not".to_owned()), stored_seq: 1 }
    }

    #[test]
    fn a_copy_is_told_once_in_a_while() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert!(told.note(&find(1, "a"), now));
        assert!(!told.note(&find(1, "a"), now + AGAIN_AFTER / 2));
        assert!(told.note(&find(1, "b"), now) && told.note(&find(2, "a"), now));
        assert!(told.note(&find(1, "a"), now + AGAIN_AFTER));
        told.forget(&find(1, "a"));
        assert!(told.note(&find(1, "a"), now + AGAIN_AFTER));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (mut told, now) = (Told::default(), Instant::now());
        let noted = (0..2 * MAX_REMEMBERED as u128).filter(|n| told.note(&find(*n, "a"), now)).count();
        assert_eq!((noted, told.0.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(told.note(&find(u128::MAX, "a"), now + AGAIN_AFTER), "there is room again later");
    }
}
