//! Bringing one blob to the node that is filled.

use runtime::retry::{self, Backoff};

use super::Refiller;
use crate::confirm::{Done, NotReported};
use crate::job::Job;
use crate::lane::{Failure, Lane, asks_others, nth_delay};

/// What became of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was copied.
    Copied,
    /// It was there.
    Found,
    /// It was erased.
    Erased,
    /// It was given up, which the journal says.
    Parked,
    /// The process is to end, or it cannot be read by who does not wait for that: it is looked at again.
    Left,
}

impl Refiller {
    /// Brings one blob to its end. Faults of nodes are waited for, without a place; the blob's own count, as in the lanes. Who
    /// catches up does not wait for sources: they are many that wait for one.
    pub(super) async fn bring(&self, job: &Job) -> Fate {
        let (lane, soft) = (&self.lane, self.lane.shutdown.soft_token());
        // What is done between two waits is on the heap, only then: thousands of these may wait.
        let mut backoff = Backoff::new(&lane.settings.retry);
        let (mut attempts, mut waits, mut unread) = (0, 0, 0);
        // Whether it has made room for others.
        let mut waiting = None;
        loop {
            if waiting.is_some() && !asks_others(unread) && lane.origin_is_down(job).is_some() {
                unread += 1;
                if !retry::sleep(nth_delay(&lane.settings.source_wait, unread), soft).await {
                    return Fate::Left;
                }
                continue;
            }
            let outcome = {
                let _place = self.places.acquire().await.expect("nobody closes the places of a refill");
                Box::pin(lane.open()).await;
                if lane.shutdown.is_soft() {
                    return Fate::Left;
                }
                Box::pin(lane.attempt(job, false)).await
            };
            if !matches!(outcome, Err(Failure::Source(_))) {
                waiting = None;
            }
            let delay = match outcome {
                Ok(copied) => {
                    let done = Done { blob_id: job.blob.blob_id, cause: job.cause };
                    match Box::pin(lane.stored.report(copied.marker_id, done)).await {
                        Ok(()) if copied.already_there => return Fate::Found,
                        Ok(()) => return Fate::Copied,
                        Err(NotReported::Ending) => return Fate::Left,
                        // Logged by the reporter. The copy is found the next time.
                        Err(NotReported::Publish(_)) => next_wait(self, &mut waits),
                    }
                }
                Err(Failure::Erased(_)) => return Fate::Erased,
                Err(Failure::Node(reason)) => {
                    say_waits(job, lane, &reason);
                    next_wait(self, &mut waits)
                }
                Err(Failure::Source(reason)) => {
                    say_waits(job, lane, &reason);
                    if self.source.is_some() {
                        return Fate::Left;
                    }
                    waiting.get_or_insert_with(|| self.set_aside.wait());
                    unread += 1;
                    nth_delay(&lane.settings.source_wait, unread)
                }
                Err(Failure::Blob(reason)) => {
                    attempts += 1;
                    if attempts >= lane.settings.park_after {
                        let parked = lane.park("replication", job.blob.blob_id, job.cause, attempts, reason);
                        match Box::pin(parked).await {
                            Ok(()) => return Fate::Parked,
                            Err(_) => next_wait(self, &mut waits),
                        }
                    } else {
                        backoff.next_delay()
                    }
                }
            };
            if !retry::sleep(delay, soft).await {
                return Fate::Left;
            }
        }
    }
}

fn say_waits(job: &Job, lane: &Lane, reason: &str) {
    let (blob_id, target) = (job.blob.blob_id, &lane.target);
    tracing::debug!(blob.id = %blob_id, node.id = %target, "blob {blob_id} waits to be copied to node {target}: {reason}");
}

fn next_wait(refiller: &Refiller, waits: &mut u32) -> std::time::Duration {
    *waits = waits.saturating_add(1);
    nth_delay(&refiller.lane.settings.give_back, *waits)
}
