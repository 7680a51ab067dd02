//! Which spaces there are.

use fold::rows::SpaceRow;
use proto::{Actor, Fact, SpaceId, SpaceName};
use time::OffsetDateTime;

use super::changes::decode;
use super::{Answer, Reader, seen};
use crate::generation::Active;
use crate::records::{SpaceColumns, unsigned};
use crate::{Error, Generation};

/// A space that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedSpace {
    /// As it was then.
    pub space: SpaceRow,
    /// Time of the event that deleted it.
    pub deleted_at: OffsetDateTime,
    /// Who asked for it.
    pub deleted_by: Actor,
}

/// A space out of a record that has its columns.
macro_rules! space_columns {
    ($row:expr) => {
        SpaceColumns {
            space_id: $row.space_id,
            name: $row.name,
            created_seq: $row.created_seq,
            deleted_seq: $row.deleted_seq,
            keep_versions: $row.keep_versions,
            keep_days: $row.keep_days,
        }
    };
}

impl Reader {
    /// The spaces that are not deleted, by name in byte order.
    pub async fn spaces(&self) -> Result<Vec<SpaceRow>, Error> {
        self.spaces_and_deleted(false).await
    }

    /// Every space that does not keep everything for ever, also a deleted one.
    pub async fn retained_spaces(&self) -> Result<Vec<SpaceRow>, Error> {
        let mut spaces = self.spaces_and_deleted(true).await?;
        spaces.retain(|space| space.keep_versions.is_some() || space.keep_days.is_some());
        Ok(spaces)
    }

    async fn spaces_and_deleted(&self, deleted: bool) -> Result<Vec<SpaceRow>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, s.space_id, s.name, s.created_seq, s.deleted_seq, s.keep_versions,
                     s.keep_days
                 FROM highwater.active AS a CROSS JOIN spaces AS s
                 WHERE a.singleton AND ($1 OR s.deleted_seq IS NULL)
                 ORDER BY s.name",
                deleted
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let spaces: Result<Vec<_>, Error> =
                rows.into_iter().map(|row| SpaceRow::try_from(space_columns!(row))).collect();
            Ok(Answer { seen, value: spaces? })
        })
        .await
    }

    /// The spaces that were deleted, the newest deletion first.
    pub async fn deleted_spaces(&self) -> Result<Vec<DeletedSpace>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, s.space_id, s.name, s.created_seq, s.deleted_seq, s.keep_versions,
                     s.keep_days, e.raw
                 FROM highwater.active AS a CROSS JOIN spaces AS s JOIN events AS e ON e.seq = s.deleted_seq
                 WHERE a.singleton
                 ORDER BY s.deleted_seq DESC"
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let mut spaces = Vec::with_capacity(rows.len());
            for row in rows {
                let event = decode(&row.raw)?;
                let space = SpaceRow::try_from(space_columns!(row))?;
                spaces.push(DeletedSpace { space, deleted_at: event.time, deleted_by: event.actor });
            }
            Ok(Answer { seen, value: spaces })
        })
        .await
    }

    /// A space by its id, also a deleted one; none when there never was one.
    pub async fn space_row(&self, id: SpaceId) -> Result<Option<SpaceRow>, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, s.space_id, s.name, s.created_seq, s.deleted_seq, s.keep_versions,
                     s.keep_days
                 FROM highwater.active AS a CROSS JOIN spaces AS s
                 WHERE a.singleton AND s.space_id = $1",
                id.uuid()
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let seen = seen!(row);
            Ok(Answer { seen: Some(seen), value: Some(space_columns!(row).try_into()?) })
        })
        .await
    }

    /// The spaces that had this name once and have it no more, also those that were deleted: the one that took it last
    /// comes first. Answered from memory as [`Self::space`] is.
    pub async fn former_spaces(&self, name: &SpaceName) -> Result<Vec<SpaceId>, Error> {
        if let Some(ids) = self.spaces.former(name) {
            return Ok(ids);
        }
        // As the event has it, so that only those that name it are decoded.
        let quoted = serde_json::Value::from(name.as_str()).to_string();
        let quoted = quoted.as_bytes();
        let (active, spaces_seq, ids) = self
            .read(|pool| async move {
                let rows = sqlx::query!(
                    r#"SELECT a.catalog_id, a.generation, c.spaces_seq, e.space_id AS "space_id?", e.raw AS "raw?"
                       FROM highwater.active AS a
                       CROSS JOIN checkpoint AS c
                       LEFT JOIN events AS e
                           ON e.kind IN ('highwater.space.created.v1', 'highwater.space.renamed.v1')
                           AND e.outcome = 'applied' AND position($2::bytea IN e.raw) > 0
                           AND NOT EXISTS (
                               SELECT FROM spaces AS s
                               WHERE s.space_id = e.space_id AND s.name = $1 AND s.deleted_seq IS NULL
                           )
                       WHERE a.singleton AND c.singleton
                       ORDER BY e.seq DESC"#,
                    name.as_str(),
                    quoted,
                )
                .fetch_all(&pool)
                .await?;
                let Some(first) = rows.first() else {
                    return Err(Error::inconsistent("checkpoint", "singleton", "there is no row"));
                };
                let (seen, generation) = (seen!(first), first.generation.map(Generation::new));
                let active = Active { catalog_id: first.catalog_id, generation };
                let spaces_seq = unsigned("checkpoint", "spaces_seq", first.spaces_seq)?;
                let mut ids: Vec<SpaceId> = Vec::new();
                for row in rows {
                    let (Some(space_id), Some(raw)) = (row.space_id.map(SpaceId::new), row.raw) else { continue };
                    let took = match decode(&raw)?.fact {
                        Fact::SpaceCreated(created) => created.name == *name,
                        Fact::SpaceRenamed(renamed) => renamed.name == *name,
                        _ => false,
                    };
                    if took && !ids.contains(&space_id) {
                        ids.push(space_id);
                    }
                }
                Ok(Answer { seen: Some(seen), value: (active, spaces_seq, ids) })
            })
            .await?;
        self.spaces.remember_former(active, spaces_seq, name.clone(), ids.clone());
        Ok(ids)
    }
}
