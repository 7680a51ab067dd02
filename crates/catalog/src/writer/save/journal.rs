//! What became of the events.

use std::collections::BTreeSet;

use fold::rows::{EventRow, ReceiptRow};
use proto::{BlobId, EventId, FileId, Path, SpaceId, VersionId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::column;
use super::copy::{COPY_FROM, copy};
use crate::records::{fingerprint_bytes, number, storable};

/// A receipt is made once and never changes.
pub(super) async fn save_receipts(conn: &mut PgConnection, rows: &[ReceiptRow]) -> Result<(), sqlx::Error> {
    if rows.len() >= COPY_FROM {
        let into = "receipts (event_id, seq, outcome, reason, fingerprint, space, path, file_id, version_id, blob_id)";
        return copy(conn, into, rows, |row, tuple| {
            tuple
                .put(row.event_id.uuid())
                .put(number(row.seq))
                .put(row.outcome.to_string())
                .put(row.reason.as_deref().map(storable))
                .put(row.fingerprint.map(fingerprint_bytes))
                .put(row.space.as_ref().map(ToString::to_string))
                .put(row.path.as_ref().map(Path::as_str))
                .put(row.file_id.map(FileId::uuid))
                .put(row.version_id.map(VersionId::uuid))
                .put(row.blob_id.map(BlobId::uuid));
        })
        .await;
    }
    sqlx::query!(
        "INSERT INTO receipts
             (event_id, seq, outcome, reason, fingerprint, space, path, file_id, version_id, blob_id)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[],
             $8::uuid[], $9::uuid[], $10::uuid[])
         ON CONFLICT (event_id) DO NOTHING",
        &column(rows, |row| row.event_id.uuid()),
        &column(rows, |row| number(row.seq)),
        &column(rows, |row| row.outcome.to_string()),
        &column(rows, |row| row.reason.as_deref().map(storable)) as &[Option<String>],
        &column(rows, |row| row.fingerprint.map(fingerprint_bytes)) as &[Option<Vec<u8>>],
        &column(rows, |row| row.space.as_ref().map(ToString::to_string)) as &[Option<String>],
        &column(rows, |row| row.path.as_ref().map(ToString::to_string)) as &[Option<String>],
        &column(rows, |row| row.file_id.map(FileId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.version_id.map(VersionId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.blob_id.map(BlobId::uuid)) as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_events(conn: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
    if rows.len() >= COPY_FROM {
        let into = "events (seq, event_id, kind, space_id, path, from_path, file_id, outcome, reason, raw)";
        return copy(conn, into, rows, |row, tuple| {
            tuple
                .put(number(row.seq))
                .put(row.event_id.map(EventId::uuid))
                .put(row.kind.as_str())
                .put(row.space_id.map(SpaceId::uuid))
                .put(row.path.as_ref().map(Path::as_str))
                .put(row.from_path.as_ref().map(Path::as_str))
                .put(row.file_id.map(FileId::uuid))
                .put(row.outcome.to_string())
                .put(row.reason.as_deref().map(storable))
                .put(row.raw.as_slice());
        })
        .await;
    }
    let path = |path: &Option<Path>| path.as_ref().map(ToString::to_string);
    sqlx::query!(
        "INSERT INTO events (seq, event_id, kind, space_id, path, from_path, file_id, outcome, reason, raw)
         SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
             $8::text[], $9::text[], $10::bytea[])
         ON CONFLICT (seq) DO NOTHING",
        &column(rows, |row| number(row.seq)),
        &column(rows, |row| row.event_id.map(EventId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.kind.clone()),
        &column(rows, |row| row.space_id.map(SpaceId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| path(&row.path)) as &[Option<String>],
        &column(rows, |row| path(&row.from_path)) as &[Option<String>],
        &column(rows, |row| row.file_id.map(FileId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.outcome.to_string()),
        &column(rows, |row| row.reason.as_deref().map(storable)) as &[Option<String>],
        &rows.iter().map(|row| row.raw.as_slice()).collect::<Vec<_>>() as &[&[u8]],
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_event_blobs(conn: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
    // An event may name a blob twice.
    let links: BTreeSet<(i64, Uuid)> =
        rows.iter().flat_map(|row| row.blob_ids.iter().map(|blob| (number(row.seq), blob.uuid()))).collect();
    if links.len() >= COPY_FROM {
        return copy(conn, "event_blobs (blob_id, seq)", links, |(seq, blob), tuple| {
            tuple.put(blob).put(seq);
        })
        .await;
    }
    if links.is_empty() {
        return Ok(());
    }
    let links = Vec::from_iter(links);
    sqlx::query!(
        "INSERT INTO event_blobs (blob_id, seq)
         SELECT * FROM unnest($1::uuid[], $2::bigint[])
         ON CONFLICT (blob_id, seq) DO NOTHING",
        &column(&links, |link| link.1),
        &column(&links, |link| link.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}
