//! Which spaces there are.

use fold::rows::SpaceRow;
use proto::SpaceId;

use super::{Answer, Reader, seen};
use crate::Error;
use crate::records::SpaceColumns;

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
}
