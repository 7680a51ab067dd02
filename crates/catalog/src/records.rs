//! Columns to words and back. Postgres has no unsigned numbers, and its texts cannot hold NUL.

use std::str::FromStr;

use fold::rows::{BlobRow, FileRow, FolderRow, ReceiptRow, ReplicaState, SpaceRow, Target, VersionRow};
use proto::{BlobId, EventId, FileId, Fingerprint, FolderId, Path, Segment, Sha256Digest, SpaceId, VersionId};
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

/// A number of Postgres that is never negative, if there is one.
pub(crate) fn unsigned_or_none(
    table: &'static str,
    column: &'static str,
    value: Option<i64>,
) -> Result<Option<u64>, Error> {
    value.map(|value| unsigned(table, column, value)).transpose()
}

/// What [`small_number`] wrote.
fn small_or_none(column: &'static str, value: Option<i32>) -> Result<Option<u32>, Error> {
    let small = |value| u32::try_from(value).map_err(|_| Error::inconsistent("spaces", column, format!("{value}")));
    value.map(small).transpose()
}

/// A word, name or path of ours.
pub(crate) fn word<T>(table: &'static str, column: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr<Err: ToString>,
{
    text.parse().map_err(|e: T::Err| Error::inconsistent(table, column, e.to_string()))
}

/// A digest.
pub(crate) fn digest(table: &'static str, column: &'static str, bytes: &[u8]) -> Result<Sha256Digest, Error> {
    Sha256Digest::try_from(bytes).map_err(|e| Error::inconsistent(table, column, e.to_string()))
}

/// A path that the fold made: a conflicted copy's may be longer than one from outside.
pub(crate) fn path(table: &'static str, column: &'static str, text: &str) -> Result<Path, Error> {
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

/// What a name stands for, by the columns `target_kind` and `target_id`.
pub(crate) fn target(kind: &str, id: Uuid) -> Result<Target, Error> {
    match kind {
        "folder" => Ok(Target::Folder(FolderId::new(id))),
        "file" => Ok(Target::File(FileId::new(id))),
        other => Err(Error::inconsistent("names", "target_kind", format!("{other:?}"))),
    }
}

/// What [`target`] reads.
pub(crate) const fn target_columns(target: Target) -> (&'static str, Uuid) {
    match target {
        Target::File(id) => ("file", id.uuid()),
        Target::Folder(id) => ("folder", id.uuid()),
    }
}

/// The columns of `spaces`.
pub(crate) struct SpaceColumns {
    pub(crate) space_id: Uuid,
    pub(crate) name: String,
    pub(crate) created_seq: i64,
    pub(crate) deleted_seq: Option<i64>,
    pub(crate) keep_versions: Option<i32>,
    pub(crate) keep_days: Option<i32>,
}

/// The columns of `folders`.
pub(crate) struct FolderColumns {
    pub(crate) folder_id: Uuid,
    pub(crate) space_id: Uuid,
    pub(crate) created_seq: i64,
    pub(crate) deleted_seq: Option<i64>,
    pub(crate) entries: i64,
}

/// The columns of `files`.
pub(crate) struct FileColumns {
    pub(crate) file_id: Uuid,
    pub(crate) space_id: Uuid,
    pub(crate) version_id: Uuid,
    pub(crate) created_seq: i64,
    pub(crate) changed_seq: i64,
    pub(crate) deleted_seq: Option<i64>,
}

/// The columns of `versions`.
pub(crate) struct VersionColumns {
    pub(crate) version_id: Uuid,
    pub(crate) file_id: Uuid,
    pub(crate) kind: String,
    pub(crate) blob_id: Option<Uuid>,
    pub(crate) source_version: Option<Uuid>,
    pub(crate) seq: i64,
    pub(crate) event_id: Uuid,
    pub(crate) content_type: String,
    pub(crate) modified_at: Option<OffsetDateTime>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) pruned_seq: Option<i64>,
}

/// The columns of `blobs`.
pub(crate) struct BlobColumns {
    pub(crate) blob_id: Uuid,
    pub(crate) space_id: Uuid,
    pub(crate) size_bytes: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) slices_sha256: Option<Vec<u8>>,
    pub(crate) slice_bytes: Option<i64>,
    pub(crate) origin_node: String,
    pub(crate) first_seq: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) refs: i64,
    pub(crate) state: String,
    pub(crate) state_seq: i64,
    pub(crate) unreferenced_at: Option<OffsetDateTime>,
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

/// A version and its blob out of a record that has the columns of both, those of the blob that repeat a name or say too
/// little with `blob_`. `blob_id` is the blob's, so that it is never null.
macro_rules! content {
    ($row:expr) => {{
        let version = $crate::records::VersionColumns {
            version_id: $row.version_id,
            file_id: $row.file_id,
            kind: $row.kind,
            blob_id: Some($row.blob_id),
            source_version: $row.source_version,
            seq: $row.seq,
            event_id: $row.event_id,
            content_type: $row.content_type,
            modified_at: $row.modified_at,
            created_at: $row.created_at,
            actor: $row.actor,
            pruned_seq: $row.pruned_seq,
        };
        let blob = $crate::records::BlobColumns {
            blob_id: $row.blob_id,
            space_id: $row.blob_space_id,
            size_bytes: $row.size_bytes,
            sha256: $row.sha256,
            slices_sha256: $row.slices_sha256,
            slice_bytes: $row.slice_bytes,
            origin_node: $row.origin_node,
            first_seq: $row.first_seq,
            created_at: $row.blob_created_at,
            refs: $row.refs,
            state: $row.blob_state,
            state_seq: $row.state_seq,
            unreferenced_at: $row.unreferenced_at,
        };
        (version, blob)
    }};
}
pub(crate) use content;

/// The state of a replica.
pub(crate) fn replica_state(text: &str) -> Result<ReplicaState, Error> {
    word("replicas", "state", text)
}

impl TryFrom<SpaceColumns> for SpaceRow {
    type Error = Error;

    fn try_from(row: SpaceColumns) -> Result<Self, Error> {
        Ok(Self {
            space_id: SpaceId::new(row.space_id),
            name: word("spaces", "name", &row.name)?,
            created_seq: unsigned("spaces", "created_seq", row.created_seq)?,
            deleted_seq: unsigned_or_none("spaces", "deleted_seq", row.deleted_seq)?,
            keep_versions: small_or_none("keep_versions", row.keep_versions)?,
            keep_days: small_or_none("keep_days", row.keep_days)?,
        })
    }
}

impl TryFrom<FolderColumns> for FolderRow {
    type Error = Error;

    fn try_from(row: FolderColumns) -> Result<Self, Error> {
        Ok(Self {
            folder_id: FolderId::new(row.folder_id),
            space_id: SpaceId::new(row.space_id),
            created_seq: unsigned("folders", "created_seq", row.created_seq)?,
            deleted_seq: unsigned_or_none("folders", "deleted_seq", row.deleted_seq)?,
            entries: unsigned("folders", "entries", row.entries)?,
        })
    }
}

impl TryFrom<FileColumns> for FileRow {
    type Error = Error;

    fn try_from(row: FileColumns) -> Result<Self, Error> {
        Ok(Self {
            file_id: FileId::new(row.file_id),
            space_id: SpaceId::new(row.space_id),
            version_id: VersionId::new(row.version_id),
            created_seq: unsigned("files", "created_seq", row.created_seq)?,
            changed_seq: unsigned("files", "changed_seq", row.changed_seq)?,
            deleted_seq: unsigned_or_none("files", "deleted_seq", row.deleted_seq)?,
        })
    }
}

impl TryFrom<VersionColumns> for VersionRow {
    type Error = Error;

    fn try_from(row: VersionColumns) -> Result<Self, Error> {
        Ok(Self {
            version_id: VersionId::new(row.version_id),
            file_id: FileId::new(row.file_id),
            kind: word("versions", "kind", &row.kind)?,
            blob_id: row.blob_id.map(BlobId::new),
            source_version: row.source_version.map(VersionId::new),
            seq: unsigned("versions", "seq", row.seq)?,
            event_id: EventId::new(row.event_id),
            content_type: row.content_type,
            modified_at: row.modified_at,
            created_at: row.created_at,
            actor: word("versions", "actor", &row.actor)?,
            pruned_seq: unsigned_or_none("versions", "pruned_seq", row.pruned_seq)?,
        })
    }
}

impl TryFrom<BlobColumns> for BlobRow {
    type Error = Error;

    fn try_from(row: BlobColumns) -> Result<Self, Error> {
        let slices_sha256 = row.slices_sha256.map(|bytes| digest("blobs", "slices_sha256", &bytes)).transpose()?;
        Ok(Self {
            blob_id: BlobId::new(row.blob_id),
            space_id: SpaceId::new(row.space_id),
            size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
            sha256: digest("blobs", "sha256", &row.sha256)?,
            slices_sha256,
            slice_bytes: unsigned_or_none("blobs", "slice_bytes", row.slice_bytes)?,
            origin_node: word("blobs", "origin_node", &row.origin_node)?,
            first_seq: unsigned("blobs", "first_seq", row.first_seq)?,
            created_at: row.created_at,
            refs: unsigned("blobs", "refs", row.refs)?,
            state: word("blobs", "state", &row.state)?,
            state_seq: unsigned("blobs", "state_seq", row.state_seq)?,
            unreferenced_at: row.unreferenced_at,
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
