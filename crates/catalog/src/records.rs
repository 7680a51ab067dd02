//! Columns to words and back. Postgres has no unsigned numbers, and its texts cannot hold NUL.

use std::str::FromStr;

use fold::rows::{BlobRow, ReceiptRow, ReplicaState, VersionRow};
use proto::{BlobId, EventId, FileId, Fingerprint, Path, Segment, Sha256Digest, VersionId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;

/// A number as Postgres holds it. What does not fit cannot come from a real file or stream; it is held as the largest
/// number there is, since refusing it would halt the projector for ever.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As [`number`], for small ones.
pub(crate) fn small_number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A text from outside (a media type, the words of an error) as Postgres can hold it.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// A number of Postgres that is never negative.
pub(crate) fn unsigned(table: &'static str, column: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|e| Error::inconsistent(table, column, e.to_string()))
}

/// A word, name or path of ours.
pub(crate) fn word<T>(table: &'static str, column: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr<Err: ToString>,
{
    text.parse().map_err(|e: T::Err| Error::inconsistent(table, column, e.to_string()))
}

/// A digest.
fn digest(table: &'static str, column: &'static str, bytes: &[u8]) -> Result<Sha256Digest, Error> {
    Sha256Digest::try_from(bytes).map_err(|e| Error::inconsistent(table, column, e.to_string()))
}

/// A path that the fold made: a conflicted copy's may be longer than one from outside.
fn path(table: &'static str, column: &'static str, text: &str) -> Result<Path, Error> {
    let segments: Result<Vec<Segment>, _> = text.split('/').map(Segment::from_str).collect();
    let segments = segments.map_err(|e| Error::inconsistent(table, column, e.to_string()))?;
    Path::from_segments(&segments).ok_or_else(|| Error::inconsistent(table, column, "empty"))
}

/// A fingerprint as it is stored: the bytes of its digest.
pub(crate) fn fingerprint_bytes(fingerprint: Fingerprint) -> Vec<u8> {
    hex::decode(fingerprint.to_string()).expect("a fingerprint is written as hexadecimal digits")
}

/// What [`fingerprint_bytes`] wrote.
fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, Error> {
    word("receipts", "fingerprint", &hex::encode(bytes))
}

/// The columns of `versions`.
pub(crate) struct VersionColumns {
    pub(crate) version_id: Uuid,
    pub(crate) file_id: Uuid,
    pub(crate) blob_id: Uuid,
    pub(crate) seq: i64,
    pub(crate) event_id: Uuid,
    pub(crate) content_type: String,
    pub(crate) modified_at: Option<OffsetDateTime>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) actor: String,
}

/// The columns of `blobs`.
pub(crate) struct BlobColumns {
    pub(crate) blob_id: Uuid,
    pub(crate) size_bytes: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) slices_sha256: Option<Vec<u8>>,
    pub(crate) slice_bytes: Option<i64>,
    pub(crate) origin_node: String,
    pub(crate) first_seq: i64,
    pub(crate) created_at: OffsetDateTime,
}

/// The columns of `receipts`.
pub(crate) struct ReceiptColumns {
    pub(crate) event_id: Uuid,
    pub(crate) seq: i64,
    pub(crate) outcome: String,
    pub(crate) reason: Option<String>,
    pub(crate) fingerprint: Option<Vec<u8>>,
    pub(crate) space: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) file_id: Option<Uuid>,
    pub(crate) version_id: Option<Uuid>,
    pub(crate) blob_id: Option<Uuid>,
}

/// A version and its blob out of a record that has the columns of both, those of the blob that repeat a name with `blob_`.
macro_rules! content {
    ($row:expr) => {{
        let version = $crate::records::VersionColumns {
            version_id: $row.version_id,
            file_id: $row.file_id,
            blob_id: $row.blob_id,
            seq: $row.seq,
            event_id: $row.event_id,
            content_type: $row.content_type,
            modified_at: $row.modified_at,
            created_at: $row.created_at,
            actor: $row.actor,
        };
        let blob = $crate::records::BlobColumns {
            blob_id: $row.blob_id,
            size_bytes: $row.size_bytes,
            sha256: $row.sha256,
            slices_sha256: $row.slices_sha256,
            slice_bytes: $row.slice_bytes,
            origin_node: $row.origin_node,
            first_seq: $row.first_seq,
            created_at: $row.blob_created_at,
        };
        (version, blob)
    }};
}
pub(crate) use content;

/// The state of a replica.
pub(crate) fn replica_state(text: &str) -> Result<ReplicaState, Error> {
    word("replicas", "state", text)
}

impl TryFrom<VersionColumns> for VersionRow {
    type Error = Error;

    fn try_from(row: VersionColumns) -> Result<Self, Error> {
        Ok(Self {
            version_id: VersionId::new(row.version_id),
            file_id: FileId::new(row.file_id),
            blob_id: BlobId::new(row.blob_id),
            seq: unsigned("versions", "seq", row.seq)?,
            event_id: EventId::new(row.event_id),
            content_type: row.content_type,
            modified_at: row.modified_at,
            created_at: row.created_at,
            actor: word("versions", "actor", &row.actor)?,
        })
    }
}

impl TryFrom<BlobColumns> for BlobRow {
    type Error = Error;

    fn try_from(row: BlobColumns) -> Result<Self, Error> {
        let slices_sha256 = row.slices_sha256.map(|bytes| digest("blobs", "slices_sha256", &bytes)).transpose()?;
        let slice_bytes = row.slice_bytes.map(|n| unsigned("blobs", "slice_bytes", n)).transpose()?;
        Ok(Self {
            blob_id: BlobId::new(row.blob_id),
            size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
            sha256: digest("blobs", "sha256", &row.sha256)?,
            slices_sha256,
            slice_bytes,
            origin_node: word("blobs", "origin_node", &row.origin_node)?,
            first_seq: unsigned("blobs", "first_seq", row.first_seq)?,
            created_at: row.created_at,
        })
    }
}

impl TryFrom<ReceiptColumns> for ReceiptRow {
    type Error = Error;

    fn try_from(row: ReceiptColumns) -> Result<Self, Error> {
        Ok(Self {
            event_id: EventId::new(row.event_id),
            seq: unsigned("receipts", "seq", row.seq)?,
            outcome: word("receipts", "outcome", &row.outcome)?,
            reason: row.reason,
            fingerprint: row.fingerprint.map(|bytes| fingerprint(&bytes)).transpose()?,
            space: row.space.map(|name| word("receipts", "space", &name)).transpose()?,
            path: row.path.map(|text| path("receipts", "path", &text)).transpose()?,
            file_id: row.file_id.map(FileId::new),
            version_id: row.version_id.map(VersionId::new),
            blob_id: row.blob_id.map(BlobId::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_cannot_hold_is_changed_and_not_refused() {
        assert_eq!(storable("text/\0plain"), "text/\u{FFFD}plain");
        assert_eq!(number(u64::MAX), i64::MAX);
        assert_eq!(small_number(u32::MAX), i32::MAX);
    }

    #[test]
    fn paths_longer_than_from_outside_are_read() {
        let long = vec!["n".repeat(255); 20].join("/");
        assert_eq!(path("names", "name", &long).unwrap().as_str(), long);
        assert!(path("names", "name", "a//b").is_err());
    }
}
