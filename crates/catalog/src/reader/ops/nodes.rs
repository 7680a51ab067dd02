//! The nodes of the cluster, how blobs are placed on them, and what would be gone with one of them.

use fold::rows::{NodeRow, PlacementRow};
use proto::{MarkerId, NodeId, Placement};
use sqlx::types::Json;

use crate::Error;
use crate::reader::{Answer, Reader, Seen, seen};
use crate::records::{unsigned, word};

/// The nodes of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// By id.
    pub nodes: Vec<NodeRow>,
    /// How blobs are placed on them.
    pub placement: PlacementRow,
}

/// What a node holds of live blobs that is not safe elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Blobs that no other node holds.
    pub only_there: u64,
    /// Blobs that it took the upload of, that another node holds as well, and that are pending on one of the nodes that
    /// were named.
    pub pending_elsewhere: u64,
    /// Up to where the catalog was folded that was asked.
    pub checkpoint: u64,
}

impl Reader {
    /// The nodes that are part of the cluster, by name.
    pub async fn joined(&self) -> Result<Vec<NodeRow>, Error> {
        Ok(self.cluster().await?.nodes)
    }

    /// The nodes that are part of the cluster, by id, and how blobs are placed on them, in one snapshot.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, n.node, n.marker_id, n.joined_seq, n.marker_seq,
                       p.seq AS "placement_seq?", p.rules AS "rules?: Json<Placement>"
                   FROM nodes AS n
                   JOIN highwater.active AS a ON a.singleton
                   LEFT JOIN placement AS p ON p.singleton
                   ORDER BY n.node"#
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let (mut nodes, mut placement) = (Vec::with_capacity(rows.len()), PlacementRow::default());
            for row in rows {
                nodes.push(NodeRow {
                    node: word("nodes", "node", &row.node)?,
                    marker_id: MarkerId::new(row.marker_id),
                    joined_seq: unsigned("nodes", "joined_seq", row.joined_seq)?,
                    marker_seq: unsigned("nodes", "marker_seq", row.marker_seq)?,
                });
                if let (Some(seq), Some(rules)) = (row.placement_seq, row.rules) {
                    placement = PlacementRow { seq: unsigned("placement", "seq", seq)?, placement: rules.0 };
                }
            }
            Ok(Answer { seen, value: Cluster { nodes, placement } })
        })
        .await
    }

    /// What a node of the cluster holds that is not safe on the others, `waited_for` being those whose pending copies are
    /// worth waiting for. What it lost and no other node holds counts too, until a replicator has looked at what is left of
    /// it. Goes through all pairs of the node.
    pub async fn held_only_by(&self, node: &NodeId, waited_for: &[NodeId]) -> Result<Held, Error> {
        let waited_for: Vec<String> = waited_for.iter().map(ToString::to_string).collect();
        let waited_for: &[String] = &waited_for;
        self.read(|pool| async move {
            let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            sqlx::query!("SELECT set_config('enable_seqscan', 'on', true) AS scan, set_config('enable_hashjoin', 'on', true) AS hash")
                .fetch_one(&mut *tx)
                .await?;
            let row = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, c.n, h.only_there AS "only_there!", h.elsewhere AS "elsewhere!"
                   FROM highwater.active AS a
                   CROSS JOIN checkpoint AS c
                   CROSS JOIN (
                       SELECT count(*) FILTER (WHERE NOT coalesce(o.stored, false)) AS only_there,
                           count(*) FILTER (WHERE o.stored AND o.pending AND b.origin_node = $1) AS elsewhere
                       FROM replicas AS r
                       JOIN blobs AS b ON b.blob_id = r.blob_id AND b.state = 'live'
                       CROSS JOIN LATERAL (
                           SELECT bool_or(o.state = 'stored') AS stored,
                               bool_or(o.state = 'pending' AND o.node = ANY($2)) AS pending
                           FROM replicas AS o WHERE o.blob_id = r.blob_id AND o.node <> $1
                       ) AS o
                       WHERE r.node = $1 AND (r.state = 'stored' OR (r.state = 'lost' AND o.stored IS NOT TRUE))
                   ) AS h
                   WHERE a.singleton AND c.singleton"#,
                node.as_str(),
                waited_for,
            )
            .fetch_one(&mut *tx)
            .await?;
            tx.commit().await?;
            let held = Held {
                only_there: unsigned("replicas", "state", row.only_there)?,
                pending_elsewhere: unsigned("replicas", "state", row.elsewhere)?,
                checkpoint: unsigned("checkpoint", "n", row.n)?,
            };
            let seen = Seen { catalog_id: row.catalog_id, generation: row.generation };
            Ok(Answer { seen: Some(seen), value: held })
        })
        .await
    }

    /// How many live blobs that a node took the upload of are pending and held by no node of the cluster: of a node that
    /// was retired, what it took at the last moment and only it can give.
    pub async fn still_on_their_way_from(&self, node: &NodeId) -> Result<u64, Error> {
        self.read(|pool| async move {
            let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            sqlx::query!("SELECT set_config('enable_seqscan', 'on', true) AS scan, set_config('enable_hashjoin', 'on', true) AS hash")
                .fetch_one(&mut *tx)
                .await?;
            let row = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, (
                       SELECT count(DISTINCT r.blob_id)
                       FROM replicas AS r
                       JOIN blobs AS b ON b.blob_id = r.blob_id AND b.state = 'live' AND b.origin_node = $1
                       WHERE r.state = 'pending' AND NOT EXISTS (
                           SELECT FROM replicas AS o WHERE o.blob_id = r.blob_id AND o.state = 'stored'
                       )
                   ) AS "blobs!"
                   FROM highwater.active AS a WHERE a.singleton"#,
                node.as_str(),
            )
            .fetch_one(&mut *tx)
            .await?;
            tx.commit().await?;
            let seen = Seen { catalog_id: row.catalog_id, generation: row.generation };
            Ok(Answer { seen: Some(seen), value: unsigned("replicas", "state", row.blobs)? })
        })
        .await
    }
}
