//! Generations: builds of the catalog, one schema each.

mod unfinished;
mod verified;

use std::fmt;

use proto::{Incarnation, Kind, RULES};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;

use crate::connect::{self, SHARED_SCHEMA, Use};
use crate::error::Fault;
use crate::{Checkpoint, Config, Error, ddl};

pub(crate) use verified::VerificationColumns;
pub use verified::{Verification, Verified};

/// The number of the tables and columns in `generation.sql`. Changed with them; a catalog with another one is rebuilt.
pub const LAYOUT: u32 = 5;

/// A generation's number. Never used twice in one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(i32);

/// What a generation is for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Folded beside the active one, or before there is one; no reader sees it.
    Building,
    /// Answers reads.
    Active,
    /// Was active; kept for looking at differences, never written again.
    Retired,
}

/// A generation that exists.
#[derive(Debug, Clone)]
pub struct GenerationInfo {
    /// Its number.
    pub generation: Generation,
    /// What it is for.
    pub state: State,
    /// Its tables and columns; see [`LAYOUT`].
    pub layout: u32,
    /// The newest decision rules that its fold knows.
    pub rules: u32,
    /// The types of events that its fold knows.
    pub event_types: Vec<String>,
    /// When it was begun.
    pub created_at: OffsetDateTime,
    /// When it became active, if ever.
    pub switched_at: Option<OffsetDateTime>,
}

/// What a switch insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The new generation is folded at least as far as the active one, in the same life of the journal: readers never see
    /// the past.
    CaughtUp,
    /// Nothing: for replacing a catalog that is broken.
    Regardless,
}

/// Builds, lists, switches and drops generations, on a connection of its own.
#[derive(Debug)]
pub struct Generations {
    conn: PgConnection,
}

/// The row of `highwater.active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Active {
    pub(crate) catalog_id: uuid::Uuid,
    pub(crate) generation: Option<Generation>,
}

/// The first half of the advisory locks' keys; the second is the generation's number.
pub(crate) const LOCK_CLASS: i32 = 0x4877_6731;

/// The second half for building beside the active generation; no generation has this number.
const BUILDING: i32 = 0;

/// The types of events that this program's fold knows, sorted.
pub(crate) fn event_types() -> Vec<String> {
    let mut types: Vec<String> = Kind::ALL.iter().map(|kind| kind.cloud_event_type().to_owned()).collect();
    types.sort();
    types
}

pub(crate) fn rules() -> i32 {
    i32::try_from(RULES).expect("the number of the decision rules is small")
}

pub(crate) fn layout() -> i32 {
    i32::try_from(LAYOUT).expect("the number of the layout is small")
}

// === impl Generation ===

impl Generation {
    pub(crate) const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        // Postgres makes them from 1 up.
        self.0.cast_unsigned()
    }

    pub(crate) const fn column(self) -> i32 {
        self.0
    }

    /// The name of its schema.
    pub fn schema(self) -> String {
        format!("highwater_g{}", self.0)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.0)
    }
}

// === impl State ===

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

impl std::str::FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "building" => Ok(Self::Building),
            "active" => Ok(Self::Active),
            "retired" => Ok(Self::Retired),
            _ => Err(Error::inconsistent("generations", "state", format!("{text:?}"))),
        }
    }
}

// === impl Generations ===

impl Generations {
    /// Connects.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { conn: connect::dedicated(config, SHARED_SCHEMA, Use::Tables).await? })
    }

    /// Which generation answers reads; none until the first has caught up with the journal.
    pub async fn active(&mut self) -> Result<Option<Generation>, Error> {
        Ok(active_row(&mut self.conn).await?.generation)
    }

    /// All generations that exist, by number.
    pub async fn list(&mut self) -> Result<Vec<GenerationInfo>, Error> {
        let rows = sqlx::query!(
            "SELECT number, state, layout, rules, event_types, created_at, switched_at
             FROM highwater.generations ORDER BY number"
        )
        .fetch_all(&mut self.conn)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(GenerationInfo {
                    generation: Generation::new(row.number),
                    state: row.state.parse()?,
                    layout: row.layout.cast_unsigned(),
                    rules: row.rules.cast_unsigned(),
                    event_types: row.event_types,
                    created_at: row.created_at,
                    switched_at: row.switched_at,
                })
            })
            .collect()
    }

    /// Makes a new, empty generation whose checkpoint stands before the first event of this journal. Its late indexes are
    /// made by [`Self::index`]. Nobody reads it before [`Self::switch`].
    pub async fn create(&mut self, incarnation: Incarnation) -> Result<Generation, Error> {
        let mut tx = self.conn.begin().await?;
        // Two that create at once wait for each other here, and so does a switch.
        sqlx::query!("SELECT generation FROM highwater.active FOR UPDATE").fetch_one(&mut *tx).await?;
        let number = sqlx::query_scalar!(
            "INSERT INTO highwater.generations (state, layout, rules, event_types)
             VALUES ('building', $1, $2, $3) RETURNING number",
            layout(),
            rules(),
            &event_types(),
        )
        .fetch_one(&mut *tx)
        .await?;
        let generation = Generation::new(number);
        ddl::create(&mut tx, generation).await?;
        ddl::start_checkpoint(&mut tx, generation, Checkpoint::start(incarnation)).await?;
        tx.commit().await?;
        tracing::info!(generation = generation.number(), "created {generation}");
        Ok(generation)
    }

    /// Makes the late indexes of a generation, once it is loaded. Making them again changes nothing.
    pub async fn index(&mut self, generation: Generation) -> Result<(), Error> {
        let mut tx = self.conn.begin().await?;
        let row = sqlx::query!(
            "SELECT indexed_at FROM highwater.generations WHERE number = $1 FOR UPDATE",
            generation.column()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Err(Error::refused(format!("there is no {generation}"))) };
        if row.indexed_at.is_none() {
            ddl::create_indexes(&mut tx, generation).await?;
            sqlx::query!("UPDATE highwater.generations SET indexed_at = now() WHERE number = $1", generation.column())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Makes `new` the generation that answers reads, in one transaction that waits for a save in flight and holds later
    /// ones up: their writer then finds its generation retired. The old one's schema is kept. Late indexes that are
    /// missing are made first.
    pub async fn switch(&mut self, new: Generation, insist: Switch) -> Result<(), Error> {
        self.index(new).await?;
        let mut tx = self.conn.begin().await?;
        let held = sqlx::query!("SELECT generation FROM highwater.active FOR UPDATE").fetch_one(&mut *tx).await?;
        let old = held.generation.map(Generation::new);
        if old == Some(new) {
            return Ok(());
        }
        let state = sqlx::query_scalar!("SELECT state FROM highwater.generations WHERE number = $1", new.column())
            .fetch_optional(&mut *tx)
            .await?;
        if state.as_deref() != Some("building") {
            return Err(Error::refused(format!("{new} cannot become active: it is not being built")));
        }
        if let (Some(old), Switch::CaughtUp) = (old, insist) {
            let at = ddl::checkpoint(&mut tx, old).await?;
            let new_at = ddl::checkpoint(&mut tx, new).await?;
            if new_at.incarnation != at.incarnation || new_at.n < at.n {
                let reason = format!(
                    "{new} is at {}, {old} at {}: readers would see the past",
                    new_at.sequence(),
                    at.sequence()
                );
                return Err(Error::refused(reason));
            }
        }
        sqlx::query!("UPDATE highwater.generations SET state = 'retired', retired_at = now() WHERE state = 'active'")
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "UPDATE highwater.generations SET state = 'active', switched_at = now() WHERE number = $1",
            new.column()
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE highwater.active SET generation = $1", new.column()).execute(&mut *tx).await?;
        sqlx::query!("SELECT pg_notify('highwater_checkpoint', '')").execute(&mut *tx).await?;
        tx.commit().await?;
        tracing::info!(generation = new.number(), "{new} answers reads from now on");
        Ok(())
    }

    /// Drops a generation that is not active, and that nobody writes or reads: that is [`Error::Refused`], and may be tried
    /// again.
    pub async fn drop(&mut self, generation: Generation) -> Result<(), Error> {
        let mut tx = self.conn.begin().await?;
        let held = sqlx::query!("SELECT generation FROM highwater.active FOR UPDATE").fetch_one(&mut *tx).await?;
        if held.generation == Some(generation.column()) {
            return Err(Error::refused(format!("{generation} is active and cannot be dropped")));
        }
        let free = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_xact_lock($1, $2) AS "free!""#,
            LOCK_CLASS,
            generation.column()
        )
        .fetch_one(&mut *tx)
        .await?;
        if !free {
            return Err(Error::refused(format!("{generation} is being written and cannot be dropped")));
        }
        if !ddl::lock_schema(&mut tx, generation).await? {
            tx.rollback().await?;
            return Err(Error::refused(format!("{generation} is being read and cannot be dropped")));
        }
        ddl::drop_schema(&mut tx, generation).await?;
        sqlx::query!("DELETE FROM highwater.generations WHERE number = $1", generation.column())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Claims the right to build generations beside the active one, for as long as this connection lives; false while
    /// another session has it.
    pub async fn claim_building(&mut self) -> Result<bool, Error> {
        let claimed = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1, $2) AS "locked!""#, LOCK_CLASS, BUILDING)
            .fetch_one(&mut self.conn)
            .await?;
        Ok(claimed)
    }

    /// The newest generation that is being built from this journal with this layout: what a projector that was killed has
    /// left, to go on with.
    pub(crate) async fn newest_building(&mut self, incarnation: Incarnation) -> Result<Option<Generation>, Error> {
        for info in self.list().await?.into_iter().rev() {
            if info.state == State::Building
                && info.layout == LAYOUT
                && ddl::checkpoint(&mut self.conn, info.generation).await?.incarnation == incarnation
            {
                return Ok(Some(info.generation));
            }
        }
        Ok(None)
    }
}

/// Reads `highwater.active`. Its absence is no answer but an error, as is an empty one.
pub(crate) async fn active_row(conn: &mut PgConnection) -> Result<Active, Error> {
    let row = sqlx::query!("SELECT catalog_id, generation FROM highwater.active").fetch_optional(conn).await;
    match row {
        Ok(Some(row)) => Ok(Active { catalog_id: row.catalog_id, generation: row.generation.map(Generation::new) }),
        Ok(None) => Err(Error::unavailable("its schema is empty; `projector migrate` makes it")),
        Err(error) if Fault::of(&error) == Fault::Missing => Err(Error::Unavailable {
            reason: "its database was not migrated; `projector migrate` does that".to_owned(),
            source: Some(error),
        }),
        Err(error) => Err(error.into()),
    }
}
