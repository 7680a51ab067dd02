//! Where all blobs are.

use fold::rows::ReplicaState;
use proto::{BlobId, NodeId, WantedCopy};
use uuid::Uuid;

use super::redrive::wanted_copy;
use crate::Error;
use crate::reader::{Answer, MAX_PAGE, Reader, Seen, seen};
use crate::records::{BlobColumns, replica_state, unsigned, word};

/// Where a live blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// With all that copying it needs. Its source is a node that holds it, if any does, else the one that took the upload.
    pub copy: WantedCopy,
    /// Its pairs, by node.
    pub pairs: Vec<(NodeId, ReplicaState)>,
}

impl Reader {
    /// Where live blobs are, by id, after one; when a node is given, of those only that have a pair with it. At most
    /// `limit` and [`MAX_PAGE`], fewer only when there are no more.
    pub async fn placed(&self, on: Option<&NodeId>, after: Option<BlobId>, limit: u32) -> Result<Vec<Placed>, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, b.blob_id, b.space_id, b.size_bytes, b.sha256, b.slices_sha256,
                       b.slice_bytes, b.origin_node, b.first_seq, b.created_at, b.refs, b.state, b.state_seq,
                       b.unreferenced_at, e.event_id AS "event_id!",
                       ARRAY(SELECT r.node FROM replicas AS r WHERE r.blob_id = b.blob_id ORDER BY r.node) AS "nodes!",
                       ARRAY(SELECT r.state FROM replicas AS r WHERE r.blob_id = b.blob_id ORDER BY r.node) AS "states!"
                   FROM (
                       SELECT * FROM blobs AS l
                       WHERE l.state = 'live' AND l.blob_id > $1 AND ($2::text IS NULL
                           OR EXISTS (SELECT FROM replicas AS o WHERE o.blob_id = l.blob_id AND o.node = $2))
                       ORDER BY l.blob_id LIMIT $3
                   ) AS b
                   JOIN highwater.active AS a ON a.singleton
                   JOIN events AS e ON e.seq = b.first_seq
                   ORDER BY b.blob_id"#,
                after.map_or_else(Uuid::nil, BlobId::uuid),
                on.map(NodeId::as_str) as Option<&str>,
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let mut placed = Vec::with_capacity(rows.len());
            for row in rows {
                let pairs = pairs(&row.nodes, &row.states)?;
                let stored =
                    pairs.iter().find(|(_, state)| *state == ReplicaState::Stored).map(|(node, _)| node.clone());
                let blob = BlobColumns {
                    blob_id: row.blob_id,
                    space_id: row.space_id,
                    size_bytes: row.size_bytes,
                    sha256: row.sha256,
                    slices_sha256: row.slices_sha256,
                    slice_bytes: row.slice_bytes,
                    origin_node: row.origin_node,
                    first_seq: row.first_seq,
                    created_at: row.created_at,
                    refs: row.refs,
                    state: row.state,
                    state_seq: row.state_seq,
                    unreferenced_at: row.unreferenced_at,
                };
                placed.push(Placed { copy: wanted_copy(blob, row.event_id, stored)?, pairs });
            }
            Ok(Answer { seen, value: placed })
        })
        .await
    }

    /// How many copies a node lacks; counted up to `most`.
    pub async fn pending(&self, node: &NodeId, most: u32) -> Result<u32, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, (
                       SELECT count(*) FROM (
                           SELECT FROM replicas WHERE node = $1 AND state = 'pending' LIMIT $2
                       ) AS p
                   ) AS "pending!"
                   FROM highwater.active AS a WHERE a.singleton"#,
                node.as_str(),
                i64::from(most),
            )
            .fetch_one(&pool)
            .await?;
            let seen = Seen { catalog_id: row.catalog_id, generation: row.generation };
            let pending = unsigned("replicas", "state", row.pending)?;
            Ok(Answer { seen: Some(seen), value: u32::try_from(pending).unwrap_or(u32::MAX) })
        })
        .await
    }
}

fn pairs(nodes: &[String], states: &[String]) -> Result<Vec<(NodeId, ReplicaState)>, Error> {
    nodes.iter().zip(states).map(|(node, state)| Ok((word("replicas", "node", node)?, replica_state(state)?))).collect()
}
