//! What the nodes should hold: for those who compare it with what they hold, and for those who ask for copies.

use std::ops::RangeInclusive;

use fold::rows::{BlobState, ReplicaState};
use proto::{BlobId, EventId, MarkerId, NodeId, Sha256Digest, SpaceId, WantedCopy};
use uuid::Uuid;

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::Error;
use crate::records::{digest, number, replica_state, unsigned, word};

/// What the catalog says of a blob, and of it on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The blob.
    pub blob_id: BlobId,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The digest of its slice digests and the length of a slice, when it is longer than one.
    pub slices: Option<(Sha256Digest, u64)>,
    /// How far its life is.
    pub state: BlobState,
    /// Its state on the node, and the sequence of the event that made it so; none when it is not placed there.
    pub replica: Option<(ReplicaState, u64)>,
}

impl Reader {
    /// The nodes that have joined, with their markers, by node.
    pub async fn markers(&self) -> Result<Vec<(NodeId, MarkerId)>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, n.node, n.marker_id
                 FROM highwater.active AS a CROSS JOIN nodes AS n WHERE a.singleton ORDER BY n.node"
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let nodes: Result<Vec<_>, Error> = rows
                .into_iter()
                .map(|row| Ok((word("nodes", "node", &row.node)?, MarkerId::new(row.marker_id))))
                .collect();
            Ok(Answer { seen, value: nodes? })
        })
        .await
    }

    /// Those of `blob_ids` that are known, and how they are on `node`; and the sequence as of which that is so.
    pub async fn audited(&self, node: &NodeId, blob_ids: &[BlobId]) -> Result<(Vec<Audited>, u64), Error> {
        let blob_ids: Vec<Uuid> = blob_ids.iter().map(|id| id.uuid()).collect();
        let blob_ids = blob_ids.as_slice();
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, c.n, b.blob_id AS "blob_id?", b.size_bytes AS "size_bytes?",
                       b.sha256 AS "sha256?", b.slices_sha256 AS "slices_sha256?", b.slice_bytes AS "slice_bytes?",
                       b.state AS "blob_state?", r.state AS "state?", r.seq AS "seq?"
                   FROM highwater.active AS a
                   CROSS JOIN checkpoint AS c
                   LEFT JOIN blobs AS b ON b.blob_id = ANY($2::uuid[])
                   LEFT JOIN replicas AS r ON r.blob_id = b.blob_id AND r.node = $1
                   WHERE a.singleton AND c.singleton"#,
                node.as_str(),
                blob_ids,
            )
            .fetch_all(&pool)
            .await?;
            let Some(first) = rows.first() else { return Ok(Answer { seen: None, value: (Vec::new(), 0) }) };
            let (seen, at) = (seen!(first), unsigned("checkpoint", "n", first.n)?);
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                let (Some(blob_id), Some(size), Some(sha256), Some(state)) =
                    (row.blob_id, row.size_bytes, row.sha256, row.blob_state)
                else {
                    continue;
                };
                let slices = match (row.slices_sha256, row.slice_bytes) {
                    (Some(list), Some(bytes)) => {
                        Some((digest("blobs", "slices_sha256", &list)?, unsigned("blobs", "slice_bytes", bytes)?))
                    }
                    _ => None,
                };
                let replica = match (row.state, row.seq) {
                    (Some(state), Some(seq)) => Some((replica_state(&state)?, unsigned("replicas", "seq", seq)?)),
                    _ => None,
                };
                all.push(Audited {
                    blob_id: BlobId::new(blob_id),
                    size_bytes: unsigned("blobs", "size_bytes", size)?,
                    sha256: digest("blobs", "sha256", &sha256)?,
                    slices,
                    state: word("blobs", "state", &state)?,
                    replica,
                });
            }
            Ok(Answer { seen: Some(seen), value: (all, at) })
        })
        .await
    }

    /// Blobs that are stored on `node`, those whose id ends in a byte of `last_bytes`, in the order of their ids after
    /// `after`; at most `limit` and [`MAX_PAGE`]. The last byte is what an object's folder is named by.
    pub async fn stored_on(
        &self,
        node: &NodeId,
        last_bytes: RangeInclusive<u8>,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, Error> {
        let after = after.map_or(Uuid::nil(), BlobId::uuid);
        let (from, to) = (i32::from(*last_bytes.start()), i32::from(*last_bytes.end()));
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, r.blob_id
                 FROM (
                     SELECT blob_id FROM replicas
                     WHERE node = $1 AND state = 'stored' AND blob_id > $2
                         AND get_byte(uuid_send(blob_id), 15) BETWEEN $3 AND $4
                     ORDER BY blob_id LIMIT $5
                 ) AS r
                 JOIN highwater.active AS a ON a.singleton
                 ORDER BY r.blob_id",
                node.as_str(),
                after,
                from,
                to,
                number(limit.clamp(1, MAX_PAGE).into()),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            Ok(Answer { seen, value: rows.into_iter().map(|row| BlobId::new(row.blob_id)).collect() })
        })
        .await
    }

    /// What must be said to have these blobs copied to `node`, by blob id; without those that are erased. The source is
    /// `node` itself where no other node holds the blob: then what is there is looked at once more, and given up with the
    /// reason unless it is right.
    pub async fn wanted_copies(&self, node: &NodeId, blob_ids: &[BlobId]) -> Result<Vec<WantedCopy>, Error> {
        let blob_ids: Vec<Uuid> = blob_ids.iter().map(|id| id.uuid()).collect();
        let blob_ids = blob_ids.as_slice();
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, b.blob_id, b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes,
                       b.space_id, e.event_id AS "event_id!", coalesce(s.node, $1) AS "source!"
                   FROM highwater.active AS a
                   JOIN blobs AS b ON b.blob_id = ANY($2::uuid[]) AND b.state IN ('live', 'condemned')
                   JOIN events AS e ON e.seq = b.first_seq AND e.event_id IS NOT NULL
                   LEFT JOIN LATERAL (
                       SELECT node FROM replicas
                       WHERE blob_id = b.blob_id AND state = 'stored' AND node <> $1
                       ORDER BY node <> b.origin_node, node LIMIT 1
                   ) AS s ON true
                   WHERE a.singleton
                   ORDER BY b.blob_id"#,
                node.as_str(),
                blob_ids,
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let mut wanted = Vec::with_capacity(rows.len());
            for row in rows {
                let slices = row.slices_sha256.map(|bytes| digest("blobs", "slices_sha256", &bytes)).transpose()?;
                let slice_bytes = row.slice_bytes.map(|bytes| unsigned("blobs", "slice_bytes", bytes)).transpose()?;
                wanted.push(WantedCopy {
                    blob_id: BlobId::new(row.blob_id),
                    size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
                    sha256: digest("blobs", "sha256", &row.sha256)?,
                    slices_sha256: slices,
                    slice_bytes,
                    space_id: SpaceId::new(row.space_id),
                    event_id: EventId::new(row.event_id),
                    source: word("replicas", "node", &row.source)?,
                });
            }
            Ok(Answer { seen, value: wanted })
        })
        .await
    }
}
