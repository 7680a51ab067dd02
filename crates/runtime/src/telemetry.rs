//! Logs, on standard error: JSON for machines, plain lines for people.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{Fault, Validate};

/// The `[telemetry]` table of every service.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// How log lines look.
    pub format: Format,
    /// What is logged, in the words of `RUST_LOG`: `info`, `info,journal=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of plain text each, in colour on a terminal.
    Pretty,
}

/// Starts logging for the whole process, once; `program` is in the first line. Fails on a filter that does not parse,
/// or when logging was started before.
pub fn init(config: &Config, program: &'static str) -> Result<(), Fault> {
    let filter = parse(&config.filter)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        Format::Auto => !terminal,
        Format::Json => true,
        Format::Pretty => false,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(true);
        Box::new(lines.with_ansi(false).with_writer(std::io::stderr))
    } else {
        Box::new(fmt::layer().with_ansi(terminal).with_target(true).with_writer(std::io::stderr))
    };
    let registry = Registry::default().with(lines.with_filter(filter));
    registry.try_init().map_err(|error| Fault::new("telemetry", format!("cannot start logging: {error}")))?;
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "{program} starts");
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, Fault> {
    EnvFilter::builder().parse(filter).map_err(|error| Fault::new("telemetry.filter", format!("{error}")))
}

// === impl Config ===

impl Default for Config {
    /// What a program without a config file logs: `info`, for whoever is looking.
    fn default() -> Self {
        Self { format: Format::Auto, filter: "info".to_owned() }
    }
}

impl Validate for Config {
    /// The filter must parse. [`crate::program::main`] asks this for its service.
    fn faults(&self) -> Vec<Fault> {
        parse(&self.filter).err().map(|fault| Fault::new("filter", fault.problem)).into_iter().collect()
    }
}
