//! Duties that one process does at a time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::Error;
use crate::journal::Journal;
use crate::kv::{Bucket, BucketName};

/// A duty that this holder has, until `lease_ttl` after it was taken or last renewed.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    duty: String,
    holder: String,
    revision: u64,
    ttl: Duration,
    /// When it was asked for last with success: its time began then or later.
    renewed_at: Instant,
}

// === impl Journal ===

impl Journal {
    /// Takes a duty; `None` while somebody else has it. `holder` must be this process's own: who has the same name has
    /// the same lease.
    pub async fn acquire(&self, duty: &str, holder: &str) -> Result<Option<Lease>, Error> {
        let bucket = self.bucket(BucketName::Leases).await?;
        let ttl = self.shared().config.lease_ttl;
        let asked_at = Instant::now();
        let taken = bucket.create(duty, Bytes::copy_from_slice(holder.as_bytes())).await?;
        Ok(taken.map(|revision| Lease {
            bucket,
            duty: duty.to_owned(),
            holder: holder.to_owned(),
            revision,
            ttl,
            renewed_at: asked_at,
        }))
    }
}

// === impl Lease ===

impl Lease {
    /// How long it holds without being renewed.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Keeps the duty for another [`Self::ttl`]. False: it was lost, and whoever holds it must stop at once.
    pub async fn renew(&mut self) -> Result<bool, Error> {
        let (value, asked_at) = (Bytes::copy_from_slice(self.holder.as_bytes()), Instant::now());
        let renewed = self.bucket.update(&self.duty, value, self.revision).await?;
        if let Some(revision) = renewed {
            (self.revision, self.renewed_at) = (revision, asked_at);
        }
        Ok(renewed.is_some())
    }

    /// Keeps the duty for as long as that can be; when it returns, the work must stop at once. To be polled beside the work,
    /// which is dropped when this returns.
    ///
    /// A renewal that fails is tried again: the lease holds for a while yet, and the journal may be back before that. It is
    /// given up at two thirds of its time, so that whoever has it next does not meet the end of this one's work.
    pub async fn keep(&mut self) {
        loop {
            let (due, give_up_at) = (Instant::now() + self.ttl / 6, self.renewed_at + self.ttl * 2 / 3);
            sleep_until(due.min(give_up_at)).await;
            match timeout_at(give_up_at, self.renew()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => tracing::debug!("the lease of {} is not renewed yet: {error}", self.duty),
            }
        }
    }

    /// Gives the duty back, so that nobody must wait for its time to pass.
    ///
    /// A renewal that was cut off may have reached the journal all the same: the duty is then this holder's at a later
    /// revision than it knows of.
    pub async fn release(self) -> Result<(), Error> {
        let Err(error) = self.bucket.delete_at(&self.duty, self.revision).await else { return Ok(()) };
        match self.bucket.own_revision(&self.duty, &Bytes::copy_from_slice(self.holder.as_bytes())).await? {
            Some(revision) if revision != self.revision => self.bucket.delete_at(&self.duty, revision).await,
            _ => Err(error),
        }
    }
}
