//! One lane of one target node: what becomes of a delivery.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blobs::Nodes;
use journal::{Delivery, Ended, Journal, Lane as Consumers, Markers, Refill, Slot, Slots, consumer_name};
use proto::{BlobId, DecodeError, Fact, MarkerId, NodeId, ReplicationParked};
use runtime::clock::{Clock, Ids};
use runtime::retry::{self, Backoff, Policy};
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;

use crate::config::Replicator;
use crate::confirm::{NotReported, Reports, system_event};
use crate::job::Asked;

mod catching_up;
mod copy;
mod erase;
mod sources;

pub(crate) use catching_up::{Account, CatchingUp};
pub(crate) use copy::{ASK_OTHERS_EVERY, Failure, asks_others};
pub(crate) use sources::Sources;

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
    /// Which disks the nodes have.
    pub(crate) markers: Arc<Markers>,
    pub(crate) stored: Reports,
    pub(crate) erased: Reports,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) shutdown: Shutdown,
    /// Places for blobs that wait between attempts.
    pub(crate) waiting: Semaphore,
    /// The copies under way, by the node that they are read from.
    pub(crate) sources: Sources,
    /// What waits for other nodes and is not waited for here, of all lanes of the target.
    pub(crate) catching_up: Arc<CatchingUp>,
    pub(crate) account: Account,
    /// Places for blobs that are being erased.
    pub(crate) erasing: Semaphore,
    /// Places for orders to erase.
    pub(crate) orders: Semaphore,
    /// The unknown events that were named in the log.
    pub(crate) named: Mutex<BTreeSet<String>>,
}

impl Lane {
    /// Works until the soft shutdown, then ends what is under way.
    pub(crate) async fn run(self: Arc<Self>) -> Result<(), journal::Error> {
        // Before anything is delivered: what is done elsewhere need not be done here.
        self.learn_what_is_left().await;
        let work = self.journal.work(&consumer_name(&self.target, self.consumers), &self.shutdown).await?;
        let at_rest = usize::from(self.settings.max_waiting) + self.settings.confirm_queue;
        let slots = Slots { started: self.concurrency, unended: self.concurrency + at_rest };
        let gate = || self.open();
        let lane = Arc::clone(&self);
        // On the heap: with all that a copy may wait for inside, it is a large future in a small one.
        let handler = move |delivery, slot| Box::pin(Arc::clone(&lane).handle(delivery, slot));
        let shutdown = self.shutdown.clone();
        journal::consume(work, slots, gate, handler, &shutdown).await
    }

    /// Waits until the target is part of the cluster and may be written to, and the journal would take the report.
    pub(crate) async fn open(&self) {
        while !self.shutdown.is_soft() {
            let usable = match self.nodes.get(&self.target) {
                Some(node) => node.usable(self.shutdown.soft_token()).await,
                None => false,
            };
            // It may have joined just now. Who cannot ask asks again.
            if self.markers.is_gone(&self.target)
                && let Err(error) = self.markers.refresh().await
            {
                tracing::debug!(node.id = %self.target, "whether node {} has joined is not known: {error}", self.target);
            }
            if usable && !self.markers.is_gone(&self.target) && self.journal.stopped().is_none() {
                return;
            }
            retry::sleep(LOOK_AGAIN, self.shutdown.soft_token()).await;
        }
    }

    /// Brings one event's work to an end. A second run, also beside the first, finds the copy there or makes the same object
    /// again, or finds nothing to erase, and reports what the fold knows already: it is harmless.
    async fn handle(self: Arc<Self>, delivery: Delivery, slot: Slot) -> Ended {
        let seq = delivery.recorded.n;
        match Asked::read(&delivery.recorded, &self.target, &self.node_ids) {
            Asked::Copy(_) if self.is_left_to_refill(seq) => {
                let target = &self.target;
                tracing::debug!(seq, node.id = %target, "what event {seq} asks of node {target} is left to its refill");
                delivery.ack().await
            }
            Asked::Copy(jobs) if self.is_left(&delivery, &jobs) => {
                let target = &self.target;
                tracing::debug!(seq, node.id = %target, "what event {seq} asks of node {target} is left to its catching up");
                delivery.ack().await
            }
            Asked::Copy(jobs) => Box::pin(self.copy(delivery, slot, &jobs)).await,
            Asked::Refill(marker_id) => self.begin_refill(delivery, marker_id).await,
            Asked::Erase(order) => Box::pin(self.erase(delivery, slot, &order)).await,
            Asked::Nothing(why) => {
                tracing::debug!(seq, node.id = %self.target, "event {seq} asks nothing of node {}: {why}", self.target);
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

    /// Whether the event is older than the target's disk: then the refill of that disk does what it asks for, and the fold
    /// would not listen to what becomes of it here.
    pub(crate) fn is_left_to_refill(&self, seq: u64) -> bool {
        self.markers.get(&self.target).is_some_and(|disk| seq < disk.since)
    }

    /// Has the target filled, by whichever process gets to it first.
    async fn begin_refill(&self, delivery: Delivery, marker_id: MarkerId) -> Ended {
        let (seq, target) = (delivery.recorded.n, &self.target);
        if let Err(error) = self.markers.refresh().await {
            return self.give_back(delivery, &error.to_string()).await;
        }
        let disk = self.markers.get(target);
        if disk.is_none_or(|disk| (disk.marker_id, disk.since) != (marker_id, seq)) {
            tracing::debug!(seq, node.id = %target, "event {seq} is not the latest about the disk of node {target}");
            return delivery.ack().await;
        }
        let refill = Refill::new(seq, marker_id, self.clock.now());
        match self.journal.begin_refill(target, &refill).await {
            Ok(_) => delivery.ack().await,
            Err(error) => {
                tracing::warn!(seq, node.id = %target, "cannot begin the refill of node {target} now: {error}");
                self.give_back(delivery, &error.to_string()).await
            }
        }
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

    /// What is done cannot be reported: it comes again, and is found to be done then.
    async fn unreported(&self, delivery: Delivery, error: NotReported) -> Ended {
        match error {
            // Logged by the reporter, once for the batch.
            NotReported::Publish(error) => self.give_back(delivery, &error.to_string()).await,
            NotReported::Ending => delivery.give_back().await,
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

    /// It comes again later, to whomever: who could do it now would only keep others waiting.
    async fn set_aside(&self, delivery: Delivery, reason: &str) -> Ended {
        let seq = delivery.recorded.n;
        let delay = nth_delay(&self.settings.source_wait, delivery.delivered);
        tracing::debug!(seq, node.id = %self.target, "event {seq} is set aside for {delay:?} by node {}: {reason}", self.target);
        delivery.retry_after(delay).await
    }

    /// Gives one blob up, and says so in the journal: from there a person or a redrive goes on. `what` is given up is
    /// said in the log. An error is the reason why nothing is recorded.
    pub(crate) async fn park(
        &self,
        what: &str,
        blob_id: BlobId,
        cause: u64,
        attempts: u32,
        reason: String,
    ) -> Result<(), &'static str> {
        let target = &self.target;
        let Some(marker) = self.nodes.get(target).and_then(blobs::Node::marker) else {
            return Err("its marker is not known");
        };
        let (reason, marker_id) = (shorten(reason), marker.marker_id);
        let parked =
            ReplicationParked { node: target.clone(), marker_id, blob_id, cause, attempts, reason: reason.clone() };
        let event = system_event(&self.clock, &self.ids, Fact::ReplicationParked(parked));
        match self.journal.publish(&event).await {
            Ok(_) => {
                tracing::error!(
                    seq = cause, blob.id = %blob_id, node.id = %target, event.id = %event.id,
                    "parked the {what} of blob {blob_id} on node {target} after {attempts} attempts: {reason}"
                );
                Ok(())
            }
            Err(error) => {
                tracing::warn!(
                    seq = cause, blob.id = %blob_id, node.id = %target, event.id = %event.id,
                    "cannot park the {what} of blob {blob_id} on node {target}, it is tried again: {error}"
                );
                Err("its parking is not recorded")
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
        tracing::error!(seq, node.id = %self.target, "event {seq} must wait for a newer replicator, which may have to copy or erase a blob: {unknown}");
    }
}

/// The delay before a delivery comes again that was given back `times` times, counting this one.
pub(crate) fn nth_delay(policy: &Policy, times: u32) -> Duration {
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
