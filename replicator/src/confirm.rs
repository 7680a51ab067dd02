//! Reporting finished copies and erasures, many in one event.
//!
//! What is done counts only once the journal has it, so each lane's handler waits here before it acknowledges its
//! delivery. What is dropped in between (a crash, a hard shutdown) is done again, found to be done, and reported then.

use std::fmt;
use std::time::Duration;

use journal::{Journal, PublishError};
use proto::{BlobErased, BlobId, ErasedBlob, Event, EventId, Fact, MarkerId, NodeId, ReplicaStored, StoredReplica};
use runtime::clock::{Clock, Ids};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Who publishes, as events say.
const SOURCE: &str = "/highwater/replicator";

/// Where handlers report. Clones report to the same task, which ends with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Reports(mpsc::Sender<Report>);

/// What is reported to one task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Copies that are on the node, verified.
    Stored,
    /// Blobs that are not on the node any more.
    Erased,
}

/// A blob that is done with, and the sequence number of the event that asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) blob_id: BlobId,
    pub(crate) cause: u64,
}

/// The task that publishes what is reported of one node.
#[derive(Debug)]
pub(crate) struct Reporter {
    inbox: mpsc::Receiver<Report>,
    what: What,
    node: NodeId,
    limits: Limits,
    journal: Journal,
    clock: Clock,
    ids: Ids,
}

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) batch: usize,
    pub(crate) within: Duration,
    pub(crate) queue: usize,
}

/// Why what is done is not known to be reported.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotReported {
    #[error("cannot publish the report: {0}")]
    Publish(PublishError),
    #[error("the process is ending")]
    Ending,
}

#[derive(Debug)]
struct Report {
    marker_id: MarkerId,
    done: Done,
    told: oneshot::Sender<Result<(), PublishError>>,
}

/// An event of the system, which is about a fact that this process knows first.
pub(crate) fn system_event(clock: &Clock, ids: &Ids, fact: Fact) -> Event {
    Event::of_system(EventId::new(ids.v7()), SOURCE, clock.now(), fact)
}

/// The next batch: all of one marker, at most `limits.batch`, none older than `limits.within`. `carry` holds a report of
/// another marker over to the batch after it. `None` when nobody can report any more.
async fn next_batch(
    inbox: &mut mpsc::Receiver<Report>,
    carry: &mut Option<Report>,
    limits: Limits,
) -> Option<Vec<Report>> {
    let first = match carry.take() {
        Some(report) => report,
        None => inbox.recv().await?,
    };
    let deadline = Instant::now() + limits.within;
    let marker_id = first.marker_id;
    let mut batch = vec![first];
    while batch.len() < limits.batch {
        match tokio::time::timeout_at(deadline, inbox.recv()).await {
            Ok(Some(report)) if report.marker_id == marker_id => batch.push(report),
            Ok(Some(other)) => {
                *carry = Some(other);
                break;
            }
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}

// === impl Reports ===

impl Reports {
    /// Reports what is done on the disk with this marker; returns once the journal has the report.
    pub(crate) async fn report(&self, marker_id: MarkerId, done: Done) -> Result<(), NotReported> {
        let (told, outcome) = oneshot::channel();
        let report = Report { marker_id, done, told };
        self.0.send(report).await.map_err(|_| NotReported::Ending)?;
        outcome.await.map_err(|_| NotReported::Ending)?.map_err(NotReported::Publish)
    }
}

// === impl What ===

impl What {
    /// The fact that reports all of `done`.
    pub(crate) fn fact(self, node: NodeId, marker_id: MarkerId, done: &[Done]) -> Fact {
        match self {
            Self::Stored => {
                let replicas = done.iter().map(|&Done { blob_id, cause }| StoredReplica { blob_id, cause }).collect();
                Fact::ReplicaStored(ReplicaStored { node, marker_id, replicas })
            }
            Self::Erased => {
                let blobs = done.iter().map(|&Done { blob_id, cause }| ErasedBlob { blob_id, cause }).collect();
                Fact::BlobErased(BlobErased { node, marker_id, blobs })
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "copies",
            Self::Erased => "erasures",
        })
    }
}

// === impl Reporter ===

impl Reporter {
    pub(crate) fn new(
        what: What,
        node: NodeId,
        limits: Limits,
        journal: Journal,
        clock: Clock,
        ids: Ids,
    ) -> (Reports, Self) {
        let (reports, inbox) = mpsc::channel(limits.queue);
        (Reports(reports), Self { inbox, what, node, limits, journal, clock, ids })
    }

    /// Publishes until nobody can report any more.
    pub(crate) async fn run(mut self) {
        let mut carry = None;
        while let Some(batch) = next_batch(&mut self.inbox, &mut carry, self.limits).await {
            self.publish(batch).await;
        }
    }

    async fn publish(&self, batch: Vec<Report>) {
        let Some(marker_id) = batch.first().map(|report| report.marker_id) else { return };
        let what = self.what;
        let done: Vec<Done> = batch.iter().map(|report| report.done).collect();
        let event = system_event(&self.clock, &self.ids, what.fact(self.node.clone(), marker_id, &done));
        let outcome = match self.journal.publish(&event).await {
            Ok(published) => {
                tracing::debug!(
                    node.id = %self.node, event.id = %event.id, seq = published.n,
                    "reported {} {what} on node {}", batch.len(), self.node
                );
                Ok(())
            }
            Err(error) => {
                tracing::warn!(
                    node.id = %self.node, event.id = %event.id,
                    "cannot report {} {what} on node {}, they are looked at again: {error}", batch.len(), self.node
                );
                Err(error)
            }
        };
        for report in batch {
            // Who does not wait any more was dropped in a hard shutdown.
            let _ = report.told.send(outcome.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use uuid::Uuid;

    const LIMITS: Limits = Limits { batch: 3, within: Duration::from_millis(50), queue: 16 };

    fn report(marker: u128, blob: u128) -> Report {
        let done = Done { blob_id: BlobId::new(Uuid::from_u128(blob)), cause: 1 };
        Report { marker_id: MarkerId::new(Uuid::from_u128(marker)), done, told: oneshot::channel().0 }
    }

    async fn batches(reports: Vec<Report>) -> Vec<usize> {
        let (sender, mut inbox) = mpsc::channel(16);
        for report in reports {
            sender.send(report).await.unwrap();
        }
        drop(sender);
        let (mut carry, mut sizes) = (None, Vec::new());
        while let Some(batch) = next_batch(&mut inbox, &mut carry, LIMITS).await {
            sizes.push(batch.len());
        }
        sizes
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_a_largest_size() {
        assert_eq!(batches((0..7).map(|n| report(1, n)).collect()).await, [3, 3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_one_marker() {
        assert_eq!(batches(vec![report(1, 1), report(1, 2), report(2, 3), report(1, 4)]).await, [2, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_report_does_not_wait_long() {
        let (sender, mut inbox) = mpsc::channel(16);
        sender.send(report(1, 1)).await.unwrap();
        let started = Instant::now();
        let batch = next_batch(&mut inbox, &mut None, LIMITS).await.unwrap();
        assert_eq!((batch.len(), started.elapsed()), (1, LIMITS.within));
    }
}
