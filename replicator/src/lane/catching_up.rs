//! Blobs that wait for the node that they are read from, and for which a consumer has no room: they are left to the target's
//! catching up with that node, which goes through the journal once it is there again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use journal::{Delivery, Error, Refill, consumer_name};
use proto::NodeId;
use runtime::retry;
use tokio::time::Instant;

use super::Lane;
use crate::job::Job;

/// The server is asked how many deliveries are unacknowledged at most this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What one target has to catch up with, as far as this process has seen. That may be old: what was left to a catching up
/// once is done by it, or has been.
#[derive(Debug, Default)]
pub(crate) struct CatchingUp {
    seen: Mutex<BTreeMap<NodeId, Refill>>,
    /// One writes at a time: the next one then finds that its event was left, too.
    writing: tokio::sync::Mutex<()>,
}

/// How many deliveries of a consumer are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Account(tokio::sync::Mutex<Option<(Instant, u64)>>);

// === impl CatchingUp ===

impl CatchingUp {
    /// Notes how far the target's catching up with a node is.
    pub(crate) fn note(&self, source: &NodeId, refill: &Refill) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), refill.clone());
    }

    /// Whether what event `n` asks for is left to it, if it is first to be read from this node.
    fn covers(&self, source: &NodeId, n: u64) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(source).is_some_and(|refill| refill.covers(n))
    }
}

// === impl Account ===

impl Account {
    /// How many there are with one more that is about to wait. The server is not asked for each.
    async fn with_one_more(&self, lane: &Lane, is_new: bool) -> Result<u64, Error> {
        let mut known = self.0.lock().await;
        let (at, count) = match *known {
            Some((at, count)) if at.elapsed() < ASK_EVERY => (at, count + u64::from(is_new)),
            _ => {
                let lag = lane.journal.lag(&consumer_name(&lane.target, lane.consumers)).await?;
                (Instant::now(), lag.unacknowledged)
            }
        };
        *known = Some((at, count));
        Ok(count)
    }
}

// === impl Lane ===

impl Lane {
    /// Learns what was left to catching up before, and answers with whom; waits until the journal can tell.
    pub(crate) async fn learn_what_is_left(&self) -> Vec<NodeId> {
        loop {
            match self.journal.all_catching_up(&self.target).await {
                Ok(all) => {
                    for (source, refill) in &all {
                        self.catching_up.note(source, refill);
                    }
                    return all.into_iter().map(|(source, _)| source).collect();
                }
                Err(error) => {
                    let target = &self.target;
                    tracing::debug!(node.id = %target, "with whom node {target} catches up is not known now: {error}");
                }
            }
            if !retry::sleep(self.settings.refill_interval, self.shutdown.soft_token()).await {
                return Vec::new();
            }
        }
    }

    /// Whether all that a delivery asks for is done elsewhere. What was never tried is tried here first while its origin is
    /// down: another node may have it.
    pub(super) fn is_left(&self, delivery: &Delivery, jobs: &[Job]) -> bool {
        let n = delivery.recorded.n;
        let is_left = |job: &Job| {
            self.catching_up.covers(&job.origin, n) && (delivery.delivered > 1 || self.origin_is_down(job).is_none())
        };
        !jobs.is_empty() && jobs.iter().all(is_left)
    }

    /// Leaves a delivery, of which these could not be read, to the catching up with their origins, if that is under way or
    /// too many wait already; whether it may be acknowledged.
    pub(super) async fn leave(&self, delivery: &Delivery, unread: &[(&Job, String)]) -> bool {
        let (n, target) = (delivery.recorded.n, &self.target);
        let origins: BTreeSet<&NodeId> = unread.iter().map(|(job, _)| &job.origin).collect();
        // Nobody looks after other ones.
        if origins.iter().any(|origin| *origin == target || !self.node_ids.contains(origin)) {
            return false;
        }
        let left: Result<bool, Error> = async {
            if origins.iter().all(|origin| self.catching_up.covers(origin, n)) {
                return Ok(true);
            }
            let waiting = self.account.with_one_more(self, delivery.delivered == 1).await?;
            if waiting < u64::from(self.settings.max_source_waiting) {
                return Ok(false);
            }
            for origin in origins {
                if !self.leave_to(origin, n).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        .await;
        left.unwrap_or_else(|error| {
            tracing::debug!(seq = n, node.id = %target, "event {n} waits for node {target} as the others do: {error}");
            false
        })
    }

    async fn leave_to(&self, origin: &NodeId, n: u64) -> Result<bool, Error> {
        let (catching_up, target) = (&self.catching_up, &self.target);
        let _alone = catching_up.writing.lock().await;
        if catching_up.covers(origin, n) {
            return Ok(true);
        }
        // Which disk that is matters to nobody: what is older than the disk is left to its refill anyhow.
        let Some(disk) = self.markers.get(target) else { return Ok(false) };
        let left = self.journal.leave_to_catching_up(target, origin, n, disk.marker_id, self.clock.now()).await?;
        tracing::info!(
            seq = n, node.id = %target,
            "too much waits for node {origin}: node {target} catches up with it from event {} to {} when it is there again",
            left.cause, left.until
        );
        catching_up.note(origin, &left);
        Ok(true)
    }
}
