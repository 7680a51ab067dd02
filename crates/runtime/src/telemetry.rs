//! Logs, on standard error: JSON for machines, plain lines for people.

use std::fmt::Debug;
use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::ErrorLine;
use crate::config::{Fault, Validate};

/// What [`ready`] is logged under. No filter hides it: who starts the program waits for it.
const READY: &str = "ready";

/// The end of the line that [`ready`] logs.
pub const READY_WORDS: &str = "is ready";

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
    start(subscriber(filter.add_directive(directive(READY)), json, terminal, std::io::stderr))?;
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "{program} starts");
    Ok(())
}

/// Instead of [`init`], for a command that answers in JSON: what would be logged as an ERROR is an [`ErrorLine`], and
/// everything else is left unsaid.
pub fn init_for_json() -> Result<(), Fault> {
    start(Registry::default().with(ErrorLines))
}

/// Says that the service has opened what it needs and does its work from now on: `<program> is ready`.
pub fn ready(program: &'static str) {
    tracing::info!(target: READY, "{program} {READY_WORDS}");
}

/// The filter is of the whole subscriber, not of its one layer: such a one lets the next span or line on a thread go
/// unsaid after anybody has asked there whether something else is logged, as sqlx does after each query
/// (<https://github.com/tokio-rs/tracing/issues/2519>).
fn subscriber<W>(filter: EnvFilter, json: bool, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines: Box<dyn Layer<Layered<EnvFilter, Registry>> + Send + Sync> = if json {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(true);
        Box::new(lines.with_ansi(false).with_writer(writer))
    } else {
        Box::new(fmt::layer().with_ansi(ansi).with_target(true).with_writer(writer))
    };
    Registry::default().with(filter).with(lines)
}

fn start(subscriber: impl SubscriberInitExt) -> Result<(), Fault> {
    subscriber.try_init().map_err(|error| Fault::new("telemetry", format!("cannot start logging: {error}")))
}

fn directive(target: &str) -> Directive {
    format!("{target}=info").parse().expect("a target and a level are a directive")
}

fn parse(filter: &str) -> Result<EnvFilter, Fault> {
    EnvFilter::builder().parse(filter).map_err(|error| Fault::new("telemetry.filter", format!("{error}")))
}

/// Makes an [`ErrorLine`] of each ERROR.
struct ErrorLines;

/// The message of an event.
#[derive(Default)]
struct Message(String);

// === impl ErrorLines ===

impl<S: Subscriber> Layer<S> for ErrorLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut message = Message::default();
            event.record(&mut message);
            ErrorLine { code: "INTERNAL", reason: "internal", message: &message.0 }.print();
        }
    }
}

// === impl Message ===

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    #[test]
    fn asking_whether_something_is_logged_hides_nothing() {
        tracing_log::LogTracer::init().unwrap();
        let lines = Lines::default();
        // With a level that some target is logged at: else nobody gets as far as to ask the filter.
        let filter = parse("info,other=debug").unwrap();
        let subscriber = subscriber(filter, false, false, lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..3 {
                let _asked = log::log_enabled!(log::Level::Debug);
                tracing::info_span!("work", n).in_scope(|| {
                    let _asked = log::log_enabled!(log::Level::Debug);
                    tracing::info!("done");
                });
            }
        });
        let said = lines.text();
        for n in 0..3 {
            assert!(said.contains(&format!("work{{n={n}}}: runtime::telemetry::tests: done")), "{said}");
        }
    }
}
