//! Folding into a generation: the projector's door.

mod load;
mod save;

use std::time::Duration;

use proto::Incarnation;
use runtime::retry::sleep;
use runtime::shutdown::Cancelled;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::connect::{self, Use};
use crate::generation::{Active, LOCK_CLASS, active_row, event_types, layout, rules};
use crate::{Checkpoint, Config, Error, Generation, Generations};

use load::Inventory;
pub use load::Loader;
pub use save::Saved;

/// How long a writer's farewell may take: its connection may be dead without saying so.
const FAREWELL: Duration = Duration::from_secs(5);

/// The one writer of a generation.
///
/// It holds an advisory lock of Postgres, in the session of the very connection that it writes with: whoever loses the
/// lock has lost the means to write. Each save also compares the checkpoint with the one it was folded from.
#[derive(Debug)]
pub struct Writer {
    conn: PgConnection,
    generation: Generation,
    active: Active,
    read_timeout: Duration,
    write_timeout: Duration,
    loader: Loader,
}

// === impl Writer ===

impl Writer {
    /// The writer of the catalog: of the active generation, or, while there is none, of the newest one that is being
    /// built, which is made if need be. Waits for as long as another projector holds the lock, saying so once, in the log
    /// and to `standing_by`.
    ///
    /// A generation that is not active yet answers no reads: once it has caught up with the journal, the caller switches
    /// to it ([`Generations::switch`]).
    pub async fn open(
        config: &Config,
        incarnation: Incarnation,
        standing_by: impl Fn(),
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let mut told = false;
        loop {
            let generation = current(config, incarnation).await?;
            let writer = match Self::lock(config, generation).await {
                // It was retired or dropped between the two lines above.
                Err(Error::Refused { .. }) => None,
                locked => locked?,
            };
            // Another projector may have switched before this one got the lock.
            if let Some(writer) = writer
                && current(config, incarnation).await? == generation
            {
                return Ok(writer);
            }
            if !told {
                tracing::info!(
                    generation = generation.number(),
                    "waiting for the lock of {generation}: another projector holds it"
                );
                standing_by();
                told = true;
            }
            if !sleep(config.lock_interval, cancel).await {
                return Err(Error::Cancelled(Cancelled));
            }
        }
    }

    /// The writer of one generation, such as one that is built beside the active one. Does not wait.
    pub async fn open_generation(config: &Config, generation: Generation) -> Result<Self, Error> {
        Self::lock(config, generation)
            .await?
            .ok_or_else(|| Error::refused(format!("{generation} is being written by another projector")))
    }

    /// The generation that it writes.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The means to load.
    pub const fn loader(&mut self) -> &mut Loader {
        &mut self.loader
    }

    /// Whether the generation answers reads.
    pub async fn is_active(&mut self) -> Result<bool, Error> {
        let limit = self.read_timeout;
        let row = bounded(limit, active_row(&mut self.conn)).await.map_err(|e| fenced(self.generation, e))?;
        Ok(row.generation == Some(self.generation))
    }

    /// Up to where the generation is folded.
    pub async fn checkpoint(&mut self) -> Result<Checkpoint, Error> {
        let limit = self.read_timeout;
        let reading = sqlx::query!("SELECT incarnation, n, event_id, chain FROM checkpoint").fetch_one(&mut self.conn);
        let row = bounded(limit, async { Ok(reading.await?) }).await.map_err(|e| fenced(self.generation, e))?;
        Checkpoint::from_columns(row.incarnation, row.n, row.event_id, &row.chain)
    }

    /// Lets go of the lock at once. Dropping does too, as soon as Postgres notices.
    pub async fn close(mut self) {
        // All that was saved is committed: a failed farewell loses nothing. Postgres notices a closed connection only a
        // moment later, so the lock is given back by itself.
        let farewell = async move {
            sqlx::query!("SELECT pg_advisory_unlock_all()").execute(&mut self.conn).await.ok();
            self.conn.close().await.ok();
            self.loader.close().await;
        };
        tokio::time::timeout(FAREWELL, farewell).await.ok();
    }

    /// Connects and takes the lock; none when another session holds it.
    async fn lock(config: &Config, generation: Generation) -> Result<Option<Self>, Error> {
        let mut conn = connect::dedicated(config, &generation.schema(), Use::Rows).await?;
        let locked =
            sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1, $2) AS "locked!""#, LOCK_CLASS, generation.column())
                .fetch_one(&mut conn)
                .await?;
        if !locked {
            conn.close().await.ok();
            return Ok(None);
        }
        let active = active_row(&mut conn).await?;
        fit(&mut conn, generation).await?;
        let n = sqlx::query_scalar!("SELECT n FROM checkpoint").fetch_one(&mut conn).await?;
        let inventory = (n == 0).then(Inventory::empty);
        let loader = Loader::open(config, generation, inventory).await?;
        let &Config { read_timeout, write_timeout, .. } = config;
        Ok(Some(Self { conn, generation, active, read_timeout, write_timeout, loader }))
    }
}

/// An error of a writer's connection: with it, the lock is gone, or the means to know what there is.
fn fenced(generation: Generation, error: Error) -> Error {
    match error {
        Error::Unavailable { reason, source } => Error::Fenced { generation: generation.schema(), reason, source },
        other => other,
    }
}

/// A connection that died unnoticed would be waited for for ever.
async fn bounded<T>(limit: Duration, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(Error::unavailable("Postgres does not answer")))
}

/// The generation that a projector folds into.
async fn current(config: &Config, incarnation: Incarnation) -> Result<Generation, Error> {
    let mut generations = Generations::open(config).await?;
    if let Some(active) = generations.active().await? {
        return Ok(active);
    }
    let generation = match generations.newest_building(incarnation).await? {
        Some(generation) => generation,
        None => generations.create(incarnation).await?,
    };
    generations.index(generation).await?;
    Ok(generation)
}

/// Refuses a generation of another layout, or one that a newer program has folded; else records what this program's fold
/// knows, from when on events of those types may be published. Nothing that an older fold did is done again: it would have
/// halted at an event that it does not know, so every event before the checkpoint was known to it.
async fn fit(conn: &mut PgConnection, generation: Generation) -> Result<(), Error> {
    let row = sqlx::query!(
        "SELECT layout, rules, event_types, state FROM highwater.generations WHERE number = $1",
        generation.column()
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Err(Error::refused(format!("there is no {generation}"))) };
    if row.state == "retired" {
        return Err(Error::refused(format!("{generation} is retired and is not written any more")));
    }
    if row.layout != layout() {
        let reason = format!(
            "{generation} has layout {}, this program writes {}; `projector rebuild` makes one that fits",
            row.layout,
            layout()
        );
        return Err(Error::Unfit { reason });
    }
    let known = event_types();
    let unknown: Vec<String> = row.event_types.iter().filter(|kind| !known.contains(kind)).cloned().collect();
    if row.rules > rules() || !unknown.is_empty() {
        let reason = format!(
            "{generation} was folded by a newer program (rules {}, event types {unknown:?}); \
             use that one, or rebuild with this one",
            row.rules
        );
        return Err(Error::Unfit { reason });
    }
    if row.rules != rules() || row.event_types.len() != known.len() {
        sqlx::query!(
            "UPDATE highwater.generations SET rules = $2, event_types = $3 WHERE number = $1",
            generation.column(),
            rules(),
            &known,
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}
