//! Looking at objects of a node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blobs::Node;
use catalog::Audited;
use proto::{BlobId, Sha256Digest};
use runtime::retry::{self, Policy};
use runtime::shutdown::Shutdown;

use super::Stop;
use super::judge::{Object, Seen, is_stored, parts_bytes};
use super::pace::Pace;

/// How a node that fails is asked again, before its audit ends.
pub(in crate::files) const PATIENCE: Policy =
    Policy::new(Duration::from_millis(100), Duration::from_secs(2)).with_max_elapsed(Duration::from_secs(15));
/// How it is asked before it is known whether it fails at one object only.
const ONCE: Policy =
    Policy::new(Duration::from_millis(100), Duration::from_millis(100)).with_max_elapsed(Duration::ZERO);

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
        let looked = self.unless_it_fails(blob, async |patience| {
            let object = self.head(&blob.key(), &patience).await?;
            Ok(Seen { object, parts: self.head(&blob.parts_key(), &patience).await?, ..Seen::default() })
        });
        Ok(Box::pin(looked).await?.unwrap_or_else(|failure| Seen { failure: Some(failure), ..Seen::default() }))
    }

    /// Reads what the node has of a blob, as far as its row says what that should be and its length is right.
    pub(super) async fn read(&self, seen: &mut Seen, row: &Audited) -> Result<(), Stop> {
        if !is_stored(row) || seen.failure.is_some() {
            return Ok(());
        }
        let (object, parts) = (seen.object, seen.parts);
        let read = self.unless_it_fails(row.blob_id, async |patience| {
            let (mut object, mut parts) = (object, parts);
            if object.is_some_and(|object| object.size_bytes == row.size_bytes) {
                object = self.content(&row.blob_id.key(), &patience).await?;
            }
            if let (Some(listed), Some(bytes)) = (parts, parts_bytes(row))
                && listed.size_bytes == bytes
            {
                parts = self.content(&row.blob_id.parts_key(), &patience).await?;
            }
            Ok((object, parts))
        });
        match Box::pin(read).await? {
            Ok((object, parts)) => (seen.object, seen.parts) = (object, parts),
            Err(failure) => seen.failure = Some(failure),
        }
        Ok(())
    }

    /// The length and digest of an object that no row knows; none when there is none, or the node never gives it.
    pub(super) async fn unknown_content(&self, blob: BlobId) -> Result<Option<Object>, Stop> {
        let read = self.unless_it_fails(blob, async |patience| self.content(&blob.key(), &patience).await);
        Ok(Box::pin(read).await?.unwrap_or_default())
    }

    /// Asks once; when that fails, finds out whether the node fails at this blob only, and why; and else asks with patience.
    async fn unless_it_fails<T, F>(&self, blob: BlobId, ask: impl Fn(Policy) -> F) -> Result<Result<T, String>, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        match Box::pin(ask(ONCE)).await {
            Err(Stop::Node(_)) => {}
            other => return other.map(Ok),
        }
        for key in [blob.key(), blob.parts_key()] {
            if let Some(failure) = Box::pin(self.node.fails_at(blob, &key, None)).await {
                return Ok(Err(failure));
            }
        }
        Box::pin(ask(PATIENCE)).await.map(Ok)
    }

    /// The length and digest of an object; none when there is none.
    async fn content(&self, key: &str, patience: &Policy) -> Result<Option<Object>, Stop> {
        self.patiently(patience, async || match self.try_content(key).await {
            Ok((size_bytes, sha256)) => Ok(Some(Object { size_bytes, sha256: Some(sha256) })),
            Err(blobs::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn head(&self, key: &str, patience: &Policy) -> Result<Option<Object>, Stop> {
        let head = self.patiently(patience, async || self.node.head(key).await).await?;
        Ok(head.map(|head| Object { size_bytes: head.size_bytes, sha256: None }))
    }

    async fn try_content(&self, key: &str) -> Result<(u64, Sha256Digest), blobs::Error> {
        let mut body = self.node.get_range(key, None).await?;
        let (mut size_bytes, mut hash) = (0, blobs::Sha256::new());
        while let Some(piece) = body.chunk().await? {
            hash.update(&piece);
            let bytes = piece.len() as u64;
            size_bytes += bytes;
            self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.pace.pass(bytes).await;
        }
        Ok((size_bytes, hash.finish()))
    }

    /// Asks until the node answers, for a while.
    pub(super) async fn again<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, blobs::Error>>,
    {
        self.patiently(&PATIENCE, ask).await
    }

    async fn patiently<T, F>(&self, patience: &Policy, ask: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, blobs::Error>>,
    {
        let answer = retry::run(patience, self.shutdown.soft_token(), ask).await;
        answer.map_err(|error| {
            Stop::Node(match error {
                blobs::Error::Node { reason, .. } => reason,
                other => other.to_string(),
            })
        })
    }
}
