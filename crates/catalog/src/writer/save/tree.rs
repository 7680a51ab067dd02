//! Spaces, folders, names, files.

use fold::rows::{FileRow, FolderRow, NameRow, SpaceRow};
use sqlx::PgConnection;

use super::copy::copy;
use super::{Split, column};
use crate::records::{number, small_number, target_columns};

/// In any order of the rows: the fold ends a batch when it frees a name, so no name goes from one to another here.
pub(super) async fn save_spaces(conn: &mut PgConnection, rows: &[SpaceRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO spaces (space_id, name, created_seq, deleted_seq, keep_versions, keep_days)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[])
         ON CONFLICT (space_id) DO UPDATE
         SET name = excluded.name, deleted_seq = excluded.deleted_seq, keep_versions = excluded.keep_versions,
             keep_days = excluded.keep_days",
        &column(rows, |row| row.space_id.uuid()),
        &column(rows, |row| row.name.to_string()),
        &column(rows, |row| number(row.created_seq)),
        &column(rows, |row| row.deleted_seq.map(number)) as &[Option<i64>],
        &column(rows, |row| row.keep_versions.map(small_number)) as &[Option<i32>],
        &column(rows, |row| row.keep_days.map(small_number)) as &[Option<i32>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_folders(conn: &mut PgConnection, rows: &[FolderRow], since: u64) -> Result<(), sqlx::Error> {
    let Split { new, rows } = Split::of(rows, |row| row.created_seq > since);
    if !new.is_empty() {
        let into = "folders (folder_id, space_id, created_seq, deleted_seq, entries)";
        copy(&mut *conn, into, new, |row, tuple| {
            tuple
                .put(row.folder_id.uuid())
                .put(row.space_id.uuid())
                .put(number(row.created_seq))
                .put(row.deleted_seq.map(number))
                .put(number(row.entries));
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO folders (folder_id, space_id, created_seq, deleted_seq, entries)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
         ON CONFLICT (folder_id) DO UPDATE SET deleted_seq = excluded.deleted_seq, entries = excluded.entries",
        &column(&rows, |row| row.folder_id.uuid()),
        &column(&rows, |row| row.space_id.uuid()),
        &column(&rows, |row| number(row.created_seq)),
        &column(&rows, |row| row.deleted_seq.map(number)) as &[Option<i64>],
        &column(&rows, |row| number(row.entries)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Closed names or current ones. A closed one may have been opened in the same batch: then it comes as it ended.
pub(super) async fn save_names(conn: &mut PgConnection, rows: &[NameRow], since: u64) -> Result<(), sqlx::Error> {
    let Split { new, rows } = Split::of(rows, |row| row.from_seq > since);
    if !new.is_empty() {
        let into = "names (parent_id, name, from_seq, to_seq, target_kind, target_id)";
        copy(&mut *conn, into, new, |row, tuple| {
            let (target_kind, target_id) = target_columns(row.target);
            tuple
                .put(row.parent.uuid())
                .put(row.name.as_str())
                .put(number(row.from_seq))
                .put(row.to_seq.map(number))
                .put(target_kind)
                .put(target_id);
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO names (parent_id, name, from_seq, to_seq, target_kind, target_id)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::uuid[])
         ON CONFLICT (parent_id, name, from_seq)
         DO UPDATE SET to_seq = excluded.to_seq, target_kind = excluded.target_kind, target_id = excluded.target_id",
        &column(&rows, |row| row.parent.uuid()),
        &column(&rows, |row| row.name.to_string()),
        &column(&rows, |row| number(row.from_seq)),
        &column(&rows, |row| row.to_seq.map(number)) as &[Option<i64>],
        &column(&rows, |row| target_columns(row.target).0.to_owned()),
        &column(&rows, |row| target_columns(row.target).1),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_files(conn: &mut PgConnection, rows: &[FileRow], since: u64) -> Result<(), sqlx::Error> {
    let Split { new, rows } = Split::of(rows, |row| row.created_seq > since);
    if !new.is_empty() {
        let into = "files (file_id, space_id, version_id, created_seq, changed_seq, deleted_seq)";
        copy(&mut *conn, into, new, |row, tuple| {
            tuple
                .put(row.file_id.uuid())
                .put(row.space_id.uuid())
                .put(row.version_id.uuid())
                .put(number(row.created_seq))
                .put(number(row.changed_seq))
                .put(row.deleted_seq.map(number));
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO files AS t (file_id, space_id, version_id, created_seq, changed_seq, deleted_seq)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[])
         ON CONFLICT (file_id) DO UPDATE
         SET space_id = excluded.space_id, version_id = excluded.version_id, changed_seq = excluded.changed_seq,
             deleted_seq = excluded.deleted_seq
         WHERE t.changed_seq <= excluded.changed_seq",
        &column(&rows, |row| row.file_id.uuid()),
        &column(&rows, |row| row.space_id.uuid()),
        &column(&rows, |row| row.version_id.uuid()),
        &column(&rows, |row| number(row.created_seq)),
        &column(&rows, |row| number(row.changed_seq)),
        &column(&rows, |row| row.deleted_seq.map(number)) as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}
