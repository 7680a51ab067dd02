//! What need not be kept: versions that retention gives up, and blobs that nothing names.
//!
//! Versions are searched for in parts: files that were touched since they were made, then what was deleted (files, what is
//! below folders, the whole space), oldest deletion first. Each statement looks at a bounded number of files and goes on
//! where the last one ended, so that none takes long, however little it finds.

mod search;

use proto::{BlobId, FileId, FolderId, Path, PruneReason, SpaceId, Trash, VersionId};
use time::OffsetDateTime;
use uuid::Uuid;

use search::Place;

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::Error;
use crate::records::{number, path, unsigned};

/// What a space keeps. With neither of the two everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// How many versions of each file, the current one included, that have content and are not pruned.
    pub versions: Option<u32>,
    /// Versions that stopped being current at this time or later, and what was deleted then. Trash is given up only when
    /// this is set.
    pub before: Option<OffsetDateTime>,
}

/// A version that need not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// The version.
    pub version_id: VersionId,
    /// Its file.
    pub file_id: FileId,
    /// Where the file is, or in the trash was, by the last names there were.
    pub path: Option<Path>,
    /// The size of its content.
    pub size_bytes: u64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Which rule gives it up.
    pub because: PruneReason,
    /// The nearest deleted item that makes it trash, when that is the rule.
    pub trash: Option<Trash>,
}

/// By which rule files are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Versions that are not current, of files that are no old trash.
    Replaced,
    /// All versions of files that are old trash.
    Trash,
}

/// The last version of a page before: it and what is before it in its file is done.
#[derive(Debug, Clone, Copy)]
struct Done {
    file_id: Uuid,
    seq: i64,
}

impl Reader {
    /// Versions of a space, which may be deleted, that need not be kept; and the sequence at which that holds, for the
    /// event that prunes them. At most `limit` and [`MAX_PAGE`] of them, fewer only when there are no more.
    ///
    /// A version that has content and is not pruned need not be kept
    /// - when a newer one of its file is held, more than `keep.versions` are with it and newer (if set), and it stopped
    ///   being current before `keep.before` (if set): both must hold when both are set;
    /// - when its file, the nearest deleted folder above it, or its space was deleted before `keep.before`.
    ///
    /// A version that need not be kept by both is found as trash. The order is by file, not by version: `after`, the last
    /// version of the page before, says where to go on. What changes meanwhile is found by the next search.
    pub async fn prunable(
        &self,
        space_id: SpaceId,
        keep: Keep,
        after: Option<VersionId>,
        limit: u32,
    ) -> Result<(Vec<Prunable>, u64), Error> {
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        // The oldest checkpoint of all statements: what was touched later, the fold skips.
        let start = self.search_start(space_id, after).await?;
        let mut found = Vec::new();
        if keep == Keep::default() {
            return Ok((found, start.checkpoint));
        }
        let horizon = match keep.before {
            None => None,
            // Deletions are in the order of the journal; those about this time are judged one by one.
            Some(before) => Some(number(self.sequence_at(before).await?)),
        };
        let mut place = start.place(horizon);
        if let Some(done) = start.done {
            let rule = place.rule();
            found = self.judge(space_id, &[done.file_id], keep, rule, Some(done), limit).await?;
        }
        while found.len() < limit && place != Place::End {
            let rule = place.rule();
            let (files, next) = self.search(space_id, keep, horizon, &start, place).await?;
            if !files.is_empty() {
                let wanted = limit - found.len();
                found.extend(self.judge(space_id, &files, keep, rule, None, wanted).await?);
            }
            place = next;
        }
        Ok((found, start.checkpoint))
    }

    async fn judge(
        &self,
        space_id: SpaceId,
        files: &[Uuid],
        keep: Keep,
        rule: Rule,
        done: Option<Done>,
        limit: usize,
    ) -> Result<Vec<Prunable>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query_file!(
                "src/reader/retention/judge.sql",
                space_id.uuid(),
                files,
                done.map(|done| done.file_id) as Option<Uuid>,
                done.map_or(0, |done| done.seq),
                keep.versions.map(i64::from) as Option<i64>,
                keep.before as Option<OffsetDateTime>,
                rule == Rule::Trash,
                i64::try_from(limit).unwrap_or(i64::MAX),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let found: Result<Vec<Prunable>, Error> = rows
                .into_iter()
                .map(|row| {
                    let (because, trash) = match rule {
                        Rule::Trash => (PruneReason::Trash, trash(row.trash_kind.as_deref(), row.trash_id)?),
                        Rule::Replaced if keep.before.is_some() => (PruneReason::Age, None),
                        Rule::Replaced => (PruneReason::Versions, None),
                    };
                    Ok(Prunable {
                        version_id: VersionId::new(row.version_id),
                        file_id: FileId::new(row.file_id),
                        path: row.path.map(|text| path("names", "name", &text)).transpose()?,
                        size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
                        created_at: row.created_at,
                        because,
                        trash,
                    })
                })
                .collect();
            Ok(Answer { seen, value: found? })
        })
        .await
    }

    /// Blobs that no version has named since before this time, and that may be condemned; longest unnamed first, at most
    /// `limit` and [`MAX_PAGE`].
    pub async fn condemnable(&self, before: OffsetDateTime, limit: u32) -> Result<Vec<BlobId>, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, b.blob_id
                 FROM (
                     SELECT blob_id, unreferenced_at FROM blobs
                     WHERE state = 'live' AND refs = 0 AND unreferenced_at < $1
                     ORDER BY unreferenced_at LIMIT $2
                 ) AS b
                 JOIN highwater.active AS a ON a.singleton
                 ORDER BY b.unreferenced_at, b.blob_id",
                before,
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            Ok(Answer { seen, value: rows.into_iter().map(|row| BlobId::new(row.blob_id)).collect() })
        })
        .await
    }

    /// Blobs that were condemned and whose erasure was not ordered yet; longest condemned first, at most `limit` and
    /// [`MAX_PAGE`].
    pub async fn condemned(&self, limit: u32) -> Result<Vec<BlobId>, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, b.blob_id
                 FROM (
                     SELECT blob_id, state_seq FROM blobs WHERE state = 'condemned' ORDER BY state_seq LIMIT $1
                 ) AS b
                 JOIN highwater.active AS a ON a.singleton
                 ORDER BY b.state_seq, b.blob_id",
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            Ok(Answer { seen, value: rows.into_iter().map(|row| BlobId::new(row.blob_id)).collect() })
        })
        .await
    }
}

fn trash(kind: Option<&str>, id: Option<Uuid>) -> Result<Option<Trash>, Error> {
    match (kind, id) {
        (Some("file"), Some(id)) => Ok(Some(Trash::File(FileId::new(id)))),
        (Some("folder"), Some(id)) => Ok(Some(Trash::Folder(FolderId::new(id)))),
        (Some("space"), Some(id)) => Ok(Some(Trash::Space(SpaceId::new(id)))),
        _ => Err(Error::inconsistent("files", "deleted_seq", "trash that nothing deleted")),
    }
}
