//! How Postgres is reached, and the bounds of using it.

use std::time::Duration;

use runtime::config::{Fault, Validate, duration};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

/// `[database]`. Every key but `url` has a default, so that a service writes out only what it wants to be seen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host:port/database`. The database must exist; `projector migrate` fills it.
    pub url: SecretString,
    /// Connections that a reader opens for reading, and keeps; two more are for watching the checkpoint.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// Longest wait for connecting, and for a connection of the pool to become free.
    #[serde(default = "default_acquire_timeout", with = "duration")]
    pub acquire_timeout: Duration,
    /// Longest time that one read may take in Postgres, and one load or save of the projector.
    #[serde(default = "default_read_timeout", with = "duration")]
    pub read_timeout: Duration,
    /// Longest time that a save may take that changes a row for every blob: of a node that joined, was wiped or retired.
    #[serde(default = "default_write_timeout", with = "duration")]
    pub write_timeout: Duration,
    /// How often the checkpoint is looked at although no notification came; also how soon a lost connection is made again.
    #[serde(default = "default_poll_interval", with = "duration")]
    pub poll_interval: Duration,
    /// How often a second projector looks whether the first one is gone.
    #[serde(default = "default_lock_interval", with = "duration")]
    pub lock_interval: Duration,
}

fn default_max_connections() -> u32 {
    16
}

fn default_acquire_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_read_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_write_timeout() -> Duration {
    Duration::from_mins(10)
}

fn default_poll_interval() -> Duration {
    Duration::from_millis(500)
}

fn default_lock_interval() -> Duration {
    Duration::from_secs(1)
}

// === impl Config ===

impl Config {
    /// The defaults with this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            max_connections: default_max_connections(),
            acquire_timeout: default_acquire_timeout(),
            read_timeout: default_read_timeout(),
            write_timeout: default_write_timeout(),
            poll_interval: default_poll_interval(),
            lock_interval: default_lock_interval(),
        }
    }

    pub(crate) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        self.url.expose_secret().parse()
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        // The parser's own words may repeat the password.
        let scheme_known = ["postgres://", "postgresql://"].iter().any(|s| self.url.expose_secret().starts_with(s));
        if !scheme_known || self.options().is_err() {
            faults.push(Fault::new("url", "is not of the form postgres://user:password@host:port/database"));
        }
        if self.max_connections == 0 {
            faults.push(Fault::new("max_connections", "must be 1 or more"));
        }
        let durations = [
            ("acquire_timeout", self.acquire_timeout),
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
            ("poll_interval", self.poll_interval),
            ("lock_interval", self.lock_interval),
        ];
        for (key, value) in durations {
            if value.is_zero() {
                faults.push(Fault::new(key, "must be longer than zero"));
            }
        }
        faults
    }
}
