//! Whose fault a failure is: the node's, or that of one object on it.
//!
//! A node that fails at one object and serves others is well. Otherwise a single bad sector, or one key that a policy
//! protects, would hold up for ever all that the node is asked for.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use proto::BlobId;

use crate::breaker::Kind;
use crate::list::STAND_IN;
use crate::{Error, Node, NodeFault};

/// So many blobs are remembered; past that all are counted anew.
const MAX_REMEMBERED: usize = 4096;
/// So many other objects are tried before a node counts as unable to give any.
const OTHERS: usize = 3;
const CONTENT: &[u8] = b"highwater";
/// Tells whether a node takes objects at all.
const WRITE_KEY: &str = "highwater-probe/write";

/// How often in a row a node failed at a blob while it served others.
#[derive(Debug, Default)]
pub(crate) struct KeyFaults(Mutex<HashMap<BlobId, u32>>);

// === impl KeyFaults ===

impl KeyFaults {
    /// Counts one more; how many there are.
    fn note(&self, blob: BlobId) -> u32 {
        let mut all = self.lock();
        if all.len() >= MAX_REMEMBERED && !all.contains_key(&blob) {
            all.clear();
        }
        let count = all.entry(blob).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// The node does not fail at it.
    pub(crate) fn forget(&self, blob: BlobId) {
        self.lock().remove(&blob);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Node ===

impl Node {
    /// What a failed operation on `blob` comes from. A node that serves others, and has failed at this one
    /// `blobs.key_faults` times in a row, is well: then it is [`Error::FailsAt`].
    pub(crate) async fn blame(&self, blob: BlobId, kind: Kind, error: Error) -> Error {
        let Error::Node { fault, reason, .. } = &error else { return error };
        let is_blobs = match (fault, kind) {
            (NodeFault::Full | NodeFault::WrongMarker, _) => false,
            (NodeFault::Denied | NodeFault::Broken | NodeFault::Unreachable, _) => {
                self.serves_others(blob, kind, reason).await && self.key_faults().note(blob) >= self.config().key_faults
            }
            // A node that is slow is slow with all. Only one that is quick otherwise has trouble with this one.
            (NodeFault::Timeout, _) => {
                let others = self.serves_others(blob, kind, reason);
                let is_quick = tokio::time::timeout(self.config().hedge_after, others).await == Ok(true);
                is_quick && self.key_faults().note(blob) >= self.config().key_faults
            }
        };
        if is_blobs {
            Error::FailsAt { node: self.id().clone(), key: blob.key(), reason: reason.clone() }
        } else {
            error
        }
    }

    /// As [`Self::blame`], of erasing. A node that keeps blobs, as one with a lock on objects does, and takes and deletes others
    /// is well: that is no accident, so once is enough.
    pub(crate) async fn blame_for_keeping(&self, blob: BlobId, error: Error) -> Error {
        match &error {
            Error::Node { fault: NodeFault::Denied, reason, .. } if self.takes(WRITE_KEY).await => {
                Error::FailsAt { node: self.id().clone(), key: blob.key(), reason: reason.clone() }
            }
            Error::Node { fault: NodeFault::Denied, .. } => error,
            _ => self.blame(blob, Kind::Write, error).await,
        }
    }

    /// Why the node never gives this object while it gives others; `None` when it gives it, or is in trouble itself. Reads
    /// it, or this range of it, up to `blobs.key_faults` times.
    pub async fn fails_at(&self, blob: BlobId, key: &str, range: Option<Range<u64>>) -> Option<String> {
        let mut said = None;
        for _ in 0..self.config().key_faults.max(1) {
            match self.read_through(key, range.clone()).await {
                Err(Error::Node { fault: NodeFault::Full | NodeFault::WrongMarker, .. }) => return None,
                Err(Error::Node { reason, .. }) if self.serves_others(blob, Kind::Read, &reason).await => {
                    said = Some(reason);
                }
                Ok(()) | Err(_) => return None,
            }
        }
        said
    }

    /// Whether the node does with another blob what it failed to do with this one. If so, the failure does not count for
    /// its breaker.
    async fn serves_others(&self, blob: BlobId, kind: Kind, reason: &str) -> bool {
        let serves = self.does_with_others(blob, kind).await;
        if serves {
            self.breaker().acquit(reason);
        }
        serves
    }

    async fn does_with_others(&self, blob: BlobId, kind: Kind) -> bool {
        if kind == Kind::Read
            && let Ok(page) = self.list("blobs/", None, 8).await
        {
            let mine = [blob.key(), blob.parts_key()];
            let mut others = page.objects.into_iter().filter(|object| !mine.contains(&object.key)).peekable();
            if others.peek().is_some() {
                for other in others.take(OTHERS) {
                    if self.begins(&other.key).await.is_ok() {
                        return true;
                    }
                }
                return false;
            }
        }
        // A node that is not even read from is in trouble itself; and what is written to it might stay there.
        self.list("blobs/", None, 1).await.is_ok() && self.takes(&stand_in(blob)).await
    }

    /// Whether an object can be written, seen and deleted.
    async fn takes(&self, key: &str) -> bool {
        self.try_writing(key).await.is_ok()
    }

    /// Fails when the node takes no objects: it is full, or its bucket may only be read.
    pub async fn check_writes(&self) -> Result<(), Error> {
        self.try_writing(WRITE_KEY).await
    }

    /// The keys are few and always the same, so that what a process leaves behind that is killed in between does not add up.
    async fn try_writing(&self, key: &str) -> Result<(), Error> {
        self.put(key, Bytes::from_static(CONTENT)).await?;
        let seen = self.read_through(key, None).await;
        self.delete(key).await?;
        match seen {
            // Another process has tried the same at the same time, and deleted it first.
            Err(Error::NotFound { .. }) => Ok(()),
            seen => seen,
        }
    }

    /// Reads the first bytes of an object.
    async fn begins(&self, key: &str) -> Result<(), Error> {
        self.get_range(key, None).await?.chunk().await.map(drop)
    }

    async fn read_through(&self, key: &str, range: Option<Range<u64>>) -> Result<(), Error> {
        let mut body = self.get_range(key, range).await?;
        while body.chunk().await?.is_some() {}
        Ok(())
    }
}

/// An object in the folder of a blob that is no blob.
fn stand_in(blob: BlobId) -> String {
    let key = blob.key();
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{STAND_IN}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ObjectKey;

    #[test]
    fn faults_are_counted_by_blob_and_have_an_end() {
        let (faults, blob) = (KeyFaults::default(), |n| BlobId::new(Uuid::from_u128(n)));
        assert_eq!([1, 2, 1, 1].map(|n| faults.note(blob(n))), [1, 1, 2, 3]);
        faults.forget(blob(1));
        assert_eq!(faults.note(blob(1)), 1);
        for n in 0..2 * MAX_REMEMBERED as u128 {
            faults.note(blob(n));
        }
        assert!(faults.lock().len() <= MAX_REMEMBERED);
    }

    #[test]
    fn a_stand_in_is_in_the_same_folder_and_another_one() {
        let blob: BlobId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(stand_in(blob), "blobs/57/highwater-probe");
        assert_eq!(ObjectKey::parse(&stand_in(blob)), ObjectKey::Own);
    }
}
