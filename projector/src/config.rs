//! The projector's settings.

use std::time::Duration;

use runtime::config::{Fault, Validate, duration, within};
use runtime::program::Settings;
use runtime::retry::Policy;
use runtime::telemetry;
use serde::Deserialize;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[nats]`
    pub nats: journal::Config,
    /// `[database]`
    pub database: catalog::Config,
    /// `[projector]`
    pub projector: Projector,
    /// `[telemetry]`
    pub telemetry: telemetry::Config,
    /// How long a batch under way may take to be saved when a shutdown was asked for.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
}

/// How the journal is folded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projector {
    /// At most so many events are saved in one transaction.
    pub batch_events: usize,
    /// At most so many rows are loaded for them; one event may need more.
    pub batch_rows: usize,
    /// So many rows stay in memory from one transaction to the next; past it all of them are let go, and loaded again when
    /// they are needed.
    pub view_rows: usize,
    /// When nothing happens, how often the projector looks whether catalog and journal are still its own.
    #[serde(with = "duration")]
    pub idle_interval: Duration,
    /// The delays before the catalog is opened again after it was lost.
    pub retry: Policy,
    /// How long `rebuild` and `verify` wait for the journal, and for a scheduled verification to give way.
    #[serde(with = "duration")]
    pub tool_patience: Duration,
    /// How often they report how far they are.
    #[serde(with = "duration")]
    pub progress_interval: Duration,
    /// How often a switch tries to be level with a live projector.
    pub switch_attempts: u32,
    /// How long a rebuild and a prune wait for whoever still uses a catalog that is dropped.
    #[serde(with = "duration")]
    pub drop_patience: Duration,
    /// So many differing rows are printed.
    pub max_differences: usize,
    /// How long after a verification ended, or the catalog was built, the projector that leads verifies it by itself; zero:
    /// never.
    #[serde(with = "duration")]
    pub verify_interval: Duration,
    /// At most so many events does it fold in a second for that.
    pub verify_events_per_second: u32,
}

// === impl Config ===

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = within("nats", self.nats.faults());
        faults.extend(within("database", self.database.faults()));
        faults.extend(within("projector", self.projector.faults()));
        faults
    }
}

impl Settings for Config {
    fn telemetry(&self) -> &telemetry::Config {
        &self.telemetry
    }

    fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace
    }
}

// === impl Projector ===

impl Validate for Projector {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let counts = [
            ("batch_events", self.batch_events),
            ("batch_rows", self.batch_rows),
            ("switch_attempts", self.switch_attempts as usize),
            ("verify_events_per_second", self.verify_events_per_second as usize),
        ];
        let zero = counts.into_iter().filter(|(_, count)| *count == 0);
        faults.extend(zero.map(|(key, _)| Fault::new(key, "must be at least 1")));
        let times = [
            ("idle_interval", self.idle_interval),
            ("tool_patience", self.tool_patience),
            ("progress_interval", self.progress_interval),
        ];
        let zero = times.into_iter().filter(|(_, time)| time.is_zero());
        faults.extend(zero.map(|(key, _)| Fault::new(key, "must be longer than zero")));
        faults.extend(within("retry", self.retry.faults()));
        faults
    }
}

#[cfg(test)]
mod tests {
    use runtime::config::{Environment, Options, load};

    use super::*;

    fn loaded(set: &[&str]) -> Result<Config, runtime::config::Faults> {
        let options = Options { set: set.iter().map(ToString::to_string).collect(), ..Options::default() };
        load(DEFAULTS, &options, &Environment::of([("", ""); 0])).map(|loaded| loaded.value)
    }

    #[test]
    fn the_journals_table_has_the_journals_defaults() {
        assert_eq!(loaded(&[]).unwrap().nats, journal::Config::default());
    }

    #[test]
    fn every_fault_is_named() {
        let faults = loaded(&["projector.batch_events=0", "database.url=mysql://x"]).unwrap_err().to_string();
        assert!(faults.contains("projector.batch_events: must be at least 1"), "{faults}");
        assert!(faults.contains("database.url: is not of the form"), "{faults}");
    }
}
