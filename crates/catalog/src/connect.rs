//! Connections. The search path of each is fixed when it is made and never changed: a prepared statement keeps the tables
//! that it was prepared for.

mod nodelay;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection};

use crate::{Config, Error, Generation};

/// The schema that all generations share.
pub(crate) const SHARED_SCHEMA: &str = "highwater";

/// Prepared statements kept by each connection; there are fewer in this crate.
const STATEMENT_CACHE: usize = 128;

/// A pool for reading one generation. All its connections are made at once, in a task, and kept: for its password sqlx
/// computes 4,096 rounds of SCRAM and lets the other tasks go on after every fifth (`sasl.rs` of sqlx-postgres), so that in a
/// process that is busy with uploads a connection takes longer to make than anybody waits for it.
pub(crate) fn reading_pool(config: &Config, generation: Generation) -> Result<PgPool, Error> {
    let options = options(config, &generation.schema(), Some(config.read_timeout), Use::Rows)?;
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .min_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // A round trip for each read saved: the watch drops the whole pool when Postgres was away, or a read got no answer;
        // and a single connection that says that it died is noticed by the read itself, which starts over.
        .test_before_acquire(false);
    Ok(pool.connect_lazy_with(options))
}

/// A pool of one connection, for listening: sqlx listens on a pool's connections only.
pub(crate) fn listening_pool(config: &Config) -> Result<PgPool, Error> {
    let options = options(config, SHARED_SCHEMA, Some(config.read_timeout), Use::Rows)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .min_connections(0)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(true);
    Ok(pool.connect_lazy_with(options))
}

/// What a connection is mostly used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Looking up single rows. A plan that was made while the tables were small must not go on reading them whole when
    /// they have grown, until statistics catch up: so such plans are not made at all.
    Rows,
    /// Reading whole tables.
    Tables,
}

/// A connection of its own, without a limit on its statements' time.
pub(crate) async fn dedicated(config: &Config, schema: &str, purpose: Use) -> Result<PgConnection, Error> {
    let options = options(config, schema, None, purpose)?;
    match tokio::time::timeout(config.acquire_timeout, options.connect()).await {
        Ok(connected) => {
            nodelay::set(options.get_port());
            Ok(connected?)
        }
        Err(_) => Err(Error::unavailable("connecting to Postgres took too long")),
    }
}

fn options(
    config: &Config,
    schema: &str,
    statement_timeout: Option<Duration>,
    purpose: Use,
) -> Result<PgConnectOptions, Error> {
    // The parser's own words may repeat the password.
    let options = config.options().map_err(|_| Error::Unfit { reason: "database.url cannot be parsed".to_owned() })?;
    let statement_timeout = statement_timeout.unwrap_or(Duration::ZERO).as_millis().to_string();
    let whole_tables = match purpose {
        Use::Rows => "off",
        Use::Tables => "on",
    };
    // sqlx itself sets the time zone to UTC and the date style to ISO, and logs statements slower than a second.
    Ok(options.application_name("highwater").statement_cache_capacity(STATEMENT_CACHE).options([
        ("search_path", schema),
        ("statement_timeout", statement_timeout.as_str()),
        ("enable_seqscan", whole_tables),
        ("enable_hashjoin", whole_tables),
        ("enable_mergejoin", whole_tables),
        ("jit", "off"),
        // A row is compared and digested as text: this fixes how Postgres writes it.
        ("bytea_output", "hex"),
        // A projector whose machine vanished must not hold its lock for two hours.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]))
}
