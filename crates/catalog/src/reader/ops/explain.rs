//! Why a blob is where it is.

use fold::rows::BlobRow;
use proto::{BlobId, EventId};
use sqlx::PgConnection;

use crate::Error;
use crate::reader::file::replica;
use crate::reader::{Answer, Event, MAX_PAGE, Reader, Replica, Seen};
use crate::records::{BlobColumns, number, unsigned, word};

/// A blob with its state on every node, and the events that made it so.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The blob.
    pub blob: BlobRow,
    /// The state on every node of the cluster, by node.
    pub replicas: Vec<Replica>,
    /// The events that name the blob, in the order of the journal; and those that do not, but changed it: nodes that
    /// joined, were wiped or were retired since it came.
    pub events: Vec<Event>,
    /// Whether more events name it than are here. Those that made the states above are here in any case.
    pub is_cut: bool,
}

impl Reader {
    /// Why a blob is where it is, in one snapshot; none when no event has brought it. At most `limit` and [`MAX_PAGE`] of
    /// the events that name it, the first ones.
    pub async fn explain(&self, blob_id: BlobId, limit: u32) -> Result<Option<Explained>, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.read(|pool| async move {
            let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let Some((seen, blob)) = blob_row(&mut tx, blob_id).await? else {
                return Ok(Answer { seen: None, value: None });
            };
            let (replicas, mut changed_at) = replicas(&mut tx, &blob).await?;
            changed_at.push(number(blob.state_seq));
            let (events, is_cut) = events(&mut tx, blob_id, &changed_at, limit).await?;
            tx.commit().await?;
            Ok(Answer { seen: Some(seen), value: Some(Explained { blob, replicas, events, is_cut }) })
        })
        .await
    }
}

async fn blob_row(conn: &mut PgConnection, blob_id: BlobId) -> Result<Option<(Seen, BlobRow)>, Error> {
    let row = sqlx::query!(
        "SELECT a.catalog_id, a.generation, b.blob_id, b.space_id, b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes,
             b.origin_node, b.first_seq, b.created_at, b.refs, b.state, b.state_seq, b.unreferenced_at
         FROM highwater.active AS a CROSS JOIN blobs AS b WHERE a.singleton AND b.blob_id = $1",
        blob_id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let seen = Seen { catalog_id: row.catalog_id, generation: row.generation };
    let blob = BlobRow::try_from(BlobColumns {
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
    })?;
    Ok(Some((seen, blob)))
}

/// The pairs, and the sequences of the events that may have made them what they are without naming the blob.
async fn replicas(conn: &mut PgConnection, blob: &BlobRow) -> Result<(Vec<Replica>, Vec<i64>), Error> {
    let rows = sqlx::query!(
        r#"SELECT n.node, n.joined_seq, n.marker_seq, r.state AS "state?", r.seq AS "replica_seq?",
               r.attempts AS "attempts?", r.reason AS "reason?"
           FROM nodes AS n
           LEFT JOIN replicas AS r ON r.blob_id = $1 AND r.node = n.node
           ORDER BY n.node"#,
        blob.blob_id.uuid()
    )
    .fetch_all(conn)
    .await?;
    let (mut replicas, mut changed_at) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if row.state.is_some() {
            let since = [row.joined_seq, row.marker_seq];
            changed_at.extend(since.into_iter().filter(|seq| *seq > number(blob.first_seq)));
            changed_at.extend(row.replica_seq);
        }
        replicas.extend(replica((Some(row.node), row.state, row.replica_seq, row.attempts, row.reason))?);
    }
    Ok((replicas, changed_at))
}

async fn events(
    conn: &mut PgConnection,
    blob_id: BlobId,
    changed_at: &[i64],
    limit: u32,
) -> Result<(Vec<Event>, bool), Error> {
    let rows = sqlx::query!(
        r#"SELECT e.seq, e.event_id, e.kind, e.outcome, e.reason, e.raw,
               (SELECT count(*) FROM (SELECT FROM event_blobs WHERE blob_id = $1 LIMIT $3 + 1) AS l) AS "named!"
           FROM (
               (SELECT seq FROM event_blobs WHERE blob_id = $1 ORDER BY seq LIMIT $3)
             UNION
               SELECT unnest($2::bigint[])
           ) AS found
           JOIN events AS e ON e.seq = found.seq
           ORDER BY e.seq"#,
        blob_id.uuid(),
        changed_at,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    let is_cut = rows.first().is_some_and(|row| row.named > i64::from(limit));
    let events: Result<Vec<Event>, Error> = rows
        .into_iter()
        .map(|row| {
            Ok(Event {
                seq: unsigned("events", "seq", row.seq)?,
                event_id: row.event_id.map(EventId::new),
                kind: row.kind,
                outcome: word("events", "outcome", &row.outcome)?,
                reason: row.reason,
                raw: row.raw,
            })
        })
        .collect();
    Ok((events?, is_cut))
}
