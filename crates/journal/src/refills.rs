//! How far the refilling of a node has come: an entry of the bucket [`BucketName::Refills`] for each node.

use proto::{MarkerId, NodeId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Error;
use crate::journal::Journal;
use crate::kv::BucketName;

/// So often somebody else may write an entry while it is begun anew.
const ATTEMPTS: u32 = 5;

/// The refilling of a node that joined, or whose disk was changed: every blob that the events before that brought is
/// copied to it. Lost entries are no loss of data: copies can be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refill {
    /// Sequence number of the event that asks for it.
    pub cause: u64,
    /// The marker of the disk that is filled.
    pub marker_id: MarkerId,
    /// What the events up to this one brought is on the node.
    pub position: u64,
    /// The last event that counts.
    pub until: u64,
    /// Blobs copied so far, without those that were there.
    pub blobs_copied: u64,
    /// The sum of their sizes.
    pub bytes_copied: u64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When this was written.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Whether it has come to its end.
    pub done: bool,
}

/// A refill as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// How far it has come.
    pub refill: Refill,
    /// Which writing it is: to be given to [`Journal::save_refill`].
    pub revision: u64,
}

// === impl Refill ===

impl Refill {
    /// A refill of the disk with this marker, which the event `cause` asks for, at its beginning.
    pub fn new(cause: u64, marker_id: MarkerId, now: OffsetDateTime) -> Self {
        let (position, until, blobs_copied, bytes_copied) = (0, cause, 0, 0);
        let (started_at, updated_at, done) = (now, now, false);
        Self { cause, marker_id, position, until, blobs_copied, bytes_copied, started_at, updated_at, done }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a refill holds only numbers and words")
    }
}

// === impl Journal ===

impl Journal {
    /// The refill of a node; `None` when there never was one, or its entry was lost. One
    /// that cannot be read is none: [`Self::begin_refill`] writes it anew, and says so.
    pub async fn refill(&self, node: &NodeId) -> Result<Option<Saved>, Error> {
        let Some(entry) = self.bucket(BucketName::Refills).await?.entry(node.as_str()).await? else { return Ok(None) };
        match serde_json::from_slice(&entry.value) {
            Ok(refill) => Ok(Some(Saved { refill, revision: entry.revision })),
            Err(_) => Ok(None),
        }
    }

    /// Has a node filled, unless the refill that it has is as new; whether this one took its place.
    pub async fn begin_refill(&self, node: &NodeId, refill: &Refill) -> Result<bool, Error> {
        let bucket = self.bucket(BucketName::Refills).await?;
        for _ in 0..ATTEMPTS {
            let written = match bucket.entry(node.as_str()).await? {
                None => bucket.create(node.as_str(), refill.to_bytes().into()).await?,
                Some(entry) => {
                    match serde_json::from_slice::<Refill>(&entry.value) {
                        Ok(known) if known.cause >= refill.cause => return Ok(false),
                        Ok(_) => {}
                        Err(error) => tracing::warn!(
                            node.id = %node, "the refill of node {node} cannot be read, and is begun anew: {error}"
                        ),
                    }
                    bucket.update(node.as_str(), refill.to_bytes().into(), entry.revision).await?
                }
            };
            if written.is_some() {
                return Ok(true);
            }
        }
        Err(Error::unavailable(format!("begin the refill of node {node}"), "its entry changes all the time"))
    }

    /// Writes how far a refill has come, and returns the new revision; `None` when another one has taken its place.
    pub async fn save_refill(&self, node: &NodeId, refill: &Refill, revision: u64) -> Result<Option<u64>, Error> {
        self.bucket(BucketName::Refills).await?.update(node.as_str(), refill.to_bytes().into(), revision).await
    }
}
