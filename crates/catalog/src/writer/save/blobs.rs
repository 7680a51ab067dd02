//! Versions, their content, and where it is.

use std::collections::HashSet;

use fold::Bulk;
use fold::rows::{BlobRow, NodeRow, PlacementRow, ReplicaRow, VersionRow};
use proto::{BlobId, NodeId, VersionId};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::copy::copy;
use super::{Split, column};
use crate::records::{number, small_number, storable};

/// A version never changes but once, when it is pruned.
pub(super) async fn save_versions(conn: &mut PgConnection, rows: &[VersionRow], since: u64) -> Result<(), sqlx::Error> {
    let Split { new, rows } = Split::of(rows, |row| row.seq > since);
    if !new.is_empty() {
        let into = "versions (version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, \
                    modified_at, created_at, actor, pruned_seq)";
        copy(&mut *conn, into, new, |row, tuple| {
            tuple
                .put(row.version_id.uuid())
                .put(row.file_id.uuid())
                .put(row.kind.to_string())
                .put(row.blob_id.map(BlobId::uuid))
                .put(row.source_version.map(VersionId::uuid))
                .put(number(row.seq))
                .put(row.event_id.uuid())
                .put(storable(&row.content_type))
                .put(row.modified_at)
                .put(row.created_at)
                .put(row.actor.to_string())
                .put(row.pruned_seq.map(number));
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO versions AS t
             (version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, modified_at, created_at,
             actor, pruned_seq)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::uuid[],
             $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::bigint[])
         ON CONFLICT (version_id) DO UPDATE SET pruned_seq = excluded.pruned_seq WHERE t.pruned_seq IS NULL",
        &column(&rows, |row| row.version_id.uuid()),
        &column(&rows, |row| row.file_id.uuid()),
        &column(&rows, |row| row.kind.to_string()),
        &column(&rows, |row| row.blob_id.map(BlobId::uuid)) as &[Option<Uuid>],
        &column(&rows, |row| row.source_version.map(VersionId::uuid)) as &[Option<Uuid>],
        &column(&rows, |row| number(row.seq)),
        &column(&rows, |row| row.event_id.uuid()),
        &column(&rows, |row| storable(&row.content_type)),
        &column(&rows, |row| row.modified_at) as &[Option<OffsetDateTime>],
        &column(&rows, |row| row.created_at),
        &column(&rows, |row| row.actor.to_string()),
        &column(&rows, |row| row.pruned_seq.map(number)) as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of a blob that is known, only who names it and how far it is on the way to its end can change.
pub(super) async fn save_blobs(conn: &mut PgConnection, rows: &[BlobRow], since: u64) -> Result<(), sqlx::Error> {
    let Split { new, rows } = Split::of(rows, |row| row.first_seq > since);
    if !new.is_empty() {
        let into = "blobs (blob_id, space_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, \
                    created_at, refs, state, state_seq, unreferenced_at)";
        copy(&mut *conn, into, new, |row, tuple| {
            tuple
                .put(row.blob_id.uuid())
                .put(row.space_id.uuid())
                .put(number(row.size_bytes))
                .put(row.sha256.as_bytes().as_slice())
                .put(row.slices_sha256.as_ref().map(|digest| digest.as_bytes().as_slice()))
                .put(row.slice_bytes.map(number))
                .put(row.origin_node.as_str())
                .put(number(row.first_seq))
                .put(row.created_at)
                .put(number(row.refs))
                .put(row.state.to_string())
                .put(number(row.state_seq))
                .put(row.unreferenced_at);
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO blobs AS t
             (blob_id, space_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, created_at, refs,
             state, state_seq, unreferenced_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::text[],
             $8::bigint[], $9::timestamptz[], $10::bigint[], $11::text[], $12::bigint[], $13::timestamptz[])
         ON CONFLICT (blob_id) DO UPDATE
         SET refs = excluded.refs, state = excluded.state, state_seq = excluded.state_seq,
             unreferenced_at = excluded.unreferenced_at
         WHERE t.state_seq <= excluded.state_seq",
        &column(&rows, |row| row.blob_id.uuid()),
        &column(&rows, |row| row.space_id.uuid()),
        &column(&rows, |row| number(row.size_bytes)),
        &column(&rows, |row| row.sha256.as_bytes().to_vec()),
        &column(&rows, |row| row.slices_sha256.map(|d| d.as_bytes().to_vec())) as &[Option<Vec<u8>>],
        &column(&rows, |row| row.slice_bytes.map(number)) as &[Option<i64>],
        &column(&rows, |row| row.origin_node.to_string()),
        &column(&rows, |row| number(row.first_seq)),
        &column(&rows, |row| row.created_at),
        &column(&rows, |row| number(row.refs)),
        &column(&rows, |row| row.state.to_string()),
        &column(&rows, |row| number(row.state_seq)),
        &column(&rows, |row| row.unreferenced_at) as &[Option<OffsetDateTime>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_nodes(conn: &mut PgConnection, rows: &[NodeRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO nodes AS t (node, marker_id, joined_seq, marker_seq)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[])
         ON CONFLICT (node) DO UPDATE
         SET marker_id = excluded.marker_id, joined_seq = excluded.joined_seq, marker_seq = excluded.marker_seq
         WHERE t.marker_seq <= excluded.marker_seq",
        &column(rows, |row| row.node.to_string()),
        &column(rows, |row| row.marker_id.uuid()),
        &column(rows, |row| number(row.joined_seq)),
        &column(rows, |row| number(row.marker_seq)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn save_placement(conn: &mut PgConnection, row: &PlacementRow) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO placement AS t (seq, rules) VALUES ($1, $2)
         ON CONFLICT (singleton) DO UPDATE SET seq = excluded.seq, rules = excluded.rules WHERE t.seq <= excluded.seq",
        number(row.seq),
        Json(&row.placement) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// `blobs` are those that are saved with them: a pair is as new as its blob, or was there before.
pub(super) async fn save_replicas(
    conn: &mut PgConnection,
    rows: &[ReplicaRow],
    blobs: &[BlobRow],
    since: u64,
) -> Result<(), sqlx::Error> {
    let new_blobs: HashSet<BlobId> = blobs.iter().filter(|row| row.first_seq > since).map(|row| row.blob_id).collect();
    let Split { new, rows } = Split::of(rows, |row| new_blobs.contains(&row.blob_id));
    if !new.is_empty() {
        let into = "replicas (blob_id, node, state, seq, fence_seq, attempts, reason)";
        copy(&mut *conn, into, new, |row, tuple| {
            tuple
                .put(row.blob_id.uuid())
                .put(row.node.as_str())
                .put(row.state.to_string())
                .put(number(row.seq))
                .put(number(row.fence_seq))
                .put(small_number(row.attempts))
                .put(row.reason.as_deref().map(storable));
        })
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO replicas AS t (blob_id, node, state, seq, fence_seq, attempts, reason)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[],
             $7::text[])
         ON CONFLICT (blob_id, node) DO UPDATE
         SET state = excluded.state, seq = excluded.seq, fence_seq = excluded.fence_seq,
             attempts = excluded.attempts, reason = excluded.reason
         WHERE t.seq <= excluded.seq",
        &column(&rows, |row| row.blob_id.uuid()),
        &column(&rows, |row| row.node.to_string()),
        &column(&rows, |row| row.state.to_string()),
        &column(&rows, |row| number(row.seq)),
        &column(&rows, |row| number(row.fence_seq)),
        &column(&rows, |row| small_number(row.attempts)),
        &column(&rows, |row| row.reason.as_deref().map(storable)) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the catalog alone can change, since it is too much for a view.
pub(super) async fn save_bulk(conn: &mut PgConnection, bulk: &Bulk) -> Result<(), sqlx::Error> {
    // The only statements that go through whole tables.
    sqlx::query!("SELECT set_config('enable_seqscan', 'on', true)").fetch_one(&mut *conn).await?;
    match bulk {
        Bulk::Join { node, seq } => join(conn, node, *seq).await,
        Bulk::Wipe { node, seq } => wipe(conn, node, *seq).await,
        Bulk::Retire { node, seq } => retire(conn, node, *seq).await,
    }
}

async fn join(conn: &mut PgConnection, node: &NodeId, seq: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO replicas (blob_id, node, state, seq, fence_seq, attempts, reason)
         SELECT blob_id, $1, 'pending', $2, 0, 0, NULL FROM blobs WHERE state = 'live'
         ON CONFLICT (blob_id, node) DO NOTHING",
        node.as_str(),
        number(seq),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn wipe(conn: &mut PgConnection, node: &NodeId, seq: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE replicas
         SET state = CASE state WHEN 'erasing' THEN 'erased' ELSE 'pending' END,
             seq = $2, fence_seq = $2, attempts = 0, reason = 'node_wiped'
         WHERE node = $1 AND state <> 'erased' AND seq < $2",
        node.as_str(),
        number(seq),
    )
    .execute(&mut *conn)
    .await?;
    end_erased(conn, seq).await
}

async fn retire(conn: &mut PgConnection, node: &NodeId, seq: u64) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM replicas WHERE node = $1", node.as_str()).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM nodes WHERE node = $1", node.as_str()).execute(&mut *conn).await?;
    end_erased(conn, seq).await
}

/// Erased, once no node is left that has to erase it.
async fn end_erased(conn: &mut PgConnection, seq: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE blobs AS b SET state = 'erased', state_seq = $1
         WHERE b.state = 'erasing'
             AND NOT EXISTS (SELECT FROM replicas AS r WHERE r.blob_id = b.blob_id AND r.state <> 'erased')",
        number(seq),
    )
    .execute(conn)
    .await?;
    Ok(())
}
