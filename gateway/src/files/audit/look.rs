//! Looking at objects of a node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blobs::Node;
use catalog::Audited;
use proto::{BlobId, Sha256Digest};
use runtime::retry::{self, Policy};
use runtime::shutdown::Shutdown;
use sha2::{Digest as _, Sha256};

use super::Stop;
use super::judge::{Object, Seen, is_stored, parts_bytes};
use super::pace::Pace;

/// How a node that fails is asked again, before its audit ends.
const RETRY: Policy =
    Policy::new(Duration::from_millis(100), Duration::from_secs(2)).with_max_elapsed(Duration::from_secs(15));

/// Asks a node.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) node: &'a Node,
    pub(super) pace: &'a Pace,
    /// Bytes that were read.
    pub(super) read_bytes: &'a AtomicU64,
    pub(super) shutdown: &'a Shutdown,
}

// === impl Look ===

impl Look<'_> {
    /// What the node has of a blob now.
    pub(super) async fn at(&self, blob: BlobId) -> Result<Seen, Stop> {
        Ok(Seen { object: self.head(&blob.key()).await?, parts: self.head(&blob.parts_key()).await?, modified: None })
    }

    /// Reads what the node has of a blob, as far as its row says what that should be and its length is right.
    pub(super) async fn read(&self, seen: &mut Seen, row: &Audited) -> Result<(), Stop> {
        if !is_stored(row) {
            return Ok(());
        }
        if seen.object.is_some_and(|object| object.size_bytes == row.size_bytes) {
            seen.object = self.content(&row.blob_id.key()).await?;
        }
        if let (Some(parts), Some(bytes)) = (seen.parts, parts_bytes(row))
            && parts.size_bytes == bytes
        {
            seen.parts = self.content(&row.blob_id.parts_key()).await?;
        }
        Ok(())
    }

    /// The length and digest of an object; none when there is none.
    pub(super) async fn content(&self, key: &str) -> Result<Option<Object>, Stop> {
        self.again(async || match self.try_content(key).await {
            Ok((size_bytes, sha256)) => Ok(Some(Object { size_bytes, sha256: Some(sha256) })),
            Err(blobs::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<Object>, Stop> {
        let head = self.again(async || self.node.head(key).await).await?;
        Ok(head.map(|head| Object { size_bytes: head.size_bytes, sha256: None }))
    }

    async fn try_content(&self, key: &str) -> Result<(u64, Sha256Digest), blobs::Error> {
        let mut body = self.node.get_range(key, None).await?;
        let (mut size_bytes, mut hash) = (0, Sha256::new());
        while let Some(piece) = body.chunk().await? {
            hash.update(&piece);
            let bytes = piece.len() as u64;
            size_bytes += bytes;
            self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.pace.pass(bytes).await;
        }
        Ok((size_bytes, Sha256Digest::new(hash.finalize().into())))
    }

    /// Asks until the node answers, for a while.
    pub(super) async fn again<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, blobs::Error>>,
    {
        let answer = retry::run(&RETRY, self.shutdown.soft_token(), ask).await;
        answer.map_err(|error| {
            Stop::Node(match error {
                blobs::Error::Node { reason, .. } => reason,
                other => other.to_string(),
            })
        })
    }
}
