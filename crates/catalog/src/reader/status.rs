//! Numbers: what is stored where, and what is still to be done.

mod drain;

use std::time::Duration;

use proto::NodeId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use self::drain::Drains;
use super::{Answer, Reader, Seen};
use crate::generation::VerificationColumns;
use crate::records::{unsigned, word};
use crate::{Checkpoint, Error, Generation, Verification};

/// How the catalog stands, in one snapshot.
#[derive(Debug, Clone)]
pub struct Status {
    /// Up to where it is folded.
    pub checkpoint: Checkpoint,
    /// The generation that answers.
    pub generation: Generation,
    /// Events that no version of the program can decode.
    pub undecodable_events: u64,
    /// What verifying it has found.
    pub verification: Verification,
    /// The nodes, by id.
    pub nodes: Vec<NodeStatus>,
}

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Blobs that are there.
    pub blobs_stored: u64,
    /// Blobs that shall be there and are not yet: those that are live, and those that are condemned, since until their
    /// erasure is ordered they are copied like all others. Counted from the rows of the pairs each time, so that it is
    /// what a fold of the journal up to the checkpoint gives.
    pub blobs_pending: u64,
    /// The sum of their sizes.
    pub bytes_pending: u64,
    /// Events that asked for these copies, or reported them lost.
    pub events_behind: u64,
    /// When the oldest of them was uploaded.
    pub oldest_pending_at: Option<OffsetDateTime>,
    /// Until none of these bytes are pending, if it goes on as it did lately: zero when none are, none while they do not get
    /// fewer.
    pub eta: Option<Duration>,
    /// Blobs whose copying was given up.
    pub blobs_parked: u64,
    /// Blobs that were there and are not any more.
    pub blobs_lost: u64,
    /// Blobs that shall be erased from it and are not yet, those included whose erasure was given up.
    pub blobs_erasing: u64,
}

impl Reader {
    /// How the catalog stands. Counts all replicas, so ask it every few seconds, not for every request. `now` and `window`
    /// are for the estimates only, which go by what happened in that long before now, by the times of the events.
    pub async fn status(&self, now: OffsetDateTime, window: Duration) -> Result<Status, Error> {
        self.read(|pool| async move {
            let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let drains = drain::drains(&mut tx, now, window).await?;
            // The one read of whole tables: here plans for that are the right ones.
            sqlx::query!("SELECT set_config('enable_seqscan', 'on', true) AS scan, set_config('enable_hashjoin', 'on', true) AS hash")
                .fetch_one(&mut *tx)
                .await?;
            let head = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, c.incarnation, c.n, c.event_id, c.chain,
                       (SELECT count(*) FROM events WHERE event_id IS NULL) AS "undecodable!",
                       g.verified_at, g.verified_seq, g.verified_rows, g.verified_differing, g.verified_seconds,
                       coalesce(g.verify_failures, 0) AS "verify_failures!"
                   FROM highwater.active AS a LEFT JOIN highwater.generations AS g ON g.number = a.generation
                   CROSS JOIN checkpoint AS c WHERE a.singleton AND c.singleton"#
            )
            .fetch_one(&mut *tx)
            .await?;
            let nodes = nodes(&mut tx, &drains).await?;
            tx.commit().await?;
            let verification = Verification::try_from(VerificationColumns {
                at: head.verified_at,
                seq: head.verified_seq,
                rows: head.verified_rows,
                differing: head.verified_differing,
                seconds: head.verified_seconds,
                failures: head.verify_failures,
            })?;
            let status = Status {
                checkpoint: Checkpoint::from_columns(head.incarnation, head.n, head.event_id, &head.chain)?,
                generation: Generation::new(head.generation.unwrap_or(0)),
                undecodable_events: unsigned("events", "event_id", head.undecodable)?,
                verification,
                nodes,
            };
            Ok(Answer { seen: Some(Seen { catalog_id: head.catalog_id, generation: head.generation }), value: status })
        })
        .await
    }
}

/// How each node stands, by id.
async fn nodes(tx: &mut PgConnection, drains: &Drains) -> Result<Vec<NodeStatus>, Error> {
    let rows = sqlx::query!(
        r#"SELECT n.node, coalesce(s.stored, 0) AS "stored!", coalesce(p.pending, 0) AS "pending!",
               coalesce(p.events, 0) AS "events!", coalesce(p.bytes, 0) AS "bytes!", p.oldest_at AS "oldest_at?",
               coalesce(t.parked, 0) AS "parked!", coalesce(t.lost, 0) AS "lost!",
               coalesce(t.erasing, 0) AS "erasing!"
           FROM nodes AS n
           LEFT JOIN (
               SELECT node, count(*) AS stored FROM replicas WHERE state = 'stored' GROUP BY node
           ) AS s ON s.node = n.node
           LEFT JOIN (
               SELECT r.node, count(*) FILTER (WHERE r.state = 'pending') AS pending,
                   count(DISTINCT r.seq) AS events, min(b.created_at) AS oldest_at,
                   least(sum(b.size_bytes), 9223372036854775807)::bigint AS bytes
               FROM replicas AS r JOIN blobs AS b ON b.blob_id = r.blob_id
               WHERE r.state IN ('pending', 'lost') AND b.state IN ('live', 'condemned') GROUP BY r.node
           ) AS p ON p.node = n.node
           LEFT JOIN (
               SELECT node, count(*) FILTER (WHERE state = 'parked') AS parked,
                   count(*) FILTER (WHERE state = 'lost') AS lost,
                   count(*) FILTER (WHERE state = 'erasing') AS erasing
               FROM replicas WHERE state IN ('parked', 'lost', 'erasing') GROUP BY node
           ) AS t ON t.node = n.node
           ORDER BY n.node"#
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let node: NodeId = word("nodes", "node", &row.node)?;
            let bytes_pending = unsigned("blobs", "size_bytes", row.bytes)?;
            Ok(NodeStatus {
                eta: drains.nodes.get(&node).copied().unwrap_or_default().eta(bytes_pending, drains.window),
                node,
                blobs_stored: unsigned("replicas", "state", row.stored)?,
                blobs_pending: unsigned("replicas", "state", row.pending)?,
                events_behind: unsigned("replicas", "seq", row.events)?,
                bytes_pending,
                oldest_pending_at: row.oldest_at,
                blobs_parked: unsigned("replicas", "state", row.parked)?,
                blobs_lost: unsigned("replicas", "state", row.lost)?,
                blobs_erasing: unsigned("replicas", "state", row.erasing)?,
            })
        })
        .collect()
}
