//! Filling a node that joined, or whose disk was changed: everything that the journal brought before that is copied to it.
//! And catching up with another one that was away: what some events ask for that is to be read from there.
//!
//! One process at a time does it for each node, under a lease, beside the lanes and with places of its own. How far it
//! came is written down every few seconds, so another process goes on from there.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobs::Health;
use journal::{Error, Refill, Saved};
use proto::{BlobId, Fact, Kind, NodeId};
use runtime::retry;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::lane::{ASK_OTHERS_EVERY, Lane};

mod blob;
mod pass;
mod set_aside;

use pass::{End, Pass};
use set_aside::SetAside;

/// Orders to erase taken from the journal at once, each of hundreds of blobs, and how long they are waited for at once.
const ORDERS: usize = 100;
const WAIT: Duration = Duration::from_secs(1);

/// Looks after the filling of one node, or after its catching up with one other.
#[derive(Debug)]
pub(crate) struct Refiller {
    /// How to copy and to report; it takes no deliveries.
    lane: Arc<Lane>,
    /// The node that is caught up with.
    source: Option<NodeId>,
    /// This process among those that may hold the lease.
    holder: String,
    /// The right to copy.
    places: Semaphore,
    /// The blobs that wait for a node that they can be read from: what comes after them is copied meanwhile.
    set_aside: SetAside,
    /// The events that were caught up with after one that was not: the next pass need not look at them again, and above all
    /// not report once more what they asked for.
    ahead: Mutex<BTreeSet<u64>>,
}

impl Refiller {
    /// Of a node, with all that its disk lacks, or with what waits for one source.
    pub(crate) fn new(lane: Arc<Lane>, source: Option<NodeId>, holder: String) -> Self {
        let places = Semaphore::new(usize::from(lane.settings.refill_concurrency));
        let set_aside = SetAside::new(lane.settings.refill_set_aside);
        Self { lane, source, holder, places, set_aside, ahead: Mutex::default() }
    }

    /// Fills the node whenever that is asked for, until the soft shutdown.
    pub(crate) async fn run(self) {
        let (target, settings) = (&self.lane.target, &self.lane.settings);
        let (mut said, mut rest_until) = (None, Instant::now());
        while retry::sleep(settings.refill_interval, self.lane.shutdown.soft_token()).await {
            if Instant::now() < rest_until {
                continue;
            }
            let looked = self.look().await;
            if matches!(looked, Ok(Some(End::Left))) {
                rest_until = Instant::now() + settings.source_wait.max_delay;
            }
            let problem = looked.err().map(|error| error.to_string());
            if problem != said
                && let Some(problem) = &problem
            {
                tracing::warn!(node.id = %target, "cannot look after the refill of node {target} now: {problem}");
            }
            said = problem;
        }
    }

    /// Fills the node if that is asked for, can be done, and nobody else does it.
    async fn look(&self) -> Result<Option<End>, Error> {
        let lane = &self.lane;
        let saved = self.saved().await?;
        if self.source.is_some() && saved.as_ref().is_none_or(|saved| saved.refill.done) {
            return Ok(None);
        }
        lane.markers.refresh().await?;
        let duty = match &self.source {
            None => {
                self.ask_if_forgotten(saved.as_ref()).await?;
                format!("refill-{}", lane.target)
            }
            Some(source) => format!("refill-{}-from-{source}", lane.target),
        };
        if !self.is_wanted(saved.as_ref()) {
            return Ok(None);
        }
        let Some(mut lease) = lane.journal.acquire(&duty, &self.holder).await? else { return Ok(None) };
        let filled = tokio::select! {
            filled = self.fill() => filled,
            () = lease.keep() => {
                tracing::warn!(node.id = %lane.target, "lost the lease of the refill of node {}", lane.target);
                return Ok(None);
            }
        };
        if let Err(error) = lease.release().await {
            tracing::debug!("the lease {duty} ends by itself: {error}");
        }
        filled
    }

    /// How far it has come, which the lanes are told.
    async fn saved(&self) -> Result<Option<Saved>, Error> {
        let lane = &self.lane;
        let Some(source) = &self.source else { return lane.journal.refill(&lane.target).await };
        let saved = lane.journal.catching_up(&lane.target, source).await?;
        if let Some(Saved { refill, .. }) = &saved {
            lane.catching_up.note(source, refill);
        }
        Ok(saved)
    }

    /// The event that asks for a refill comes once; what was written down then may be lost, and is no fact. The journal tells
    /// which refill the node's disk needs: one that is not known is asked for again, and finds there what was copied.
    async fn ask_if_forgotten(&self, saved: Option<&Saved>) -> Result<(), Error> {
        let lane = &self.lane;
        let Some(disk) = lane.markers.get(&lane.target) else { return Ok(()) };
        if saved.is_some_and(|saved| saved.refill.cause >= disk.since) {
            return Ok(());
        }
        let refill = Refill::new(disk.since, disk.marker_id, lane.clock.now());
        lane.journal.begin_refill(&lane.target, &refill).await.map(drop)
    }

    /// Whether there is something to do, on the disk that the node has now. What waits for a source is done when that is
    /// there, and looked for on the others once in a while.
    fn is_wanted(&self, saved: Option<&Saved>) -> bool {
        let Some(Saved { refill, .. }) = saved else { return false };
        let lane = &self.lane;
        let Some(disk) = lane.markers.get(&lane.target) else { return false };
        let (marker_id, node) = (disk.marker_id, lane.nodes.get(&lane.target));
        let is_due = match &self.source {
            None => (marker_id, disk.since) == (refill.marker_id, refill.cause),
            Some(_) => !self.source_is_down() || refill.updated_at + self.ask_others_every() <= lane.clock.now(),
        };
        // Between the event and the marker on the disk there may be a while.
        let is_there = node
            .is_some_and(|node| node.state().is_healthy() && node.marker().is_some_and(|m| m.marker_id == marker_id));
        !refill.done && is_due && is_there
    }

    /// Whether the node that is caught up with cannot be read from. One that is not configured is not waited for.
    fn source_is_down(&self) -> bool {
        let source = self.source.as_ref().and_then(|source| self.lane.nodes.get(source));
        source.is_some_and(|node| node.unreadable().is_some() || matches!(node.state(), Health::WrongMarker { .. }))
    }

    fn ask_others_every(&self) -> Duration {
        self.lane.settings.source_wait.max_delay * ASK_OTHERS_EVERY
    }

    async fn fill(&self) -> Result<Option<End>, Error> {
        let lane = &self.lane;
        // As whoever had the lease before left it.
        let Some(saved) = self.saved().await? else { return Ok(None) };
        if !self.is_wanted(Some(&saved)) {
            return Ok(None);
        }
        let Some(disk) = lane.markers.get(&lane.target) else { return Ok(None) };
        let erased = match &self.source {
            None => self.ordered_erasures(saved.refill.until).await?,
            // The node's tombstones are on its disk still, and are looked for.
            Some(_) => HashSet::new(),
        };
        let end = Pass::new(self, disk, saved, erased).run().await?;
        match &end {
            End::Done | End::Left | End::SourceDown | End::Replaced | End::Shutdown => {}
            End::Unknown(unknown) => {
                tracing::error!(node.id = %lane.target, "the refill of node {} must wait for a newer replicator: {unknown}", lane.target);
                retry::sleep(lane.settings.unknown_event_delay, lane.shutdown.soft_token()).await;
            }
        }
        Ok(Some(end))
    }

    /// The blobs whose erasure was ordered up to event `until`. Their tombstones went with the old disk, and a node that
    /// was down may still have them. What is ordered later comes to the node by its lane.
    async fn ordered_erasures(&self, until: u64) -> Result<HashSet<BlobId>, Error> {
        let mut erased = HashSet::new();
        let mut orders = self.lane.journal.replay_of(Kind::BlobErasureOrdered, 1, until);
        while !orders.is_finished() && !self.lane.shutdown.is_soft() {
            for recorded in orders.next_batch(ORDERS, WAIT).await? {
                if let Ok(event) = recorded.decode()
                    && let Fact::BlobErasureOrdered(ordered) = event.fact
                {
                    erased.extend(ordered.blob_ids);
                }
            }
        }
        Ok(erased)
    }
}
