//! Duties that one process does at a time.

use std::time::Duration;

use bytes::Bytes;

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
}

// === impl Journal ===

impl Journal {
    /// Takes a duty; `None` while somebody else has it. `holder` must be this process's own: who has the same name has
    /// the same lease.
    pub async fn acquire(&self, duty: &str, holder: &str) -> Result<Option<Lease>, Error> {
        let bucket = self.bucket(BucketName::Leases).await?;
        let ttl = self.shared().config.lease_ttl;
        let taken = bucket.create(duty, Bytes::copy_from_slice(holder.as_bytes())).await?;
        Ok(taken.map(|revision| Lease { bucket, duty: duty.to_owned(), holder: holder.to_owned(), revision, ttl }))
    }
}

// === impl Lease ===

impl Lease {
    /// How long it holds without being renewed. Renew it at a third of this.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Keeps the duty for another [`Self::ttl`]. False: it was lost, and whoever holds it must stop at once.
    pub async fn renew(&mut self) -> Result<bool, Error> {
        let value = Bytes::copy_from_slice(self.holder.as_bytes());
        let renewed = self.bucket.update(&self.duty, value, self.revision).await?;
        self.revision = renewed.unwrap_or(self.revision);
        Ok(renewed.is_some())
    }

    /// Gives the duty back, so that nobody must wait for its time to pass.
    pub async fn release(self) -> Result<(), Error> {
        self.bucket.delete_at(&self.duty, self.revision).await
    }
}
