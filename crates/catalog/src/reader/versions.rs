//! The versions of a file, and content by its digest.

use fold::rows::{BlobRow, VersionRow};
use proto::{FileId, Sha256Digest, SpaceId};

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::records::{BlobColumns, VersionColumns, number};
use crate::{Error, token};

/// A version, with its content if it is no tombstone. A pruned version has its content here too, to tell what it was: it
/// may be erased by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The version.
    pub row: VersionRow,
    /// Its content.
    pub blob: Option<BlobRow>,
}

/// A page of the versions of a file, newest first.
#[derive(Debug, Clone)]
pub struct VersionPage {
    /// The versions.
    pub versions: Vec<Versioned>,
    /// What to ask the next page with; empty on the last one.
    pub next_page_token: String,
}

/// A version and its blob out of a record in which each of their columns may be null, since both were joined from the
/// outside. None when there is no version.
macro_rules! versioned {
    ($row:expr) => {
        match (
            $row.version_id,
            $row.file_id,
            $row.kind,
            $row.seq,
            $row.event_id,
            $row.content_type,
            $row.created_at,
            $row.actor,
        ) {
            (
                Some(version_id),
                Some(file_id),
                Some(kind),
                Some(seq),
                Some(event_id),
                Some(content_type),
                Some(created_at),
                Some(actor),
            ) => {
                let version = $crate::records::VersionColumns {
                    version_id,
                    file_id,
                    kind,
                    blob_id: $row.blob_id,
                    source_version: $row.source_version,
                    seq,
                    event_id,
                    content_type,
                    modified_at: $row.modified_at,
                    created_at,
                    actor,
                    pruned_seq: $row.pruned_seq,
                };
                let blob = $crate::reader::versions::blob_columns!($row);
                Some($crate::reader::Versioned::from_columns(version, blob)?)
            }
            _ => None,
        }
    };
}
pub(super) use versioned;

/// The half of [`versioned`] that is about the blob.
macro_rules! blob_columns {
    ($row:expr) => {
        match (
            ($row.blob_id, $row.blob_space_id, $row.size_bytes, $row.sha256, $row.origin_node),
            ($row.first_seq, $row.blob_created_at, $row.refs, $row.blob_state, $row.state_seq),
        ) {
            (
                (Some(blob_id), Some(space_id), Some(size_bytes), Some(sha256), Some(origin_node)),
                (Some(first_seq), Some(created_at), Some(refs), Some(state), Some(state_seq)),
            ) => Some($crate::records::BlobColumns {
                blob_id,
                space_id,
                size_bytes,
                sha256,
                slices_sha256: $row.slices_sha256,
                slice_bytes: $row.slice_bytes,
                origin_node,
                first_seq,
                created_at,
                refs,
                state,
                state_seq,
                unreferenced_at: $row.unreferenced_at,
            }),
            _ => None,
        }
    };
}
pub(super) use blob_columns;

impl Versioned {
    pub(super) fn from_columns(version: VersionColumns, blob: Option<BlobColumns>) -> Result<Self, Error> {
        Ok(Self { row: version.try_into()?, blob: blob.map(BlobRow::try_from).transpose()? })
    }
}

impl Reader {
    /// A page of the versions of a file, newest first: tombstones and pruned ones too, also when the file is deleted. None
    /// when there is no such file. A page holds `limit` versions, at most [`MAX_PAGE`]; an empty `page_token` asks for
    /// the first one.
    pub async fn versions(&self, file_id: FileId, limit: u32, page_token: &str) -> Result<Option<VersionPage>, Error> {
        let scope = ["versions", &file_id.to_string()];
        let before = match token::open(&scope, page_token)? {
            None => i64::MAX,
            Some(position) => {
                position.parse().map_err(|_| Error::PageToken { problem: "holds no sequence".to_owned() })?
            }
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let Some(mut versions) = self.versions_before(file_id, before, limit + 1).await? else { return Ok(None) };
        let mut next_page_token = String::new();
        if versions.len() > limit as usize {
            versions.truncate(limit as usize);
            let last = versions.last().map(|last| token::seal(&scope, &last.row.seq.to_string()));
            next_page_token = last.unwrap_or_default();
        }
        Ok(Some(VersionPage { versions, next_page_token }))
    }

    pub(super) async fn versions_before(
        &self,
        file_id: FileId,
        before: i64,
        limit: u32,
    ) -> Result<Option<Vec<Versioned>>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation,
                       v.version_id AS "version_id?", v.file_id AS "file_id?", v.kind AS "kind?",
                       v.blob_id AS "blob_id?", v.source_version AS "source_version?", v.seq AS "seq?",
                       v.event_id AS "event_id?", v.content_type AS "content_type?", v.modified_at AS "modified_at?",
                       v.created_at AS "created_at?", v.actor AS "actor?", v.pruned_seq AS "pruned_seq?",
                       b.space_id AS "blob_space_id?", b.size_bytes AS "size_bytes?", b.sha256 AS "sha256?",
                       b.slices_sha256 AS "slices_sha256?", b.slice_bytes AS "slice_bytes?",
                       b.origin_node AS "origin_node?", b.first_seq AS "first_seq?",
                       b.created_at AS "blob_created_at?", b.refs AS "refs?", b.state AS "blob_state?",
                       b.state_seq AS "state_seq?", b.unreferenced_at AS "unreferenced_at?"
                   FROM highwater.active AS a
                   JOIN files AS f ON f.file_id = $1
                   LEFT JOIN LATERAL (
                       SELECT version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type,
                           modified_at, created_at, actor, pruned_seq
                       FROM versions WHERE file_id = f.file_id AND seq < $2
                       ORDER BY seq DESC LIMIT $3
                   ) AS v ON true
                   LEFT JOIN blobs AS b ON b.blob_id = v.blob_id
                   WHERE a.singleton
                   ORDER BY v.seq DESC"#,
                file_id.uuid(),
                before,
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let Some(seen) = rows.first().map(|row| seen!(row)) else {
                return Ok(Answer { seen: None, value: None });
            };
            let mut versions = Vec::with_capacity(rows.len());
            for row in rows {
                versions.extend(versioned!(row));
            }
            Ok(Answer { seen: Some(seen), value: Some(versions) })
        })
        .await
    }

    /// A blob of the space with this content that a version names and a node holds, so that an upload can name it instead
    /// of sending its bytes; none when there is none. Of several any one.
    pub async fn content(
        &self,
        space_id: SpaceId,
        sha256: Sha256Digest,
        size_bytes: u64,
    ) -> Result<Option<BlobRow>, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, b.blob_id, b.space_id, b.size_bytes, b.sha256, b.slices_sha256,
                     b.slice_bytes, b.origin_node, b.first_seq, b.created_at, b.refs, b.state, b.state_seq,
                     b.unreferenced_at
                 FROM highwater.active AS a CROSS JOIN blobs AS b
                 WHERE a.singleton AND b.space_id = $1 AND b.sha256 = $2 AND b.size_bytes = $3 AND b.state = 'live'
                     AND b.refs > 0
                     AND EXISTS (SELECT FROM replicas AS r WHERE r.blob_id = b.blob_id AND r.state = 'stored')
                 LIMIT 1",
                space_id.uuid(),
                sha256.as_bytes() as &[u8],
                number(size_bytes),
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let seen = seen!(row);
            let blob = BlobColumns {
                blob_id: row.blob_id,
                space_id: row.space_id,
                size_bytes: row.size_bytes,
                sha256: row.sha256,
                slices_sha256: row.slices_sha256,
                slice_bytes: row.slice_bytes,
                origin_node: row.origin_node,
                first_seq: row.first_seq,
                created_at: row.created_at,
                refs: row.refs,
                state: row.state,
                state_seq: row.state_seq,
                unreferenced_at: row.unreferenced_at,
            };
            Ok(Answer { seen: Some(seen), value: Some(blob.try_into()?) })
        })
        .await
    }
}
