//! Versions, their content, and where it is.

use std::collections::BTreeMap;

use fold::View;
use fold::rows::{BlobRow, ReplicaRow, VersionRow};
use proto::{BlobId, NodeId, VersionId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::records::{BlobColumns, VersionColumns, replica_state, unsigned};

/// Answers the versions' blobs that the view does not know, each once: they are mostly needed next.
pub(super) async fn load_versions(
    conn: &mut PgConnection,
    wanted: &[VersionId],
    view: &mut View,
) -> Result<Vec<BlobId>, Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        VersionColumns,
        "SELECT version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, modified_at, created_at,
             actor, pruned_seq
         FROM versions WHERE version_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    let mut blobs = Vec::new();
    for row in rows {
        let row = VersionRow::try_from(row)?;
        blobs.extend(row.blob_id.filter(|blob| !view.blobs.knows(blob)));
        view.versions.load(row.version_id, Some(row));
    }
    for id in wanted {
        view.versions.load(*id, None);
    }
    blobs.sort_unstable();
    blobs.dedup();
    Ok(blobs)
}

pub(super) async fn load_blobs(conn: &mut PgConnection, wanted: &[BlobId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        BlobColumns,
        "SELECT blob_id, space_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq,
             created_at, refs, state, state_seq, unreferenced_at
         FROM blobs WHERE blob_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = BlobRow::try_from(row)?;
        view.blobs.load(row.blob_id, Some(row));
    }
    for id in wanted {
        view.blobs.load(*id, None);
    }
    Ok(())
}

pub(super) async fn load_replicas(
    conn: &mut PgConnection,
    wanted: Vec<(BlobId, NodeId)>,
    view: &mut View,
) -> Result<(), Error> {
    // By node: few nodes, each with many blobs.
    let mut by_node: BTreeMap<NodeId, Vec<BlobId>> = BTreeMap::new();
    for (blob, node) in wanted {
        by_node.entry(node).or_default().push(blob);
    }
    for (node, blobs) in by_node {
        let ids: Vec<Uuid> = blobs.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            "SELECT blob_id, state, seq, fence_seq, attempts, reason
             FROM replicas WHERE blob_id = ANY($1) AND node = $2",
            &ids,
            node.as_str(),
        )
        .fetch_all(&mut *conn)
        .await?;
        for row in rows {
            let blob_id = BlobId::new(row.blob_id);
            let row = ReplicaRow {
                blob_id,
                node: node.clone(),
                state: replica_state(&row.state)?,
                seq: unsigned("replicas", "seq", row.seq)?,
                fence_seq: unsigned("replicas", "fence_seq", row.fence_seq)?,
                attempts: row.attempts.cast_unsigned(),
                reason: row.reason,
            };
            view.replicas.load((blob_id, node.clone()), Some(row));
        }
        for blob in blobs {
            view.replicas.load((blob, node.clone()), None);
        }
    }
    Ok(())
}
