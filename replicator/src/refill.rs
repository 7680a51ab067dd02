//! Filling a node that joined, or whose disk was changed: everything that the journal brought before that is copied to it.
//!
//! One process at a time does it for each node, under a lease, beside the lanes and with places of its own. How far it
//! came is written down every few seconds, so another process goes on from there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use journal::{Error, Refill, Saved};
use proto::{BlobId, Fact, Kind};
use runtime::retry;
use tokio::sync::Semaphore;

use crate::lane::Lane;

mod blob;
mod pass;
mod set_aside;

use pass::{End, Pass};
use set_aside::SetAside;

/// Orders to erase taken from the journal at once, each of hundreds of blobs, and how long they are waited for at once.
const ORDERS: usize = 100;
const WAIT: Duration = Duration::from_secs(1);

/// Looks after the filling of one node.
#[derive(Debug)]
pub(crate) struct Refiller {
    /// How to copy and to report; it takes no deliveries.
    lane: Arc<Lane>,
    /// This process among those that may hold the lease.
    holder: String,
    /// The right to copy.
    places: Semaphore,
    /// The blobs that wait for a node that they can be read from: what comes after them is copied meanwhile.
    set_aside: SetAside,
}

impl Refiller {
    pub(crate) fn new(lane: Lane, holder: String) -> Self {
        let places = Semaphore::new(usize::from(lane.settings.refill_concurrency));
        let set_aside = SetAside::new(lane.settings.refill_set_aside);
        Self { lane: Arc::new(lane), holder, places, set_aside }
    }

    /// Fills the node whenever that is asked for, until the soft shutdown.
    pub(crate) async fn run(self) {
        let (target, interval) = (&self.lane.target, self.lane.settings.refill_interval);
        let mut said = None;
        while retry::sleep(interval, self.lane.shutdown.soft_token()).await {
            let problem = self.look().await.err().map(|error| error.to_string());
            if problem != said
                && let Some(problem) = &problem
            {
                tracing::warn!(node.id = %target, "cannot look after the refill of node {target} now: {problem}");
            }
            said = problem;
        }
    }

    /// Fills the node if that is asked for, can be done, and nobody else does it.
    async fn look(&self) -> Result<(), Error> {
        let lane = &self.lane;
        lane.markers.refresh().await?;
        let saved = lane.journal.refill(&lane.target).await?;
        self.ask_if_forgotten(saved.as_ref()).await?;
        if !self.is_wanted(saved.as_ref()) {
            return Ok(());
        }
        let duty = format!("refill-{}", lane.target);
        let Some(mut lease) = lane.journal.acquire(&duty, &self.holder).await? else { return Ok(()) };
        let filled = tokio::select! {
            filled = self.fill() => filled,
            () = lease.keep() => {
                tracing::warn!(node.id = %lane.target, "lost the lease of the refill of node {}", lane.target);
                return Ok(());
            }
        };
        if let Err(error) = lease.release().await {
            tracing::debug!("the lease {duty} ends by itself: {error}");
        }
        filled
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

    /// Whether there is something to do, on the disk that the node has now.
    fn is_wanted(&self, saved: Option<&Saved>) -> bool {
        let Some(Saved { refill, .. }) = saved else { return false };
        let (lane, marker_id) = (&self.lane, refill.marker_id);
        let disk = lane.markers.get(&lane.target);
        let is_latest = disk.is_some_and(|disk| (disk.marker_id, disk.since) == (marker_id, refill.cause));
        let node = lane.nodes.get(&lane.target);
        // Between the event and the marker on the disk there may be a while.
        let is_there = node
            .is_some_and(|node| node.state().is_healthy() && node.marker().is_some_and(|m| m.marker_id == marker_id));
        !refill.done && is_latest && is_there
    }

    async fn fill(&self) -> Result<(), Error> {
        let lane = &self.lane;
        // As whoever had the lease before left it.
        let Some(saved) = lane.journal.refill(&lane.target).await? else { return Ok(()) };
        if !self.is_wanted(Some(&saved)) {
            return Ok(());
        }
        let Some(disk) = lane.markers.get(&lane.target) else { return Ok(()) };
        let erased = self.ordered_erasures(saved.refill.until).await?;
        match Pass::new(self, disk, saved, erased).run().await? {
            End::Done | End::Replaced | End::Shutdown => {}
            End::Unknown(unknown) => {
                tracing::error!(node.id = %lane.target, "the refill of node {} must wait for a newer replicator: {unknown}", lane.target);
                retry::sleep(lane.settings.unknown_event_delay, lane.shutdown.soft_token()).await;
            }
        }
        Ok(())
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
