//! What can go wrong, by what the caller can do about it.

use proto::{Incarnation, Sequence};
use runtime::retry::Transient;
use sqlx::error::DatabaseError;

/// Errors of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no catalog to ask, for now: Postgres cannot be reached, the database or its schemas are missing, or the
    /// first generation is still being built. Ask again later; never take it for an empty answer.
    #[error("the catalog is unavailable: {reason}")]
    Unavailable {
        /// Why, as the end of a sentence.
        reason: String,
        /// What Postgres or the network said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The catalog did not reach a sequence in time. Ask again later.
    #[error("the catalog has reached sequence {reached}, not yet {wanted}")]
    Behind {
        /// What was asked for.
        wanted: Sequence,
        /// How far it is.
        reached: u64,
    },
    /// A sequence of another life of the journal.
    #[error("sequence {wanted} is of another life of the journal; the catalog follows {}", current.uuid().simple())]
    OtherIncarnation {
        /// What was asked for.
        wanted: Sequence,
        /// The life that the catalog follows.
        current: Incarnation,
    },
    /// This writer may not write any more: another one does, its generation is retired, or its connection, and with it its
    /// lock, is gone. Nothing of the failed save is in the catalog, unless the connection was lost during the commit: open
    /// a new writer and go on from its checkpoint, which tells.
    #[error("writing to {generation} ended: {reason}")]
    Fenced {
        /// The schema it wrote to.
        generation: String,
        /// Why, as a sentence.
        reason: String,
        /// What Postgres or the network said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// A page token that this service did not give out for this question.
    #[error("the page token {problem}")]
    PageToken {
        /// What is wrong with it, as the end of a sentence.
        problem: String,
    },
    /// The catalog was made by a program that does not fit this one. A person must act.
    #[error("the catalog does not fit this program: {reason}")]
    Unfit {
        /// Why, and what to do, as a sentence.
        reason: String,
    },
    /// What was asked of a generation cannot be done in its state.
    #[error("{reason}")]
    Refused {
        /// Why, as a sentence.
        reason: String,
    },
    /// A row that the fold cannot have made.
    #[error("the table {table} holds an impossible {column}: {problem}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Waiting ended because a shutdown was asked for.
    #[error("stopped waiting for the catalog")]
    Cancelled(#[from] runtime::shutdown::Cancelled),
    /// Postgres refused a statement: a mistake in this program.
    #[error("Postgres refused a statement: {0}")]
    Query(sqlx::Error),
}

/// What an error of sqlx says about the state of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone, or none could be made.
    Connection,
    /// A table, schema or database that should be there is not.
    Missing,
    /// A column is not there: an older program was the last to migrate the database.
    Unmigrated,
    /// Postgres cannot do it now, but may later.
    Busy,
    /// Anything else.
    Other,
}

// === impl Error ===

impl Error {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    pub(crate) fn inconsistent(table: &'static str, column: &'static str, problem: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, problem: problem.into() }
    }
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Behind { .. } => true,
            // The same writer will never succeed.
            Self::Fenced { .. }
            | Self::OtherIncarnation { .. }
            | Self::PageToken { .. }
            | Self::Unfit { .. }
            | Self::Refused { .. }
            | Self::Inconsistent { .. }
            | Self::Cancelled(_)
            | Self::Query(_) => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let reason = match Fault::of(&error) {
            Fault::Connection => format!("Postgres cannot be reached ({})", brief(&error)),
            Fault::Missing => {
                let missing = brief(&error);
                format!(
                    "its database or schema is missing ({missing}); `projector migrate` makes the database's own, \
                     `projector rebuild --switch` a catalog"
                )
            }
            Fault::Unmigrated => {
                format!(
                    "its database is of an older version ({}); `projector migrate` brings it up to date",
                    brief(&error)
                )
            }
            Fault::Busy => format!("Postgres cannot answer now ({})", brief(&error)),
            Fault::Other => return Self::Query(error),
        };
        Self::Unavailable { reason, source: Some(error) }
    }
}

// === impl Fault ===

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Connection,
            sqlx::Error::Database(error) => Self::of_code(error.code().as_deref().unwrap_or_default()),
            _ => Self::Other,
        }
    }

    /// By SQLSTATE.
    fn of_code(code: &str) -> Self {
        match code {
            // admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Self::Connection,
            // invalid_catalog_name (no such database), invalid_schema_name, undefined_table
            "3D000" | "3F000" | "42P01" => Self::Missing,
            // undefined_column
            "42703" => Self::Unmigrated,
            // serialization_failure, deadlock_detected, lock_not_available, query_canceled (a timeout), read_only (a
            // standby); a refused login is for a person to mend, but mending it needs no restart
            "40001" | "40P01" | "55P03" | "57014" | "25006" | "28000" | "28P01" => Self::Busy,
            // connection exceptions; insufficient resources; system errors
            _ if code.starts_with("08") => Self::Connection,
            _ if code.starts_with("53") || code.starts_with("58") => Self::Busy,
            _ => Self::Other,
        }
    }
}

/// One line, without the chain of causes that a database error repeats.
fn brief(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => DatabaseError::message(error.as_ref()).to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_postgres_are_told_apart() {
        for (code, fault) in [
            ("57P01", Fault::Connection),
            ("08006", Fault::Connection),
            ("3D000", Fault::Missing),
            ("42P01", Fault::Missing),
            ("42703", Fault::Unmigrated),
            ("53300", Fault::Busy),
            ("57014", Fault::Busy),
            ("23505", Fault::Other),
            ("42601", Fault::Other),
        ] {
            assert_eq!(Fault::of_code(code), fault, "{code}");
        }
    }
}
