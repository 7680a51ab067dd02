//! The catalog's own tables, past the reader: for what only a benchmark does.

use std::time::{Duration, Instant};

use anyhow::ensure;
use proto::{MarkerId, NodeId, SpaceId};
use sqlx::{AssertSqlSafe, PgPool};
use tests::Cluster;
use uuid::Uuid;

/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(10);
/// Longer than anything here takes; a bench that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(20);

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

    /// Waits until everything up to this number of the journal is folded.
    pub(crate) async fn reaches(&self, n: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.checkpoint().await? < n {
            ensure!(started.elapsed() < PATIENCE, "the catalog does not reach {n}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How many blobs a node lacks; from an index that holds nothing else, where the status counts whole tables.
    pub(crate) async fn pending(&self, node: &str) -> anyhow::Result<u64> {
        let query = format!("SELECT count(*) FROM {}.replicas WHERE state = 'pending' AND node = $1", self.schema);
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query)).bind(node).fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    /// Waits until a node lacks at most so many blobs.
    pub(crate) async fn pending_at_most(&self, node: &str, most: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let pending = self.pending(node).await?;
            if pending <= most {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{node} still lacks {pending} blobs");
            tokio::time::sleep(LOOK).await;
        }
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

    /// How many events were not applied.
    pub(crate) async fn rejected(&self) -> anyhow::Result<i64> {
        let query = format!("SELECT count(*) FROM {}.receipts WHERE outcome <> 'applied'", self.schema);
        Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.pool).await?)
    }

    /// Copies all tables into others with the same indexes, from files of the server's own; how long that took, without
    /// making the files.
    pub(crate) async fn copy_all(&self) -> anyhow::Result<Duration> {
        let folder: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&self.pool).await?;
        let tables = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = $1";
        let tables: Vec<String> = sqlx::query_scalar(tables).bind(&self.schema).fetch_all(&self.pool).await?;
        self.run("CREATE SCHEMA copied;").await?;
        let mut took = Duration::ZERO;
        for table in tables {
            let file = format!("{folder}/bench-{table}.copy");
            self.run(&format!("COPY {table} TO '{file}' (FORMAT binary);")).await?;
            self.run(&format!("CREATE TABLE copied.{table} (LIKE {table} INCLUDING ALL);")).await?;
            let begun = Instant::now();
            self.run(&format!("COPY copied.{table} FROM '{file}' (FORMAT binary);")).await?;
            took += begun.elapsed();
            std::fs::remove_file(&file)?;
        }
        self.run("DROP SCHEMA copied CASCADE;").await?;
        Ok(took)
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
