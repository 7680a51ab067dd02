//! What an object and its row say together. Pure.

use std::time::Duration;

use catalog::{Audited, BlobState, ReplicaState};
use proto::{BlobId, Sha256Digest};
use time::OffsetDateTime;

use super::Difference;

/// An object as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) size_bytes: u64,
    /// Of its bytes, when they were read.
    pub(super) sha256: Option<Sha256Digest>,
}

/// What a node has of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) object: Option<Object>,
    /// The digests of its slices.
    pub(super) parts: Option<Object>,
    /// When the newer of the two was written, by the node's clock.
    pub(super) modified: Option<OffsetDateTime>,
    /// Why it cannot be read, while others can.
    pub(super) failure: Option<String>,
}

/// What is young enough to be under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    pub(super) now: OffsetDateTime,
    pub(super) orphan_grace: Duration,
    pub(super) settle: Duration,
    /// When the journal was last restored.
    pub(super) restored_at: Option<OffsetDateTime>,
}

/// The length of the object with the slice digests.
pub(super) fn parts_bytes(row: &Audited) -> Option<u64> {
    let (list, slice_bytes) = row.slices?;
    Some(row.size_bytes.div_ceil(slice_bytes.max(1)) * list.as_bytes().len() as u64)
}

/// Whether the node should hold the blob, as far as its row says.
pub(super) fn is_stored(row: &Audited) -> bool {
    let is_kept = matches!(row.state, BlobState::Live | BlobState::Condemned);
    is_kept && matches!(row.replica, Some((ReplicaState::Stored, _)))
}

/// What is wrong with a blob, if anything is.
pub(super) fn judge(blob_id: BlobId, seen: &Seen, row: Option<&Audited>, ages: &Ages) -> Option<(Difference, String)> {
    let is_there = seen.object.is_some() || seen.parts.is_some();
    let Some(row) = row else { return if is_there { unnamed(blob_id, seen, ages) } else { None } };
    let replica = row.replica.map(|(state, _)| state);
    match (row.state, replica) {
        (BlobState::Erased, _) | (_, Some(ReplicaState::Erased)) => {
            let detail = || "it was erased, and is there".to_owned();
            (is_there && seen.is_older(ages.now, ages.settle)).then(|| (Difference::Resurrected, detail()))
        }
        (BlobState::Live | BlobState::Condemned, Some(ReplicaState::Stored)) => stored(seen, row),
        (BlobState::Erasing | BlobState::Condemned, _) | (_, Some(ReplicaState::Erasing)) => None,
        (BlobState::Live, other) => {
            let is_whole = seen.object.is_some_and(|object| object.size_bytes == row.size_bytes);
            let state = other.map_or_else(|| "not placed there".to_owned(), |state| state.to_string());
            let detail = || format!("the node has it, and the catalog says that it is {state}");
            (is_whole && seen.is_older(ages.now, ages.settle)).then(|| (Difference::Unreported, detail()))
        }
    }
}

/// What no event names is garbage, unless the journal has lost events since it was begun: then it may be all that is left of
/// an acknowledged file.
fn unnamed(blob_id: BlobId, seen: &Seen, ages: &Ages) -> Option<(Difference, String)> {
    if is_recoverable(blob_id, ages.restored_at) {
        let detail = "no event names it, or none any more since the journal was restored: `highwater ops recover` makes a \
                      file of it";
        // Slice digests alone are nothing to recover, but to have them erased is to have the blob erased everywhere.
        return seen.object.map(|_| (Difference::Recoverable, detail.to_owned()));
    }
    let detail = || "no event names it".to_owned();
    seen.is_older(ages.now, ages.orphan_grace).then(|| (Difference::Orphan, detail()))
}

/// By how much the clocks of who restored the journal and of the gateways may differ.
const CLOCKS: Duration = Duration::from_hours(1);

/// Whether the event of a blob's upload may have been lost when the journal was restored. An id without a time may be of any
/// time.
pub(in crate::files) fn is_recoverable(blob_id: BlobId, restored_at: Option<OffsetDateTime>) -> bool {
    restored_at.is_some_and(|restored| blob_id.began_at().is_none_or(|began| began <= restored + CLOCKS))
}

/// As it should be, or not.
fn stored(seen: &Seen, row: &Audited) -> Option<(Difference, String)> {
    if let Some(failure) = &seen.failure {
        return Some((Difference::Corrupt, format!("it cannot be read, while others can: the node {failure}")));
    }
    let Some(object) = seen.object else {
        return Some((Difference::Missing, "the node does not have it".to_owned()));
    };
    if object.size_bytes != row.size_bytes {
        let detail = format!("it has {} bytes instead of {}", object.size_bytes, row.size_bytes);
        return Some((Difference::Truncated, detail));
    }
    if let Some(found) = object.sha256
        && found != row.sha256
    {
        return Some((Difference::Corrupt, format!("it has the SHA-256 {found} instead of {}", row.sha256)));
    }
    let ((list, _), bytes) = (row.slices?, parts_bytes(row)?);
    let Some(parts) = seen.parts else {
        return Some((Difference::Parts, "the digests of its slices are not there".to_owned()));
    };
    if parts.size_bytes != bytes {
        let detail = format!("the list of its slices' digests has {} bytes instead of {bytes}", parts.size_bytes);
        return Some((Difference::Parts, detail));
    }
    let is_wrong = parts.sha256.is_some_and(|found| found != list);
    is_wrong.then(|| (Difference::Parts, "the list of its slices' digests is another one".to_owned()))
}

// === impl Seen ===

impl Seen {
    /// What was written at an unknown time is never old.
    fn is_older(&self, now: OffsetDateTime, age: Duration) -> bool {
        self.modified.is_some_and(|at| at + age < now)
    }
}

#[cfg(test)]
mod tests;
