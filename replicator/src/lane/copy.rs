//! Copying to the target what one event asks for.

use std::time::Duration;

use blobs::{Copied, CopyError, CopyOptions};
use futures::future::try_join_all;
use journal::{Delivery, Ended, Slot};
use runtime::retry::Backoff;
use time::OffsetDateTime;

use super::Lane;
use crate::config::Replicator;
use crate::confirm::{Done, NotReported};
use crate::job::Job;

/// How often a copy may come again while its origin is down before the others are asked for the blob once more; with
/// [`Replicator::source_wait`] at its longest, that is every eight minutes.
pub(crate) const ASK_OTHERS_EVERY: u32 = 8;

/// Why an attempt made no copy.
pub(crate) enum Failure {
    /// A node's fault, which says nothing of the blob.
    Node(String),
    /// The same of a node that the blob was to be read from: others may have theirs from elsewhere.
    Source(String),
    /// The blob's own: it counts.
    Blob(String),
    /// The blob was erased: nothing is left to do.
    Erased(String),
}

/// What became of one attempt at several copies.
#[derive(Debug, Default)]
struct Round<'a> {
    copied: Vec<(&'a Job, Copied)>,
    /// Those that failed for the blob's own reason.
    failed: Vec<(&'a Job, String)>,
    /// Those that cannot be read now.
    unread: Vec<(&'a Job, String)>,
    /// Why the round ended before all had their turn.
    stopped: Option<Stopped>,
}

#[derive(Debug)]
enum Stopped {
    /// A node's fault, which says nothing of the blobs.
    Node(String),
    /// The process is to end.
    Shutdown,
}

impl Lane {
    /// Makes the copies one after the other, and acknowledges the delivery once the journal has what became of each. What
    /// is done is reported even if the delivery comes again for the rest.
    pub(super) async fn copy(&self, delivery: Delivery, slot: Slot, jobs: &[Job]) -> Ended {
        let mut slot = Some(slot);
        let mut backoff = Backoff::new(&self.settings.retry);
        let mut left: Vec<&Job> = jobs.iter().collect();
        let mut first_attempt = delivery.delivered == 1;
        let mut attempts = 0;
        loop {
            let asks_others = attempts > 0 || asks_others(delivery.delivered);
            let round = self.copy_round(&left, first_attempt, asks_others).await;
            first_attempt = false;
            attempts += 1;
            let is_last = round.stopped.is_some()
                || !round.unread.is_empty()
                || round.failed.is_empty()
                || attempts >= self.settings.park_after;
            if is_last {
                // The copies are done: others may be made while these wait to be reported.
                slot = None;
            }
            if let Err(error) = self.report_stored(&round.copied).await {
                return self.unreported(delivery, error).await;
            }
            if round.stopped.is_none()
                && let Some((_, reason)) = round.unread.first()
            {
                if round.failed.is_empty() && self.leave(&delivery, &round.unread).await {
                    return delivery.ack().await;
                }
                // Those that failed are tried with them then.
                return self.set_aside(delivery, reason).await;
            }
            match round.stopped {
                Some(Stopped::Node(reason)) => return self.give_back(delivery, &reason).await,
                Some(Stopped::Shutdown) => return delivery.give_back().await,
                None if round.failed.is_empty() => return delivery.ack().await,
                None => {}
            }
            let Some(held) = slot.take() else { return self.park_copies(delivery, attempts, round.failed).await };
            self.note_failures(attempts, &round.failed);
            left = round.failed.into_iter().map(|(job, _)| job).collect();
            match self.wait(held, backoff.next_delay()).await {
                Some(again) => slot = Some(again),
                None => return delivery.give_back().await,
            }
        }
    }

    /// Tries each copy once; those whose origin is down only if the others are to be asked.
    async fn copy_round<'a>(&self, jobs: &[&'a Job], first_attempt: bool, asks_others: bool) -> Round<'a> {
        let mut round = Round::default();
        for (index, job) in jobs.iter().enumerate() {
            if index > 0 && self.shutdown.is_soft() {
                round.stopped = Some(Stopped::Shutdown);
                break;
            }
            if !asks_others && let Some(reason) = self.origin_is_down(job) {
                round.unread.push((job, reason));
                continue;
            }
            let expected = self.expected(job);
            let source = job.sources.first().map(|source| (source, self.sources.begin(source, expected)));
            if let Some((source, None)) = source {
                round.unread.push((job, format!("node {source} is slow, and has its share of the places")));
                continue;
            }
            match self.attempt(job, first_attempt).await {
                Ok(copied) => round.copied.push((job, copied)),
                Err(Failure::Blob(reason)) => round.failed.push((job, reason)),
                Err(Failure::Source(reason)) => round.unread.push((job, reason)),
                Err(Failure::Erased(reason)) => {
                    let (blob_id, target) = (job.blob.blob_id, &self.target);
                    tracing::debug!(
                        seq = job.cause, blob.id = %blob_id, node.id = %target,
                        "blob {blob_id} is not copied to node {target}: {reason}"
                    );
                }
                Err(Failure::Node(reason)) => {
                    round.stopped = Some(Stopped::Node(reason));
                    break;
                }
            }
        }
        round
    }

    /// Why the node that brought a blob is not read from now.
    pub(crate) fn origin_is_down(&self, job: &Job) -> Option<String> {
        let origin = self.nodes.get(job.sources.first()?)?;
        Some(format!("node {} is down: {}", origin.id(), origin.unreadable()?))
    }

    /// How long a copy may take before its source counts as slow.
    fn expected(&self, job: &Job) -> Duration {
        let Replicator { slow_after, slow_bytes_per_second, .. } = &self.settings;
        *slow_after + Duration::from_secs(job.blob.size_bytes / slow_bytes_per_second)
    }

    /// Tries one copy once.
    pub(crate) async fn attempt(&self, job: &Job, first_attempt: bool) -> Result<Copied, Failure> {
        let safe_until = safe_until(job.asked_at, self.settings.erase_grace);
        // Also when it comes again: what is there may still be what was wrong.
        let first_attempt = first_attempt && job.is_new;
        let options = CopyOptions { first_attempt, overwrite: job.overwrite, safe_until };
        let copied = blobs::copy(&self.nodes, &job.blob, &job.meta, &job.sources, &self.target, options).await;
        copied.map_err(|error| match error {
            CopyError::Node { ref node, .. } if *node != self.target => Failure::Source(error.to_string()),
            CopyError::Node { .. } => Failure::Node(error.to_string()),
            CopyError::Blob { reason } => Failure::Blob(reason),
            CopyError::Erased { .. } => Failure::Erased(error.to_string()),
        })
    }

    async fn report_stored(&self, copied: &[(&Job, Copied)]) -> Result<(), NotReported> {
        let reports = copied.iter().map(|(job, copied)| {
            self.stored.report(copied.marker_id, Done { blob_id: job.blob.blob_id, cause: job.cause })
        });
        try_join_all(reports).await?;
        for (job, copied) in copied {
            let (blob_id, target) = (job.blob.blob_id, &self.target);
            tracing::debug!(
                seq = job.cause, blob.id = %blob_id, node.id = %target,
                "stored replica of {blob_id} on {target} ({} bytes, {})",
                copied.bytes, if copied.already_there { "was there" } else { "copied" }
            );
        }
        Ok(())
    }

    fn note_failures(&self, attempts: u32, failed: &[(&Job, String)]) {
        for (job, reason) in failed {
            let (blob_id, target) = (job.blob.blob_id, &self.target);
            tracing::info!(
                seq = job.cause, blob.id = %blob_id, node.id = %target,
                "attempt {attempts} to copy blob {blob_id} to node {target} failed: {reason}"
            );
        }
    }

    async fn park_copies(&self, delivery: Delivery, attempts: u32, failed: Vec<(&Job, String)>) -> Ended {
        for (job, reason) in failed {
            if let Err(unparked) = self.park("replication", job.blob.blob_id, job.cause, attempts, reason).await {
                return self.give_back(delivery, unparked).await;
            }
        }
        delivery.ack().await
    }
}

/// Whether a copy whose origin is down is tried from the other nodes when it is delivered for this time. They did not have
/// the blob before, and to look costs them about as much as a copy: were it done each time, the many blobs that wait for a
/// node would keep the healthy ones from what is new.
pub(crate) fn asks_others(delivered: u32) -> bool {
    delivered.is_power_of_two() || delivered.is_multiple_of(ASK_OTHERS_EVERY)
}

/// Until when nobody can have ordered to erase a blob for which an event asked at this time: half the grace period, the
/// other half is for clocks that differ. A time that cannot be is never safe.
fn safe_until(asked_at: OffsetDateTime, grace: Duration) -> OffsetDateTime {
    let half = time::Duration::try_from(grace / 2).ok();
    half.and_then(|half| asked_at.checked_add(half)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_asked_at_first_and_then_seldom_but_for_ever() {
        let asked: Vec<u32> = (1..=40).filter(|delivered| asks_others(*delivered)).collect();
        assert_eq!(asked, [1, 2, 4, 8, 16, 24, 32, 40]);
    }

    #[test]
    fn a_copy_is_safe_for_half_the_grace_period() {
        let (asked_at, week) = (OffsetDateTime::UNIX_EPOCH + time::Duration::WEEK, Duration::from_hours(7 * 24));
        assert_eq!(safe_until(asked_at, week), asked_at + time::Duration::hours(84));
        assert_eq!(safe_until(asked_at, Duration::ZERO), asked_at);
        assert_eq!(safe_until(asked_at, Duration::MAX), OffsetDateTime::UNIX_EPOCH);
    }
}
