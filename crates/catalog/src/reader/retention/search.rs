//! Which files retention looks at, part by part.

use proto::{SpaceId, VersionId};
use uuid::Uuid;

use super::{Done, Keep, Rule};
use crate::Error;
use crate::reader::{Answer, Reader, seen};
use crate::records::unsigned;

/// Files that one statement looks at.
const FILES_AT_ONCE: i64 = 1000;

/// Where a search stands: what is up to there is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the files of the space that were touched, by id.
    Touched(Uuid),
    /// Among its deleted files, by when they were.
    Files { seq: i64, id: Uuid },
    /// Among its deleted folders, by when they were.
    Folders { seq: i64, id: Uuid },
    /// Below one of them, by path.
    InFolder { seq: i64, id: Uuid, below: String },
    /// In the deleted space, by path.
    InSpace { below: String },
    /// Behind everything.
    End,
}

/// What a search knows when it begins.
#[derive(Debug)]
pub(super) struct Start {
    /// Up to where the catalog was folded.
    pub(super) checkpoint: u64,
    /// Which event deleted the space.
    space_deleted_seq: Option<i64>,
    /// The version after which it goes on.
    pub(super) done: Option<Done>,
    /// Where the file of that version is.
    file_in: Option<Within>,
}

/// The nearest deleted item above a file, else its space's root.
#[derive(Debug)]
struct Within {
    kind: String,
    id: Uuid,
    deleted_seq: Option<i64>,
    /// The file's path below it.
    below: String,
}

impl Reader {
    pub(super) async fn search_start(&self, space_id: SpaceId, after: Option<VersionId>) -> Result<Start, Error> {
        let start = self
            .read(|pool| async move {
                let row = sqlx::query_file!(
                    "src/reader/retention/start.sql",
                    space_id.uuid(),
                    after.map(VersionId::uuid) as Option<Uuid>
                )
                .fetch_one(&pool)
                .await?;
                let done = row.seq.zip(row.file_id).map(|(seq, file_id)| Done { file_id, seq });
                let file_in = match (row.kind, row.id) {
                    (Some(kind), Some(id)) => {
                        Some(Within { kind, id, deleted_seq: row.deleted_seq, below: row.below.unwrap_or_default() })
                    }
                    _ => None,
                };
                let start = Start {
                    checkpoint: unsigned("checkpoint", "n", row.n)?,
                    space_deleted_seq: row.space_deleted_seq,
                    done,
                    file_in,
                };
                Ok(Answer { seen: Some(seen!(row)), value: start })
            })
            .await?;
        if after.is_some() && start.done.is_none() {
            return Err(Error::PageToken { problem: "is no version of this space".to_owned() });
        }
        Ok(start)
    }

    /// The next files to judge, and where the search stands then.
    pub(super) async fn search(
        &self,
        space_id: SpaceId,
        keep: Keep,
        horizon: Option<i64>,
        start: &Start,
        place: Place,
    ) -> Result<(Vec<Uuid>, Place), Error> {
        match (place, horizon) {
            (Place::Touched(id), _) => {
                let (files, next) = self.touched_files(space_id, keep, id).await?;
                let first_trash = horizon.map_or(Place::End, |_| Place::Files { seq: 0, id: Uuid::nil() });
                Ok((files, next.map_or(first_trash, Place::Touched)))
            }
            (Place::Files { seq, id }, Some(horizon)) => {
                let (files, next) = self.deleted_files(space_id, horizon, seq, id).await?;
                let (seq, id) = next.unwrap_or((0, Uuid::nil()));
                Ok((files, if next.is_some() { Place::Files { seq, id } } else { Place::Folders { seq, id } }))
            }
            (Place::Folders { seq, id }, Some(horizon)) => {
                let next = self.deleted_folder(space_id, horizon, seq, id).await?;
                let space = start.space_deleted_seq.is_some_and(|seq| seq <= horizon);
                let place = match next {
                    Some((seq, id)) => Place::InFolder { seq, id, below: String::new() },
                    None if space => Place::InSpace { below: String::new() },
                    None => Place::End,
                };
                Ok((Vec::new(), place))
            }
            (Place::InFolder { seq, id, below }, Some(_)) => {
                let (files, next) = self.files_in(id, &below).await?;
                Ok((files, next.map_or(Place::Folders { seq, id }, |below| Place::InFolder { seq, id, below })))
            }
            (Place::InSpace { below }, Some(_)) => {
                let (files, next) = self.files_in(space_id.uuid(), &below).await?;
                Ok((files, next.map_or(Place::End, |below| Place::InSpace { below })))
            }
            (_, None) | (Place::End, _) => Ok((Vec::new(), Place::End)),
        }
    }

    /// Of files that were touched, those that hold more versions than are kept.
    async fn touched_files(
        &self,
        space_id: SpaceId,
        keep: Keep,
        after: Uuid,
    ) -> Result<(Vec<Uuid>, Option<Uuid>), Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, f.file_id, EXISTS (
                       SELECT FROM versions AS v
                       WHERE v.file_id = f.file_id AND v.blob_id IS NOT NULL AND v.pruned_seq IS NULL
                       OFFSET $3
                   ) AS "holds!"
                   FROM (
                       SELECT file_id FROM files
                       WHERE space_id = $1 AND changed_seq > created_seq AND file_id > $2
                       ORDER BY file_id LIMIT $4
                   ) AS f
                   JOIN highwater.active AS a ON a.singleton
                   ORDER BY f.file_id"#,
                space_id.uuid(),
                after,
                i64::from(keep.versions.unwrap_or(1).max(1)),
                FILES_AT_ONCE,
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let next = rows.last().filter(|_| full(rows.len())).map(|row| row.file_id);
            let files = rows.into_iter().filter(|row| row.holds).map(|row| row.file_id).collect();
            Ok(Answer { seen, value: (files, next) })
        })
        .await
    }

    /// Of files that were deleted, those that hold content.
    async fn deleted_files(
        &self,
        space_id: SpaceId,
        horizon: i64,
        seq: i64,
        id: Uuid,
    ) -> Result<(Vec<Uuid>, Option<(i64, Uuid)>), Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, f.file_id, f.deleted_seq AS "deleted_seq!", EXISTS (
                       SELECT FROM versions AS v
                       WHERE v.file_id = f.file_id AND v.blob_id IS NOT NULL AND v.pruned_seq IS NULL
                   ) AS "holds!"
                   FROM (
                       SELECT file_id, deleted_seq FROM files
                       WHERE space_id = $1 AND deleted_seq IS NOT NULL AND deleted_seq <= $2
                           AND (deleted_seq, file_id) > ($3, $4)
                       ORDER BY deleted_seq, file_id LIMIT $5
                   ) AS f
                   JOIN highwater.active AS a ON a.singleton
                   ORDER BY f.deleted_seq, f.file_id"#,
                space_id.uuid(),
                horizon,
                seq,
                id,
                FILES_AT_ONCE,
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let next = rows.last().filter(|_| full(rows.len())).map(|row| (row.deleted_seq, row.file_id));
            let files = rows.into_iter().filter(|row| row.holds).map(|row| row.file_id).collect();
            Ok(Answer { seen, value: (files, next) })
        })
        .await
    }

    /// The next folder that was deleted with something in it.
    async fn deleted_folder(
        &self,
        space_id: SpaceId,
        horizon: i64,
        seq: i64,
        id: Uuid,
    ) -> Result<Option<(i64, Uuid)>, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, d.folder_id, d.deleted_seq AS "deleted_seq!"
                   FROM (
                       SELECT folder_id, deleted_seq FROM folders
                       WHERE space_id = $1 AND deleted_seq IS NOT NULL AND deleted_seq <= $2
                           AND (deleted_seq, folder_id) > ($3, $4) AND entries > 0
                       ORDER BY deleted_seq, folder_id LIMIT 1
                   ) AS d
                   JOIN highwater.active AS a ON a.singleton"#,
                space_id.uuid(),
                horizon,
                seq,
                id,
            )
            .fetch_optional(&pool)
            .await?;
            let seen = row.as_ref().map(|row| seen!(row));
            Ok(Answer { seen, value: row.map(|row| (row.deleted_seq, row.folder_id)) })
        })
        .await
    }

    /// Of the files below a folder, those that hold content.
    async fn files_in(&self, folder: Uuid, after: &str) -> Result<(Vec<Uuid>, Option<String>), Error> {
        let after: Vec<&str> = after.split('/').filter(|name| !name.is_empty()).collect();
        let after: &[&str] = &after;
        self.read(|pool| async move {
            let rows = sqlx::query_file!("src/reader/retention/below.sql", folder, after as &[&str], FILES_AT_ONCE)
                .fetch_all(&pool)
                .await?;
            let seen = rows.first().map(|row| seen!(row));
            let next = rows.last().filter(|_| full(rows.len())).map(|row| row.below.clone());
            let files = rows.into_iter().filter(|row| row.holds).map(|row| row.file_id).collect();
            Ok(Answer { seen, value: (files, next) })
        })
        .await
    }
}

// === impl Place ===

impl Place {
    pub(super) const fn rule(&self) -> Rule {
        match self {
            Self::Touched(_) => Rule::Replaced,
            Self::Files { .. } | Self::Folders { .. } | Self::InFolder { .. } | Self::InSpace { .. } | Self::End => {
                Rule::Trash
            }
        }
    }
}

// === impl Start ===

impl Start {
    /// Where the search goes on: right behind the file of the last version, in the part that this file belongs to now.
    pub(super) fn place(&self, horizon: Option<i64>) -> Place {
        let (Some(done), Some(within)) = (self.done, &self.file_in) else { return Place::Touched(Uuid::nil()) };
        let is_old = |seq: Option<i64>| seq.zip(horizon).filter(|(seq, horizon)| seq <= horizon).map(|(seq, _)| seq);
        match (within.kind.as_str(), is_old(within.deleted_seq)) {
            ("file", Some(seq)) => Place::Files { seq, id: within.id },
            ("folder", Some(seq)) => Place::InFolder { seq, id: within.id, below: within.below.clone() },
            _ if within.deleted_seq.is_none() && is_old(self.space_deleted_seq).is_some() => {
                Place::InSpace { below: within.below.clone() }
            }
            _ => Place::Touched(done.file_id),
        }
    }
}

fn full(rows: usize) -> bool {
    i64::try_from(rows) == Ok(FILES_AT_ONCE)
}
