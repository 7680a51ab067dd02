//! What is known of the truth of a generation, and who may build and compare beside it.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Generation, Generations, LOCK_CLASS};
use crate::Error;
use crate::records::{number, unsigned};

/// The second half of the advisory lock of people's commands that build or wait to; no generation has this number.
const WANTED: i32 = i32::MAX;

/// What folding the journal again and comparing every row with a generation has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verified {
    /// The sequence number of the event at which both were compared.
    pub n: u64,
    /// How many rows were compared.
    pub rows: u64,
    /// How many of them differ.
    pub differing: u64,
    /// How long it took.
    pub took: Duration,
}

/// What is known of the verifying of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verification {
    /// The last result, and when it was there, by the clock of Postgres; none while there is none.
    pub last: Option<(Verified, OffsetDateTime)>,
    /// How many attempts since then came to no result.
    pub failures: u32,
}

/// A row of `highwater.generations`, as far as it is about verifying.
pub(crate) struct VerificationColumns {
    pub(crate) at: Option<OffsetDateTime>,
    pub(crate) seq: Option<i64>,
    pub(crate) rows: Option<i64>,
    pub(crate) differing: Option<i64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) failures: i32,
}

// === impl Verification ===

impl TryFrom<VerificationColumns> for Verification {
    type Error = Error;

    fn try_from(row: VerificationColumns) -> Result<Self, Error> {
        let VerificationColumns { at, seq, rows, differing, seconds, failures } = row;
        let failures = failures.cast_unsigned();
        let (Some(at), Some(seq), Some(rows), Some(differing), Some(seconds)) = (at, seq, rows, differing, seconds)
        else {
            return Ok(Self { last: None, failures });
        };
        let column = |name, value| unsigned("generations", name, value);
        let verified = Verified {
            n: column("verified_seq", seq)?,
            rows: column("verified_rows", rows)?,
            differing: column("verified_differing", differing)?,
            took: Duration::try_from_secs_f64(seconds)
                .map_err(|e| Error::inconsistent("generations", "verified_seconds", e.to_string()))?,
        };
        Ok(Self { last: Some((verified, at)), failures })
    }
}

// === impl Generations ===

impl Generations {
    /// Keeps what verifying a generation has found.
    pub async fn keep_verified(&mut self, generation: Generation, found: &Verified) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE highwater.generations
             SET verify_tried_at = now(), verify_failures = 0, verified_at = now(), verified_seq = $2,
                 verified_rows = $3, verified_differing = $4, verified_seconds = $5
             WHERE number = $1",
            generation.column(),
            number(found.n),
            number(found.rows),
            number(found.differing),
            found.took.as_secs_f64(),
        )
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Keeps that verifying a generation came to no result.
    pub async fn keep_verify_failed(&mut self, generation: Generation) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE highwater.generations
             SET verify_tried_at = now(), verify_failures = verify_failures + 1 WHERE number = $1",
            generation.column(),
        )
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// How long ago the active generation was last verified, or tried to be; else, how long ago it became active. None while
    /// there is no active one.
    pub async fn verify_tried_ago(&mut self) -> Result<Option<Duration>, Error> {
        let seconds = sqlx::query_scalar!(
            r#"SELECT extract(epoch FROM now() - coalesce(verify_tried_at, switched_at, created_at))::float8 AS "ago!"
               FROM highwater.generations WHERE state = 'active'"#
        )
        .fetch_optional(&mut self.conn)
        .await?;
        // A clock that was set back makes it less than nothing.
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// Says, for as long as this connection lives, that a person's command builds, or waits for the right to.
    pub async fn want_building(&mut self) -> Result<(), Error> {
        sqlx::query!("SELECT pg_advisory_lock_shared($1, $2)", LOCK_CLASS, WANTED).execute(&mut self.conn).await?;
        Ok(())
    }

    /// Whether another connection has said so. To look takes no lock, which would keep others from saying it.
    pub async fn is_building_wanted(&mut self) -> Result<bool, Error> {
        let wanted = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT 1 FROM pg_locks
                   WHERE locktype = 'advisory' AND granted AND classid = $1::int4::oid AND objid = $2::int4::oid
                       AND objsubid = 2 AND pid <> pg_backend_pid()
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               ) AS "wanted!""#,
            LOCK_CLASS,
            WANTED,
        )
        .fetch_one(&mut self.conn)
        .await?;
        Ok(wanted)
    }
}
