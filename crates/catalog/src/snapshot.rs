//! One generation as it was at one moment, to be compared or digested while it goes on.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use proto::Sha256Digest;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::connect::{self, Use};
use crate::ddl::{self, KeyColumn, TableShape};
use crate::{Checkpoint, Config, Error, Generation};

/// A generation as it was when this was opened, on a connection of its own. While it is held, saves go on; Postgres keeps
/// the old rows, so do not hold it for longer than needed.
#[derive(Debug)]
pub struct Snapshot {
    conn: PgConnection,
    generation: Generation,
    checkpoint: Checkpoint,
    tables: Vec<TableShape>,
}

/// All rows of a generation in one number: equal for two generations whose tables hold the same rows, checkpoint included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Up to where it is folded.
    pub checkpoint: Checkpoint,
    /// How many rows were digested.
    pub rows: u64,
    /// SHA-256 over the names of the tables and their rows, in the order of their keys.
    pub sha256: Sha256Digest,
}

/// A row on its way to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyedRow {
    /// Its key, as texts that sort like the key.
    pub(crate) key: Vec<String>,
    /// All of it, as JSON.
    pub(crate) json: String,
}

// === impl Snapshot ===

impl Snapshot {
    /// Takes the snapshot.
    pub async fn open(config: &Config, generation: Generation) -> Result<Self, Error> {
        let mut conn = connect::dedicated(config, &generation.schema(), Use::Tables).await?;
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        // The first statement takes the snapshot that all others see.
        let checkpoint = ddl::checkpoint(&mut conn, generation).await?;
        let tables = shapes(&mut conn).await?;
        Ok(Self { conn, generation, checkpoint, tables })
    }

    /// The generation.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Up to where it was folded.
    pub const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Digests every row. Streams: nothing is held in memory.
    pub async fn digest(&mut self) -> Result<Digest, Error> {
        let mut hash = RowHash::default();
        for table in &self.tables {
            hash.table(&table.name);
            let mut stream = keyed(&mut self.conn, table);
            while let Some(row) = stream.try_next().await? {
                hash.row(&row.json);
            }
        }
        Ok(hash.finish(self.checkpoint))
    }

    /// Lets go of the old rows. Dropping does too, a little later.
    pub async fn close(self) {
        // Nothing was changed: a failed farewell loses nothing.
        self.conn.close().await.ok();
    }

    /// The connection that sees it.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    pub(crate) fn tables(&self) -> &[TableShape] {
        &self.tables
    }

    /// The rows of a table in the order of its key.
    pub(crate) fn rows<'a>(&'a mut self, table: &TableShape) -> BoxStream<'a, Result<KeyedRow, Error>> {
        keyed(&mut self.conn, table)
    }
}

/// A [`Digest`] in the making: each table's name, then its rows.
#[derive(Default)]
pub(crate) struct RowHash {
    hash: Sha256,
    rows: u64,
}

// === impl RowHash ===

impl RowHash {
    pub(crate) fn table(&mut self, name: &str) {
        self.part(name);
    }

    pub(crate) fn row(&mut self, json: &str) {
        self.part(json);
        self.rows += 1;
    }

    pub(crate) fn finish(self, checkpoint: Checkpoint) -> Digest {
        Digest { checkpoint, rows: self.rows, sha256: Sha256Digest::new(self.hash.finalize().into()) }
    }

    fn part(&mut self, text: &str) {
        self.hash.update((text.len() as u64).to_be_bytes());
        self.hash.update(text.as_bytes());
    }
}

fn keyed<'a>(conn: &'a mut PgConnection, table: &TableShape) -> BoxStream<'a, Result<KeyedRow, Error>> {
    let rows = ddl::rows(conn, table).map_err(Error::from);
    Box::pin(rows.and_then(async |row| Ok(KeyedRow { key: row.try_get(0)?, json: row.try_get(1)? })))
}

/// The tables of the generation, by name, as Postgres knows them: one that was added is compared without more ado.
async fn shapes(conn: &mut PgConnection) -> Result<Vec<TableShape>, Error> {
    let rows = sqlx::query!(
        r#"SELECT c.relname::text AS "name!", quote_ident(c.relname) AS "quoted!",
               (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '
                       ORDER BY a.attnum)
                FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS "columns!",
               (SELECT array_agg(quote_ident(a.attname) ORDER BY k.position)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
                JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS "key!",
               (SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.position)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
                JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS "key_types!"
           FROM pg_class AS c
           JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
           WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
           ORDER BY c.relname COLLATE "C""#
    )
    .fetch_all(conn)
    .await?;
    let shape = |name, quoted, columns, key: Vec<String>, types: Vec<String>| TableShape {
        name,
        quoted,
        columns,
        key: key.into_iter().zip(types).map(|(quoted, type_name)| KeyColumn { quoted, type_name }).collect(),
    };
    Ok(rows.into_iter().map(|row| shape(row.name, row.quoted, row.columns, row.key, row.key_types)).collect())
}
