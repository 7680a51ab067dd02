//! One lane of one target node: what becomes of a delivery.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blobs::{Copied, CopyError, CopyOptions, Nodes};
use journal::{Delivery, Ended, Journal, Lane as Consumers, Slot, Slots, consumer_name};
use proto::{DecodeError, Fact, NodeId, ReplicationParked, StoredReplica};
use runtime::clock::{Clock, Ids};
use runtime::retry::{self, Backoff, Policy};
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;

use crate::config::Replicator;
use crate::confirm::{NotReported, Reports, system_event};
use crate::job::{Asked, Job};

/// How long a gate that is shut for the journal's sake waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// So many kinds of unknown events are named once each; more are not remembered, and so are named again.
const MAX_NAMED: usize = 64;

/// The delays of a delivery that comes again and again stop growing after so many times.
const MAX_DOUBLINGS: u32 = 16;

/// What the handlers of one lane of one target node share.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) target: NodeId,
    pub(crate) consumers: Consumers,
    /// Copies at once.
    pub(crate) concurrency: usize,
    pub(crate) settings: Replicator,
    /// All configured nodes, in the order of the configuration.
    pub(crate) node_ids: Vec<NodeId>,
    pub(crate) nodes: Nodes,
    pub(crate) journal: Journal,
    pub(crate) reports: Reports,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) shutdown: Shutdown,
    /// Places for blobs that wait between attempts.
    pub(crate) waiting: Semaphore,
    /// The unknown events that were named in the log.
    pub(crate) named: Mutex<BTreeSet<String>>,
}

/// Why an attempt made no copy.
enum Failure {
    /// A node's fault, which says nothing of the blob.
    Node(String),
    /// The blob's own: it counts.
    Blob(String),
    /// The blob was erased: nothing is left to do.
    Erased,
}

impl Lane {
    /// Works until the soft shutdown, then ends what is under way.
    pub(crate) async fn run(self: Arc<Self>) -> Result<(), journal::Error> {
        let work = self.journal.work(&consumer_name(&self.target, self.consumers), &self.shutdown).await?;
        let at_rest = usize::from(self.settings.max_waiting) + self.settings.confirm_queue;
        let slots = Slots { started: self.concurrency, unended: self.concurrency + at_rest };
        let gate = || self.open();
        let lane = Arc::clone(&self);
        let handler = move |delivery, slot| Arc::clone(&lane).handle(delivery, slot);
        let shutdown = self.shutdown.clone();
        journal::consume(work, slots, gate, handler, &shutdown).await
    }

    /// Waits until the target may be written to and the journal would take the report.
    async fn open(&self) {
        while !self.shutdown.is_soft() {
            let usable = match self.nodes.get(&self.target) {
                Some(node) => node.usable(self.shutdown.soft_token()).await,
                None => false,
            };
            if usable && self.journal.stopped().is_none() {
                return;
            }
            retry::sleep(LOOK_AGAIN, self.shutdown.soft_token()).await;
        }
    }

    /// Brings one event's work to an end. A second run, also beside the first, finds the copy there or makes the same object
    /// again, and reports what the fold knows already: it is harmless.
    async fn handle(self: Arc<Self>, delivery: Delivery, slot: Slot) -> Ended {
        let seq = delivery.recorded.n;
        match Asked::read(&delivery.recorded, &self.target, &self.node_ids) {
            Asked::Copy(job) => self.copy(delivery, slot, &job).await,
            Asked::Nothing(why) => {
                tracing::debug!(seq, node.id = %self.target, "event {seq} needs no copy on node {}: {why}", self.target);
                delivery.ack().await
            }
            Asked::Undecodable(reason) => {
                tracing::warn!(
                    seq,
                    "event {seq} cannot be decoded and asks for nothing, the fold keeps the record: {reason}"
                );
                delivery.ack().await
            }
            Asked::Unknown(unknown) => {
                self.name_once(seq, &unknown);
                delivery.retry_after(self.settings.unknown_event_delay).await
            }
        }
    }

    async fn copy(&self, delivery: Delivery, slot: Slot, job: &Job) -> Ended {
        let mut slot = slot;
        let mut backoff = Backoff::new(&self.settings.retry);
        let mut first_attempt = delivery.delivered == 1;
        let mut attempts = 0;
        loop {
            let reason = match self.attempt(job, first_attempt).await {
                Ok(copied) => {
                    // The copy is done: another one may start while this one waits to be reported.
                    drop(slot);
                    return self.report(delivery, job, &copied).await;
                }
                Err(Failure::Node(reason)) => return self.give_back(delivery, &reason).await,
                Err(Failure::Erased) => return delivery.ack().await,
                Err(Failure::Blob(reason)) => reason,
            };
            first_attempt = false;
            attempts += 1;
            if attempts >= self.settings.park_after {
                drop(slot);
                return self.park(delivery, job, attempts, reason).await;
            }
            tracing::info!(
                seq = job.cause, blob.id = %job.blob.blob_id, node.id = %self.target,
                "attempt {attempts} to copy blob {} to node {} failed: {reason}", job.blob.blob_id, self.target
            );
            match self.wait(slot, backoff.next_delay()).await {
                Some(again) => slot = again,
                None => return delivery.give_back().await,
            }
        }
    }

    async fn attempt(&self, job: &Job, first_attempt: bool) -> Result<Copied, Failure> {
        let age = self.clock.now() - job.asked_at;
        let options = CopyOptions { first_attempt, check_erased: age > self.settings.erased_check_age };
        let copied = blobs::copy(&self.nodes, &job.blob, &job.meta, &job.sources, &self.target, options).await;
        copied.map_err(|error| match error {
            CopyError::Node { .. } => Failure::Node(error.to_string()),
            CopyError::Blob { reason } => Failure::Blob(reason),
            CopyError::Erased { .. } => Failure::Erased,
        })
    }

    /// Waits between two attempts, without the slot: others are copied meanwhile. While too many wait already it keeps the
    /// slot, so that never more than the limit are between attempts. `None`: a shutdown was asked for.
    async fn wait(&self, slot: Slot, delay: Duration) -> Option<Slot> {
        let soft = self.shutdown.soft_token();
        let place = tokio::select! {
            biased;
            () = soft.cancelled() => return None,
            place = self.waiting.acquire() => place.ok()?,
        };
        let paused = slot.pause();
        if !retry::sleep(delay, soft).await {
            return None;
        }
        // Given up before the slot is taken again: who waits for a place holds a slot.
        drop(place);
        tokio::select! {
            biased;
            () = soft.cancelled() => None,
            slot = paused.resume() => Some(slot),
        }
    }

    async fn report(&self, delivery: Delivery, job: &Job, copied: &Copied) -> Ended {
        let (blob_id, target) = (job.blob.blob_id, &self.target);
        let replica = StoredReplica { blob_id, cause: job.cause };
        match self.reports.stored(copied.marker_id, replica).await {
            Ok(()) => {
                tracing::debug!(
                    seq = job.cause, blob.id = %blob_id, node.id = %target,
                    "stored replica of {blob_id} on {target} ({} bytes, {})",
                    copied.bytes, if copied.already_there { "was there" } else { "copied" }
                );
                delivery.ack().await
            }
            // Logged by the reporter, once for the batch.
            Err(NotReported::Publish(error)) => self.give_back(delivery, &error.to_string()).await,
            Err(NotReported::Ending) => delivery.give_back().await,
        }
    }

    /// A node's fault: the blob comes again, to whomever, and no attempt is counted. The breaker says in the log that the
    /// node is down.
    async fn give_back(&self, delivery: Delivery, reason: &str) -> Ended {
        let seq = delivery.recorded.n;
        let delay = nth_delay(&self.settings.give_back, delivery.delivered);
        tracing::debug!(seq, node.id = %self.target, "event {seq} comes again for node {} in {delay:?}: {reason}", self.target);
        delivery.retry_after(delay).await
    }

    /// Gives the copy up, and says so in the journal first: from there a person or a redrive goes on.
    async fn park(&self, delivery: Delivery, job: &Job, attempts: u32, reason: String) -> Ended {
        let (blob_id, target) = (job.blob.blob_id, &self.target);
        let Some(marker) = self.nodes.get(target).and_then(blobs::Node::marker) else {
            return self.give_back(delivery, "its marker is not known").await;
        };
        let parked = ReplicationParked {
            node: target.clone(),
            marker_id: marker.marker_id,
            blob_id,
            cause: job.cause,
            attempts,
            reason: shorten(reason),
        };
        let reason = parked.reason.clone();
        let event = system_event(&self.clock, &self.ids, Fact::ReplicationParked(parked));
        match self.journal.publish(&event).await {
            Ok(_) => {
                tracing::error!(
                    seq = job.cause, blob.id = %blob_id, node.id = %target, event.id = %event.id,
                    "parked the replication of {blob_id} to {target} after {attempts} attempts: {reason}"
                );
                delivery.ack().await
            }
            Err(error) => {
                tracing::warn!(
                    seq = job.cause, blob.id = %blob_id, node.id = %target, event.id = %event.id,
                    "cannot park the replication of {blob_id} to {target}, it is tried again: {error}"
                );
                self.give_back(delivery, "its parking is not recorded").await
            }
        }
    }

    fn name_once(&self, seq: u64, unknown: &DecodeError) {
        let what = match unknown {
            DecodeError::UnknownType { event_type, .. } => event_type.clone(),
            DecodeError::UnknownRules { rules, .. } => format!("rules {rules}"),
            DecodeError::Undecodable { .. } => return,
        };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(&what) {
            return;
        }
        if named.len() < MAX_NAMED {
            named.insert(what);
        }
        tracing::error!(seq, node.id = %self.target, "event {seq} must wait for a newer replicator, which may have to copy its blob: {unknown}");
    }
}

/// The delay before a delivery comes again that was given back `times` times, counting this one.
fn nth_delay(policy: &Policy, times: u32) -> Duration {
    let mut backoff = Backoff::new(policy);
    let mut delay = backoff.next_delay();
    for _ in 1..times.min(MAX_DOUBLINGS) {
        delay = backoff.next_delay();
    }
    delay
}

/// Cut to what an event may well hold.
fn shorten(reason: String) -> String {
    const MAX_CHARS: usize = 1000;
    match reason.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_of_a_delivery_grow_up_to_their_ceiling() {
        let policy = Policy::new(Duration::from_secs(1), Duration::from_secs(15));
        for (times, ceiling) in [(1, 1), (2, 2), (4, 8), (5, 15), (u32::MAX, 15)] {
            let longest = (0..200).map(|_| nth_delay(&policy, times)).max().unwrap();
            assert!(longest <= Duration::from_secs(ceiling), "{times}: {longest:?}");
            assert!(longest > Duration::from_secs(ceiling) / 2, "{times}: {longest:?}");
        }
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(shorten("short".to_owned()), "short");
        assert_eq!(shorten("ä".repeat(2000)).chars().count(), 1003);
    }
}
