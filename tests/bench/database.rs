//! The catalog's own tables, past the reader: for what only a benchmark does.

use proto::{MarkerId, NodeId, SpaceId};
use sqlx::{AssertSqlSafe, PgPool};
use tests::Cluster;
use uuid::Uuid;

/// A connection to the active generation.
pub(crate) struct Database {
    pool: PgPool,
    schema: String,
}

impl Database {
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let pool = PgPool::connect(&cluster.stack.database_url()?).await?;
        let generation: i32 = sqlx::query_scalar("SELECT generation FROM highwater.active").fetch_one(&pool).await?;
        Ok(Self { pool, schema: format!("highwater_g{generation}") })
    }

    pub(crate) async fn checkpoint(&self) -> anyhow::Result<u64> {
        let query = format!("SELECT n FROM {}.checkpoint", self.schema);
        let n: i64 = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.pool).await?;
        Ok(n.cast_unsigned())
    }

    pub(crate) async fn main_space(&self) -> anyhow::Result<SpaceId> {
        let query = format!("SELECT space_id FROM {}.spaces WHERE name = 'main' AND deleted_seq IS NULL", self.schema);
        let id: Uuid = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.pool).await?;
        Ok(SpaceId::new(id))
    }

    pub(crate) async fn nodes(&self) -> anyhow::Result<Vec<(NodeId, MarkerId)>> {
        let query = format!("SELECT node, marker_id FROM {}.nodes ORDER BY node", self.schema);
        let rows: Vec<(String, Uuid)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        rows.into_iter().map(|(node, marker)| Ok((node.parse()?, MarkerId::new(marker)))).collect()
    }

    /// Runs statements in the generation's schema, in one transaction.
    pub(crate) async fn run(&self, statements: &str) -> anyhow::Result<()> {
        let script = format!("BEGIN; SET LOCAL search_path TO {}; {statements} COMMIT;", self.schema);
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
    }
}
