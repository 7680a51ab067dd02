//! How far the archive of the journal is on each node: an entry of the bucket [`BucketName::Archive`] for each of them.

use proto::{Incarnation, NodeId, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::journal::Journal;
use crate::kv::BucketName;

/// Up to where a node has the journal in segments. It may be a little behind, and a lost entry is written again: what
/// counts is what the node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Sequence number of the last event.
    pub n: u64,
    /// The id that it was published with.
    pub message_id: String,
    /// `Recorded::chain` over all events up to there.
    pub chain: Sha256Digest,
}

// === impl Journal ===

impl Journal {
    /// How far the archive of this life of the journal is on a node; `None` when nothing is known of it.
    pub async fn archived(&self, node: &NodeId) -> Result<Option<Archived>, Error> {
        let value = self.bucket(BucketName::Archive).await?.get(&key(self.identity().incarnation, node)).await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Writes down how far the archive is on a node.
    pub async fn save_archived(&self, node: &NodeId, archived: &Archived) -> Result<(), Error> {
        let value = serde_json::to_vec(archived).expect("a position holds only numbers and words");
        self.bucket(BucketName::Archive).await?.put(&key(self.identity().incarnation, node), value.into()).await
    }
}

fn key(incarnation: Incarnation, node: &NodeId) -> String {
    format!("{}.{node}", incarnation.uuid().simple())
}
