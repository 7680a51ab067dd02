//! Saving what a batch of events changed: one transaction, one statement for each table.

use fold::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, ReceiptRow, ReplicaRow, SpaceRow, Target, VersionRow,
};
use fold::{Backfill, Changes};
use proto::{FileId, VersionId};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Writer;
use crate::records::{fingerprint_bytes, number, small_number, storable};
use crate::watch::announcement;
use crate::{Checkpoint, Error};

/// What a save did besides saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Whether the generation answers reads; if so, the new checkpoint was announced.
    pub active: bool,
}

/// What the first statement of a save found; the transaction holds `highwater.active` from there on.
struct Held {
    active: bool,
}

impl Writer {
    /// Saves the changes together with the checkpoint that they lead to, in one transaction, or not at all.
    ///
    /// `from` is the checkpoint that the changes were folded from: when it is not the catalog's any more, or the generation
    /// was retired, this writer is fenced and nothing is saved. That, and statements that go by key and never go back in
    /// sequence, make a second run harmless. After any error the writer is of no use: open a new one.
    pub async fn save(&mut self, changes: &Changes, from: &Checkpoint, to: &Checkpoint) -> Result<Saved, Error> {
        let limit = self.write_timeout;
        let saving = async {
            let mut tx = self.conn.begin().await?;
            let payload = announcement(self.active, self.generation, to);
            let held = advance(&mut tx, self.generation, from, to, &payload).await?;
            let Some(held) = held else {
                let reason = why_fenced(&mut tx, self.generation, from).await?;
                let generation = self.generation.schema();
                return Err(Error::Fenced { generation, reason, source: None });
            };
            save_rows(&mut tx, changes).await?;
            for backfill in &changes.backfills {
                fill(&mut tx, backfill).await?;
            }
            tx.commit().await?;
            Ok(Saved { active: held.active })
        };
        let saved = tokio::time::timeout(limit, saving).await;
        saved.unwrap_or_else(|_| Err(Error::unavailable("a save took too long"))).map_err(|e| self.fenced(e))
    }
}

/// Takes `highwater.active` FOR SHARE, so that no switch happens until the commit, and moves the checkpoint. None when that
/// is not this writer's to do.
async fn advance(
    conn: &mut PgConnection,
    generation: crate::Generation,
    from: &Checkpoint,
    to: &Checkpoint,
    payload: &str,
) -> Result<Option<Held>, sqlx::Error> {
    // When the lock had to wait for a switch, `held` is the row after it, while `g` is still the row before: hence the
    // two conditions.
    let row = sqlx::query!(
        r#"WITH held AS (SELECT generation FROM highwater.active WHERE singleton FOR SHARE)
           UPDATE checkpoint AS c
           SET incarnation = $1, n = $2, event_id = $3, chain = $4
           FROM held, highwater.generations AS g
           WHERE c.singleton AND g.number = $5 AND (g.number = held.generation OR g.state = 'building')
               AND c.incarnation = $6 AND c.n = $7 AND c.event_id IS NOT DISTINCT FROM $8 AND c.chain = $9
           RETURNING coalesce(held.generation = g.number, false) AS "active!",
               CASE WHEN held.generation = g.number THEN pg_notify('highwater_checkpoint', $10)::text END AS announced"#,
        to.incarnation.uuid(),
        number(to.n),
        to.event_id.map(proto::EventId::uuid) as Option<Uuid>,
        to.chain.as_bytes().as_slice(),
        generation.column(),
        from.incarnation.uuid(),
        number(from.n),
        from.event_id.map(proto::EventId::uuid) as Option<Uuid>,
        from.chain.as_bytes().as_slice(),
        payload,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Held { active: row.active }))
}

async fn why_fenced(
    conn: &mut PgConnection,
    generation: crate::Generation,
    from: &Checkpoint,
) -> Result<String, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT c.n, c.incarnation, (SELECT state FROM highwater.generations WHERE number = $1) AS state
           FROM checkpoint AS c"#,
        generation.column()
    )
    .fetch_one(conn)
    .await?;
    Ok(match row.state.as_deref() {
        Some("retired") => "another generation answers reads now".to_owned(),
        None => "the generation was dropped".to_owned(),
        Some(_) => format!(
            "its checkpoint is {}-{} and not {}: another projector moved it",
            row.incarnation.simple(),
            row.n,
            from.sequence()
        ),
    })
}

async fn save_rows(conn: &mut PgConnection, changes: &Changes) -> Result<(), sqlx::Error> {
    // Empty tables cost no round trip. The order is no matter: there are no foreign keys.
    if !changes.spaces.is_empty() {
        save_spaces(conn, &changes.spaces).await?;
    }
    if !changes.folders.is_empty() {
        save_folders(conn, &changes.folders).await?;
    }
    if !changes.names.is_empty() {
        save_names(conn, &changes.names).await?;
    }
    if !changes.files.is_empty() {
        save_files(conn, &changes.files).await?;
    }
    if !changes.versions.is_empty() {
        save_versions(conn, &changes.versions).await?;
    }
    if !changes.blobs.is_empty() {
        save_blobs(conn, &changes.blobs).await?;
    }
    if !changes.nodes.is_empty() {
        save_nodes(conn, &changes.nodes).await?;
    }
    if !changes.replicas.is_empty() {
        save_replicas(conn, &changes.replicas).await?;
    }
    if !changes.receipts.is_empty() {
        save_receipts(conn, &changes.receipts).await?;
    }
    if !changes.events.is_empty() {
        save_events(conn, &changes.events).await?;
        save_event_blobs(conn, &changes.events).await?;
    }
    Ok(())
}

/// One column of many rows, as the array that UNNEST takes.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn save_spaces(conn: &mut PgConnection, rows: &[SpaceRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO spaces (space_id, name, created_seq)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
         ON CONFLICT (space_id) DO UPDATE SET name = excluded.name",
        &column(rows, |row| row.space_id.uuid()),
        &column(rows, |row| row.name.to_string()),
        &column(rows, |row| number(row.created_seq)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_folders(conn: &mut PgConnection, rows: &[FolderRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO folders (folder_id, space_id, created_seq)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
         ON CONFLICT (folder_id) DO NOTHING",
        &column(rows, |row| row.folder_id.uuid()),
        &column(rows, |row| row.space_id.uuid()),
        &column(rows, |row| number(row.created_seq)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_names(conn: &mut PgConnection, rows: &[NameRow]) -> Result<(), sqlx::Error> {
    let target = |row: &NameRow| match row.target {
        Target::File(id) => ("file".to_owned(), id.uuid()),
        Target::Folder(id) => ("folder".to_owned(), id.uuid()),
    };
    sqlx::query!(
        "INSERT INTO names (parent_id, name, from_seq, target_kind, target_id)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[])
         ON CONFLICT (parent_id, name, from_seq)
         DO UPDATE SET target_kind = excluded.target_kind, target_id = excluded.target_id",
        &column(rows, |row| row.parent.uuid()),
        &column(rows, |row| row.name.to_string()),
        &column(rows, |row| number(row.from_seq)),
        &column(rows, |row| target(row).0),
        &column(rows, |row| target(row).1),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_files(conn: &mut PgConnection, rows: &[FileRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO files AS t (file_id, space_id, version_id, created_seq, changed_seq)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[])
         ON CONFLICT (file_id) DO UPDATE
         SET space_id = excluded.space_id, version_id = excluded.version_id, changed_seq = excluded.changed_seq
         WHERE t.changed_seq <= excluded.changed_seq",
        &column(rows, |row| row.file_id.uuid()),
        &column(rows, |row| row.space_id.uuid()),
        &column(rows, |row| row.version_id.uuid()),
        &column(rows, |row| number(row.created_seq)),
        &column(rows, |row| number(row.changed_seq)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_versions(conn: &mut PgConnection, rows: &[VersionRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO versions
             (version_id, file_id, blob_id, seq, event_id, content_type, modified_at, created_at, actor)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[],
             $7::timestamptz[], $8::timestamptz[], $9::text[])
         ON CONFLICT (version_id) DO NOTHING",
        &column(rows, |row| row.version_id.uuid()),
        &column(rows, |row| row.file_id.uuid()),
        &column(rows, |row| row.blob_id.uuid()),
        &column(rows, |row| number(row.seq)),
        &column(rows, |row| row.event_id.uuid()),
        &column(rows, |row| storable(&row.content_type)),
        &column(rows, |row| row.modified_at) as &[Option<OffsetDateTime>],
        &column(rows, |row| row.created_at),
        &column(rows, |row| row.actor.to_string()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_blobs(conn: &mut PgConnection, rows: &[BlobRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO blobs AS t
             (blob_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, created_at)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::text[],
             $7::bigint[], $8::timestamptz[])
         ON CONFLICT (blob_id) DO UPDATE
         SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256, slices_sha256 = excluded.slices_sha256,
             slice_bytes = excluded.slice_bytes, origin_node = excluded.origin_node, created_at = excluded.created_at
         WHERE t.first_seq = excluded.first_seq",
        &column(rows, |row| row.blob_id.uuid()),
        &column(rows, |row| number(row.size_bytes)),
        &column(rows, |row| row.sha256.as_bytes().to_vec()),
        &column(rows, |row| row.slices_sha256.map(|d| d.as_bytes().to_vec())) as &[Option<Vec<u8>>],
        &column(rows, |row| row.slice_bytes.map(number)) as &[Option<i64>],
        &column(rows, |row| row.origin_node.to_string()),
        &column(rows, |row| number(row.first_seq)),
        &column(rows, |row| row.created_at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_nodes(conn: &mut PgConnection, rows: &[NodeRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO nodes AS t (node, marker_id, joined_seq)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[])
         ON CONFLICT (node) DO UPDATE SET marker_id = excluded.marker_id, joined_seq = excluded.joined_seq
         WHERE t.joined_seq <= excluded.joined_seq",
        &column(rows, |row| row.node.to_string()),
        &column(rows, |row| row.marker_id.uuid()),
        &column(rows, |row| number(row.joined_seq)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_replicas(conn: &mut PgConnection, rows: &[ReplicaRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO replicas AS t (blob_id, node, state, seq, fence_seq, attempts, reason)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[],
             $7::text[])
         ON CONFLICT (blob_id, node) DO UPDATE
         SET state = excluded.state, seq = excluded.seq, fence_seq = excluded.fence_seq,
             attempts = excluded.attempts, reason = excluded.reason
         WHERE t.seq <= excluded.seq",
        &column(rows, |row| row.blob_id.uuid()),
        &column(rows, |row| row.node.to_string()),
        &column(rows, |row| row.state.to_string()),
        &column(rows, |row| number(row.seq)),
        &column(rows, |row| number(row.fence_seq)),
        &column(rows, |row| small_number(row.attempts)),
        &column(rows, |row| row.reason.as_deref().map(storable)) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_receipts(conn: &mut PgConnection, rows: &[ReceiptRow]) -> Result<(), sqlx::Error> {
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
        &column(rows, |row| row.blob_id.map(proto::BlobId::uuid)) as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_events(conn: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO events (seq, event_id, kind, file_id, outcome, reason, raw)
         SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bytea[])
         ON CONFLICT (seq) DO NOTHING",
        &column(rows, |row| number(row.seq)),
        &column(rows, |row| row.event_id.map(proto::EventId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.kind.clone()),
        &column(rows, |row| row.file_id.map(FileId::uuid)) as &[Option<Uuid>],
        &column(rows, |row| row.outcome.to_string()),
        &column(rows, |row| row.reason.as_deref().map(storable)) as &[Option<String>],
        &rows.iter().map(|row| row.raw.as_slice()).collect::<Vec<_>>() as &[&[u8]],
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_event_blobs(conn: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
    let links: Vec<(Uuid, i64)> =
        rows.iter().flat_map(|row| row.blob_ids.iter().map(|blob| (blob.uuid(), number(row.seq)))).collect();
    if links.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO event_blobs (blob_id, seq)
         SELECT * FROM unnest($1::uuid[], $2::bigint[])
         ON CONFLICT (blob_id, seq) DO NOTHING",
        &column(&links, |link| link.0),
        &column(&links, |link| link.1),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every blob that has no row for the node gets one, pending.
async fn fill(conn: &mut PgConnection, backfill: &Backfill) -> Result<(), sqlx::Error> {
    // The one statement that reads a whole table.
    sqlx::query!("SELECT set_config('enable_seqscan', 'on', true)").fetch_one(&mut *conn).await?;
    sqlx::query!(
        "INSERT INTO replicas (blob_id, node, state, seq, fence_seq, attempts, reason)
         SELECT blob_id, $1, 'pending', $2, 0, 0, NULL FROM blobs
         ON CONFLICT (blob_id, node) DO NOTHING",
        backfill.node.as_str(),
        number(backfill.seq),
    )
    .execute(conn)
    .await?;
    Ok(())
}
