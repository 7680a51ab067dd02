//! What may be asked for again.

use proto::{BlobId, EventId, NodeId, WantedCopy};
use uuid::Uuid;

use crate::Error;
use crate::reader::{Answer, MAX_PAGE, Reader, seen};
use crate::records::{BlobColumns, number, unsigned, word};

/// What to ask for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redrive {
    /// Only this blob; none for all.
    pub blob_id: Option<BlobId>,
    /// Also what is merely pending, or being erased.
    pub pending: bool,
    /// Only what is as it is since this sequence or an earlier one: what was asked for again on an earlier page is so
    /// since a later one.
    pub up_to: u64,
}

/// A copy that may be asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// With all that making it needs. Its source is a node that holds it, if any does, else the one that took the upload.
    pub copy: WantedCopy,
    /// The event that made the pair what it is: with the blob, where the next page goes on.
    pub seq: u64,
}

impl Reader {
    /// Copies of live blobs on a node that may be asked for again, oldest state first: those that are parked or lost and,
    /// when that is asked for, pending. At most `limit` and [`MAX_PAGE`], fewer only when there are no more; `after` is the
    /// last one of the page before.
    pub async fn open_copies(
        &self,
        node: &NodeId,
        what: Redrive,
        after: Option<&Wanted>,
        limit: u32,
    ) -> Result<Vec<Wanted>, Error> {
        let (after_seq, after_blob) = place(after);
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            // Two branches, each with the condition of the index that it goes by.
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, r.seq AS "pair_seq!", b.blob_id, b.space_id, b.size_bytes, b.sha256,
                       b.slices_sha256, b.slice_bytes, b.origin_node, b.first_seq, b.created_at, b.refs, b.state,
                       b.state_seq, b.unreferenced_at, e.event_id AS "event_id!",
                       (SELECT s.node FROM replicas AS s
                        WHERE s.blob_id = r.blob_id AND s.state = 'stored' ORDER BY s.node LIMIT 1) AS "source?"
                   FROM (
                       (SELECT r.blob_id, r.seq FROM replicas AS r
                        WHERE r.node = $1
                            AND (r.state IN ('parked', 'lost') OR (r.state = 'erasing' AND r.reason IS NOT NULL))
                            AND r.state <> 'erasing' AND r.seq <= $2 AND (r.seq, r.blob_id) > ($3, $4)
                            AND ($5::uuid IS NULL OR r.blob_id = $5)
                            AND EXISTS (SELECT FROM blobs AS b WHERE b.blob_id = r.blob_id AND b.state = 'live')
                        ORDER BY r.seq, r.blob_id LIMIT $6)
                       UNION ALL
                       (SELECT r.blob_id, r.seq FROM replicas AS r
                        WHERE $7 AND r.node = $1 AND r.state = 'pending' AND r.seq <= $2
                            AND (r.seq, r.blob_id) > ($3, $4) AND ($5::uuid IS NULL OR r.blob_id = $5)
                            AND EXISTS (SELECT FROM blobs AS b WHERE b.blob_id = r.blob_id AND b.state = 'live')
                        ORDER BY r.seq, r.blob_id LIMIT $6)
                       ORDER BY seq, blob_id LIMIT $6
                   ) AS r
                   JOIN highwater.active AS a ON a.singleton
                   JOIN blobs AS b ON b.blob_id = r.blob_id
                   JOIN events AS e ON e.seq = b.first_seq
                   ORDER BY r.seq, r.blob_id"#,
                node.as_str(),
                number(what.up_to),
                after_seq,
                after_blob,
                what.blob_id.map(BlobId::uuid) as Option<Uuid>,
                i64::from(limit),
                what.pending,
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let mut copies = Vec::with_capacity(rows.len());
            for row in rows {
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
                copies.push(wanted(blob, row.event_id, row.source.as_deref(), row.pair_seq)?);
            }
            Ok(Answer { seen, value: copies })
        })
        .await
    }

    /// Blobs whose erasure from a node (none: from any) was given up or, when what is pending is asked for too, is still
    /// to be done; by blob, after one. At most `limit` and [`MAX_PAGE`], fewer only when there are no more.
    pub async fn open_erasures(
        &self,
        node: Option<&NodeId>,
        what: Redrive,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, r.blob_id
                 FROM (
                     SELECT DISTINCT blob_id FROM replicas
                     WHERE state = 'erasing' AND ($1 OR reason IS NOT NULL) AND ($2::text IS NULL OR node = $2)
                         AND seq <= $3 AND blob_id > $4 AND ($5::uuid IS NULL OR blob_id = $5)
                     ORDER BY blob_id LIMIT $6
                 ) AS r
                 JOIN highwater.active AS a ON a.singleton
                 ORDER BY r.blob_id",
                what.pending,
                node.map(NodeId::as_str) as Option<&str>,
                number(what.up_to),
                after.map_or_else(Uuid::nil, BlobId::uuid),
                what.blob_id.map(BlobId::uuid) as Option<Uuid>,
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            Ok(Answer { seen, value: rows.into_iter().map(|row| BlobId::new(row.blob_id)).collect() })
        })
        .await
    }
}

fn wanted(blob: BlobColumns, event_id: Uuid, source: Option<&str>, seq: i64) -> Result<Wanted, Error> {
    let source = source.map(|node| word("replicas", "node", node)).transpose()?;
    Ok(Wanted { copy: wanted_copy(blob, event_id, source)?, seq: unsigned("replicas", "seq", seq)? })
}

/// The copy of a blob that event `event_id` brought, from a node that holds it or, when none is known, the one that took
/// the upload.
pub(super) fn wanted_copy(blob: BlobColumns, event_id: Uuid, source: Option<NodeId>) -> Result<WantedCopy, Error> {
    let blob = fold::rows::BlobRow::try_from(blob)?;
    Ok(WantedCopy {
        blob_id: blob.blob_id,
        size_bytes: blob.size_bytes,
        sha256: blob.sha256,
        slices_sha256: blob.slices_sha256,
        slice_bytes: blob.slice_bytes,
        space_id: blob.space_id,
        event_id: EventId::new(event_id),
        source: source.unwrap_or(blob.origin_node),
    })
}

fn place(after: Option<&Wanted>) -> (i64, Uuid) {
    after.map_or((0, Uuid::nil()), |after| (number(after.seq), after.copy.blob_id.uuid()))
}
