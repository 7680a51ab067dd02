//! Copying one blob to the target.

use std::time::Duration;

use blobs::{Copied, CopyError, CopyOptions};
use journal::{Delivery, Ended, Slot};
use runtime::retry::Backoff;
use time::OffsetDateTime;

use super::Lane;
use crate::confirm::Done;
use crate::job::Job;

/// Why an attempt made no copy.
enum Failure {
    /// A node's fault, which says nothing of the blob.
    Node(String),
    /// The blob's own: it counts.
    Blob(String),
    /// The blob was erased: nothing is left to do.
    Erased(String),
}

impl Lane {
    pub(super) async fn copy(&self, delivery: Delivery, slot: Slot, job: &Job) -> Ended {
        let mut slot = slot;
        let mut backoff = Backoff::new(&self.settings.retry);
        let mut first_attempt = delivery.delivered == 1;
        let mut attempts = 0;
        let (blob_id, target) = (job.blob.blob_id, &self.target);
        loop {
            let reason = match self.attempt(job, first_attempt).await {
                Ok(copied) => {
                    // The copy is done: another one may start while this one waits to be reported.
                    drop(slot);
                    return self.report_stored(delivery, job, &copied).await;
                }
                Err(Failure::Node(reason)) => return self.give_back(delivery, &reason).await,
                Err(Failure::Erased(reason)) => {
                    tracing::debug!(
                        seq = job.cause, blob.id = %blob_id, node.id = %target,
                        "blob {blob_id} is not copied to node {target}: {reason}"
                    );
                    return delivery.ack().await;
                }
                Err(Failure::Blob(reason)) => reason,
            };
            first_attempt = false;
            attempts += 1;
            if attempts >= self.settings.park_after {
                drop(slot);
                return match self.park("replication", blob_id, job.cause, attempts, reason).await {
                    Ok(()) => delivery.ack().await,
                    Err(unparked) => self.give_back(delivery, unparked).await,
                };
            }
            tracing::info!(
                seq = job.cause, blob.id = %blob_id, node.id = %target,
                "attempt {attempts} to copy blob {blob_id} to node {target} failed: {reason}"
            );
            match self.wait(slot, backoff.next_delay()).await {
                Some(again) => slot = again,
                None => return delivery.give_back().await,
            }
        }
    }

    async fn attempt(&self, job: &Job, first_attempt: bool) -> Result<Copied, Failure> {
        let options = CopyOptions { first_attempt, safe_until: safe_until(job.asked_at, self.settings.erase_grace) };
        let copied = blobs::copy(&self.nodes, &job.blob, &job.meta, &job.sources, &self.target, options).await;
        copied.map_err(|error| match error {
            CopyError::Node { .. } => Failure::Node(error.to_string()),
            CopyError::Blob { reason } => Failure::Blob(reason),
            CopyError::Erased { .. } => Failure::Erased(error.to_string()),
        })
    }

    async fn report_stored(&self, delivery: Delivery, job: &Job, copied: &Copied) -> Ended {
        let (blob_id, target) = (job.blob.blob_id, &self.target);
        if let Err(error) = self.stored.report(copied.marker_id, Done { blob_id, cause: job.cause }).await {
            return self.unreported(delivery, error).await;
        }
        tracing::debug!(
            seq = job.cause, blob.id = %blob_id, node.id = %target,
            "stored replica of {blob_id} on {target} ({} bytes, {})",
            copied.bytes, if copied.already_there { "was there" } else { "copied" }
        );
        delivery.ack().await
    }
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
    fn a_copy_is_safe_for_half_the_grace_period() {
        let (asked_at, week) = (OffsetDateTime::UNIX_EPOCH + time::Duration::WEEK, Duration::from_hours(7 * 24));
        assert_eq!(safe_until(asked_at, week), asked_at + time::Duration::hours(84));
        assert_eq!(safe_until(asked_at, Duration::ZERO), asked_at);
        assert_eq!(safe_until(asked_at, Duration::MAX), OffsetDateTime::UNIX_EPOCH);
    }
}
