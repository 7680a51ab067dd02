//! What is needed to tell again what was found at a past sequence.

use proto::{FileId, FolderId, Item, Path, SpaceId, VersionId};
use time::OffsetDateTime;
use uuid::Uuid;

use fold::rows::{Target, VersionRow};

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::Error;
use crate::records::{number, path, target, unsigned, unsigned_or_none};

/// A version as somebody who pruned it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastVersion {
    /// The version.
    pub version_id: VersionId,
    /// Where its file was then, or in the trash had been.
    pub path: Option<Path>,
    /// The size of its content.
    pub size_bytes: u64,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl Reader {
    /// What a path named at a sequence, in a space that may have been deleted since.
    pub async fn item_at(&self, space_id: SpaceId, path: &Path, at: u64) -> Result<Option<Item>, Error> {
        let segments: Vec<String> = path.segments().map(String::from).collect();
        let segments = segments.as_slice();
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"WITH RECURSIVE walk AS (
                       SELECT 0 AS depth, $1::uuid AS target_id, 'folder'::text COLLATE "C" AS target_kind
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind
                       FROM walk AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind, to_seq FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND from_seq <= $3
                           ORDER BY from_seq DESC LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                           AND (n.to_seq IS NULL OR n.to_seq > $3)
                   )
                   SELECT a.catalog_id, a.generation, w.target_id AS "target_id!", w.target_kind AS "target_kind!"
                   FROM highwater.active AS a JOIN walk AS w ON w.depth = cardinality($2::text[])
                   WHERE a.singleton"#,
                space_id.root().uuid(),
                segments,
                number(at),
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let item = match target(&row.target_kind, row.target_id)? {
                Target::File(id) => Item::File(id),
                Target::Folder(id) => Item::Folder(id),
            };
            Ok(Answer { seen: Some(seen!(row)), value: Some(item) })
        })
        .await
    }

    /// The names that were in a folder at a sequence and come after one, in byte order, at most [`MAX_PAGE`].
    pub async fn names_at(&self, folder_id: FolderId, at: u64, after: &str) -> Result<Vec<String>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, n.name
                 FROM highwater.active AS a CROSS JOIN names AS n
                 WHERE a.singleton AND n.parent_id = $1 AND n.from_seq <= $2 AND (n.to_seq IS NULL OR n.to_seq > $2)
                     AND n.name > $3
                 ORDER BY n.name LIMIT $4",
                folder_id.uuid(),
                number(at),
                after,
                i64::from(MAX_PAGE),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            Ok(Answer { seen, value: rows.into_iter().map(|row| row.name).collect() })
        })
        .await
    }

    /// The newest version of a file up to a sequence, a tombstone too; none when the file was not there yet.
    pub async fn version_up_to(&self, file_id: FileId, at: u64) -> Result<Option<VersionRow>, Error> {
        let newest = self.versions_before(file_id, number(at.saturating_add(1)), 1).await?;
        Ok(newest.and_then(|mut newest| newest.pop()).map(|version| version.row))
    }

    /// Up to a sequence, the last event that took the last name of a file or folder away; none while it had a name, and
    /// when it never had one.
    pub async fn unnamed_since(&self, item: Item, at: u64) -> Result<Option<u64>, Error> {
        let id = match item {
            Item::File(id) => FileId::uuid(id),
            Item::Folder(id) => FolderId::uuid(id),
        };
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, n.to_seq
                 FROM highwater.active AS a CROSS JOIN names AS n
                 WHERE a.singleton AND n.target_id = $1 AND n.from_seq <= $2
                 ORDER BY n.from_seq DESC LIMIT 1",
                id,
                number(at),
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let until = unsigned_or_none("names", "to_seq", row.to_seq)?;
            Ok(Answer { seen: Some(seen!(row)), value: until.filter(|seq| *seq <= at) })
        })
        .await
    }

    /// Versions of a space by their ids, in that order, with the paths that their files had at a sequence. At most
    /// [`MAX_PAGE`]; ids of no version with content are left out.
    pub async fn past_versions(
        &self,
        space_id: SpaceId,
        ids: &[VersionId],
        at: u64,
    ) -> Result<Vec<PastVersion>, Error> {
        let ids: Vec<Uuid> = ids.iter().take(MAX_PAGE as usize).map(|id| id.uuid()).collect();
        let ids = ids.as_slice();
        self.read(|pool| async move {
            let rows =
                sqlx::query_file!("src/reader/past.sql", space_id.uuid(), ids, number(at)).fetch_all(&pool).await?;
            let seen = rows.first().map(|row| seen!(row));
            let versions: Result<Vec<_>, Error> = rows
                .into_iter()
                .map(|row| {
                    Ok(PastVersion {
                        version_id: VersionId::new(row.version_id),
                        path: row.path.map(|text| path("names", "name", &text)).transpose()?,
                        size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
                        created_at: row.created_at,
                    })
                })
                .collect();
            Ok(Answer { seen, value: versions? })
        })
        .await
    }
}
