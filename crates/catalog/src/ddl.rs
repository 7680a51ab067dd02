//! The statements whose text is made at run time: schemas have numbers in their names. Nothing else in this crate makes
//! SQL from strings, and what is put into it here are numbers, identifiers that Postgres itself has quoted, and texts
//! compiled in.

use futures::stream::BoxStream;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, Transaction};

use crate::records::unsigned;
use crate::{Checkpoint, Error, Generation};

/// Tables, then the late indexes.
const GENERATION: &str = include_str!("generation.sql");
/// The line of [`GENERATION`] that parts them.
const LATE_INDEXES: &str = "-- LATE INDEXES";

/// Makes the generation's schema and its tables.
pub(crate) async fn create(tx: &mut Transaction<'_, Postgres>, generation: Generation) -> Result<(), sqlx::Error> {
    let schema = generation.schema();
    tx.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await?;
    run_in(tx, generation, tables()).await
}

/// Makes the generation's late indexes that are not there yet.
pub(crate) async fn create_indexes(
    tx: &mut Transaction<'_, Postgres>,
    generation: Generation,
) -> Result<(), sqlx::Error> {
    run_in(tx, generation, late_indexes()).await
}

/// Takes all tables of the generation's schema for this transaction; false, with the transaction spoiled, when somebody uses
/// one of them. Never waits: a drop that waited for one table with the lock of another could be part of a deadlock, which
/// Postgres ends by failing whichever side it likes, also a read.
pub(crate) async fn lock_schema(
    tx: &mut Transaction<'_, Postgres>,
    generation: Generation,
) -> Result<bool, sqlx::Error> {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let schema = generation.schema();
    let sql = format!(
        "DO $$
         DECLARE name text;
         BEGIN
             FOR name IN SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = '{schema}' LOOP
                 EXECUTE format('LOCK TABLE {schema}.%I IN ACCESS EXCLUSIVE MODE NOWAIT', name);
             END LOOP;
         END $$"
    );
    match tx.execute(AssertSqlSafe(sql)).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Drops the generation's schema with all that is in it.
pub(crate) async fn drop_schema(tx: &mut Transaction<'_, Postgres>, generation: Generation) -> Result<(), sqlx::Error> {
    let schema = generation.schema();
    tx.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).await?;
    Ok(())
}

/// Writes the first checkpoint of a new generation.
pub(crate) async fn start_checkpoint(
    tx: &mut Transaction<'_, Postgres>,
    generation: Generation,
    checkpoint: Checkpoint,
) -> Result<(), sqlx::Error> {
    let schema = generation.schema();
    let sql = format!(
        "INSERT INTO {schema}.checkpoint (incarnation, n, event_id, chain, spaces_seq) VALUES ($1, $2, $3, $4, 0)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(checkpoint.incarnation.uuid())
        .bind(0_i64)
        .bind(None::<uuid::Uuid>)
        .bind(checkpoint.chain.as_bytes().as_slice())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The checkpoint of a generation, on a connection whose search path is another's. Of any layout: a generation of an older
/// one is compared with, and switched from, like any other.
pub(crate) async fn checkpoint(conn: &mut PgConnection, generation: Generation) -> Result<Checkpoint, Error> {
    let sql = format!("SELECT incarnation, n, event_id, chain FROM {}.checkpoint", generation.schema());
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await?;
    let chain: Vec<u8> = row.try_get(3)?;
    Checkpoint::from_columns(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, &chain)
}

/// The checkpoint of a generation of this program's layout, and the last sequence up to it that made, renamed or deleted a
/// space.
pub(crate) async fn checkpoint_and_spaces(
    conn: &mut PgConnection,
    generation: Generation,
) -> Result<(Checkpoint, u64), Error> {
    let sql = format!("SELECT incarnation, n, event_id, chain, spaces_seq FROM {}.checkpoint", generation.schema());
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await?;
    let chain: Vec<u8> = row.try_get(3)?;
    let checkpoint = Checkpoint::from_columns(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, &chain)?;
    Ok((checkpoint, unsigned("checkpoint", "spaces_seq", row.try_get(4)?)?))
}

/// Every row of a table in the order of its primary key, as two columns: its key as texts that sort like the key, and the
/// row as JSON. The connection's search path says of which generation.
pub(crate) fn rows<'c>(conn: &'c mut PgConnection, table: &TableShape) -> BoxStream<'c, Result<PgRow, sqlx::Error>> {
    let key: Vec<String> = table.key.iter().map(KeyColumn::sortable).collect();
    let order: Vec<&str> = table.key.iter().map(|column| column.quoted.as_str()).collect();
    let sql = format!(
        "SELECT ARRAY[{}]::text[], row_to_json(t)::text FROM {} AS t ORDER BY {}",
        key.join(", "),
        table.quoted,
        order.join(", "),
    );
    conn.fetch(AssertSqlSafe(sql))
}

/// What is known of a table of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableShape {
    /// Its name.
    pub(crate) name: String,
    /// Its name, quoted by Postgres.
    pub(crate) quoted: String,
    /// Its columns with their types, in order, as text: equal only for equal tables.
    pub(crate) columns: String,
    /// The columns of its primary key.
    pub(crate) key: Vec<KeyColumn>,
}

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Its name, quoted by Postgres.
    pub(crate) quoted: String,
    /// Its type, as Postgres writes it.
    pub(crate) type_name: String,
}

impl KeyColumn {
    /// The column as a text that sorts by bytes as the column itself does. Sequence numbers are never negative.
    fn sortable(&self) -> String {
        match self.type_name.as_str() {
            "bigint" | "integer" => format!("lpad({}::text, 20, '0')", self.quoted),
            _ => format!("{}::text", self.quoted),
        }
    }
}

/// The names of the tables that a generation of this program's layout has.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    tables().lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.strip_suffix(" ("))
}

fn tables() -> &'static str {
    GENERATION.split_once(LATE_INDEXES).map_or(GENERATION, |(tables, _)| tables)
}

fn late_indexes() -> &'static str {
    // The rest of the line is a comment's.
    GENERATION.split_once(LATE_INDEXES).and_then(|(_, rest)| rest.split_once('\n')).map_or("", |(_, indexes)| indexes)
}

/// Runs statements with unqualified names inside the generation's schema. The search path is set for this transaction
/// only, on a connection that is used for nothing else.
async fn run_in(
    tx: &mut Transaction<'_, Postgres>,
    generation: Generation,
    statements: &'static str,
) -> Result<(), sqlx::Error> {
    tx.execute(AssertSqlSafe(format!("SET LOCAL search_path TO {}", generation.schema()))).await?;
    tx.execute(statements).await?;
    tx.execute("SET LOCAL search_path TO highwater").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named() {
        let names: Vec<&str> = table_names().collect();
        assert_eq!(names.len(), tables().matches("CREATE TABLE").count());
        assert!(names.contains(&"checkpoint") && names.contains(&"event_blobs"), "{names:?}");
    }

    #[test]
    fn indexes_are_apart_from_tables() {
        assert!(tables().contains("CREATE TABLE names") && !tables().contains("IF NOT EXISTS"));
        assert!(late_indexes().contains("names_listing_idx") && !late_indexes().contains("CREATE TABLE"));
        assert_eq!(late_indexes().matches("INDEX").count(), late_indexes().matches("INDEX IF NOT EXISTS").count());
    }
}
