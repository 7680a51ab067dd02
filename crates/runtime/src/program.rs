//! The `main` that the gateway, the replicator and the projector share: command line, config, logs, signals, exit
//! codes.
//!
//! ```no_run
//! use runtime::program::{self, Arguments, Process, Settings};
//! # use runtime::{config, telemetry};
//! # #[derive(clap::Parser)] struct Args { #[command(flatten)] options: config::Options }
//! # impl Arguments for Args { fn options(&self) -> &config::Options { &self.options } }
//! # #[derive(serde::Deserialize)] struct Config { telemetry: telemetry::Config }
//! # impl config::Validate for Config { fn faults(&self) -> Vec<config::Fault> { Vec::new() } }
//! # impl Settings for Config {
//! #     fn telemetry(&self) -> &telemetry::Config { &self.telemetry }
//! #     fn shutdown_grace(&self) -> std::time::Duration { std::time::Duration::from_secs(1) }
//! # }
//!
//! fn main() -> std::process::ExitCode {
//!     program::main("gateway", "", async |_args: Args, _config: Config, process: Process| {
//!         process.shutdown.soft_cancelled().await;
//!         anyhow::Ok(())
//!     })
//! }
//! ```

use std::any::Any;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt as _;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Ids};
use crate::config::{self, Environment, Fault, Faults, Options, Validate};
use crate::shutdown::{Shutdown, Signals};
use crate::tasks::{Outcome, Tasks, is_cancelled, panic_words};
use crate::{ErrorLine, telemetry, wants_json};

/// A bad flag or a bad config: nothing was started, no port was bound.
pub const EXIT_USAGE: u8 = 64;

/// A task died, or the program itself failed or could not be brought to an end.
pub const EXIT_DIED: u8 = 70;

/// The end of the `--help` of every service.
const AFTER_HELP: &str = "\
Exit codes:
  0   a clean stop
  64  a bad flag or a bad configuration: one line for each fault, nothing was started
  70  a part died, or the program refuses to go on; the last ERROR says why";

/// How long what is left may take after the hard step, before the process ends without it.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// How long blocking calls that cannot be cancelled may hold the process up at its very end.
const BLOCKING_CALLS_WITHIN: Duration = Duration::from_secs(1);

/// How many blocking calls (files, hashing) run at once; more wait in line. Tokio's own default, written out.
const MAX_BLOCKING_THREADS: usize = 512;

/// The command line of a service: clap's derive, with [`Options`] flattened in.
pub trait Arguments: Parser {
    /// The options that every service shares.
    fn options(&self) -> &Options;

    /// Whether the command answers in JSON: then errors are [`ErrorLine`]s, and nothing is logged.
    fn json(&self) -> bool {
        false
    }
}

/// The config of a service, as far as its `main` must know it.
pub trait Settings: DeserializeOwned + Validate {
    /// The `[telemetry]` table.
    fn telemetry(&self) -> &telemetry::Config;
    /// The key `shutdown_grace`: how long a soft shutdown may take before it becomes a hard one.
    fn shutdown_grace(&self) -> Duration;
}

/// What a service is given to run with.
#[derive(Clone, Debug)]
pub struct Process {
    /// The shutdown of the whole process.
    pub shutdown: Shutdown,
    /// Its tasks.
    pub tasks: Tasks,
    /// Its clock.
    pub clock: Clock,
    /// Its ids.
    pub ids: Ids,
}

/// The exit code a program asks for when nothing died: `()` is 0, a number is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exit(u8);

/// Runs a service: `run` is called with the parsed command line, the valid config and the process, and the program goes
/// on until it returns and every task has ended.
///
/// Exit codes: 64 for a bad flag or config, one line a fault on standard error, also when `run` fails with [`Faults`];
/// 70 when a task died, `run` failed or panicked, or something did not end; else what `run` returned, which for a
/// service is 0. An error that holds [`crate::shutdown::Cancelled`] counts as a clean return. When `run` returns, the
/// soft shutdown is asked for, so that a subcommand leaves no task behind.
pub fn main<A, C, R, F>(name: &'static str, defaults: &'static str, run: F) -> ExitCode
where
    A: Arguments,
    C: Settings,
    R: Into<Exit>,
    F: AsyncFnOnce(A, C, Process) -> anyhow::Result<R>,
{
    let args = match parse::<A>() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let json = args.json();
    let loaded = match config::load_with(defaults, args.options(), &Environment::process(), settings_faults::<C>) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults, json),
    };
    if args.options().print_config {
        let written = std::io::stdout().write_all(loaded.print().as_bytes());
        return ExitCode::from(if written.is_ok() { 0 } else { EXIT_DIED });
    }
    let logging = if json { telemetry::init_for_json() } else { telemetry::init(loaded.value.telemetry(), name) };
    if let Err(fault) = logging {
        return refuse(&Faults(vec![fault]), json);
    }
    log_panics();
    let started = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build();
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("{name} cannot start its threads: {error}");
            return ExitCode::from(EXIT_DIED);
        }
    };
    let grace = loaded.value.shutdown_grace();
    let code = runtime.block_on(supervise_in(name, grace, json, async |process| {
        run(args, loaded.value, process).await.map(Into::into)
    }));
    runtime.shutdown_timeout(BLOCKING_CALLS_WITHIN);
    ExitCode::from(code)
}

/// Runs `run` under the signals and returns the exit code. Apart from [`main`], for programs with a `main` of their own
/// (the runner).
pub async fn supervise<F>(name: &'static str, grace: Duration, run: F) -> u8
where
    F: AsyncFnOnce(Process) -> anyhow::Result<Exit>,
{
    supervise_in(name, grace, false, run).await
}

async fn supervise_in<F>(name: &'static str, grace: Duration, json: bool, run: F) -> u8
where
    F: AsyncFnOnce(Process) -> anyhow::Result<Exit>,
{
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("{name} cannot receive signals: {error}");
            return EXIT_DIED;
        }
    };
    let over = CancellationToken::new();
    let mut driver = JoinSet::new();
    driver.spawn(drive(signals, shutdown.clone(), grace, over.clone()));
    let process =
        Process { shutdown: shutdown.clone(), tasks: tasks.clone(), clock: Clock::system(), ids: Ids::system() };
    let ended = tokio::select! {
        ended = AssertUnwindSafe(run(process)).catch_unwind() => Some(ended),
        () = over.cancelled() => None,
    };
    let exit = judge(name, json, ended);
    shutdown.trigger_soft();
    let outcome = tasks.join(over.cancelled()).await;
    driver.abort_all();
    conclude(name, exit, &outcome)
}

async fn drive(signals: Signals, shutdown: Shutdown, grace: Duration, over: CancellationToken) {
    signals.drive(shutdown, grace).await;
    tokio::time::sleep(LET_GO_WITHIN).await;
    over.cancel();
}

/// The exit code that the service's own end asks for; logs it when it is a failure.
fn judge(name: &str, json: bool, ended: Option<Result<anyhow::Result<Exit>, Box<dyn Any + Send>>>) -> u8 {
    match ended {
        Some(Ok(Ok(Exit(code)))) => code,
        Some(Ok(Err(error))) if is_cancelled(&error) => 0,
        Some(Ok(Err(error))) => {
            if let Some(faults) = error.downcast_ref::<Faults>() {
                say(faults, json);
                return EXIT_USAGE;
            }
            tracing::error!("{name} failed: {error:#}");
            EXIT_DIED
        }
        Some(Err(panic)) => {
            tracing::error!("{name} panicked: {}", panic_words(panic.as_ref()));
            EXIT_DIED
        }
        None => {
            tracing::error!("{name} did not let go of its work: ending without it");
            EXIT_DIED
        }
    }
}

/// The exit code of the process. Deaths were logged when they happened.
fn conclude(name: &str, exit: u8, outcome: &Outcome) -> u8 {
    if !outcome.unfinished.is_empty() {
        let left = outcome.unfinished.join(", ");
        tracing::error!("{name} ends without these tasks, which did not stop: {left}");
    }
    let code = if outcome.is_clean() || exit == EXIT_USAGE { exit } else { EXIT_DIED };
    tracing::info!(exit.code = code, "{name} stopped");
    code
}

/// What is wrong with the settings that `main` itself acts on.
fn settings_faults<C: Settings>(settings: &C) -> Vec<Fault> {
    config::within("telemetry", settings.telemetry().faults())
}

/// The command line, or the exit code when it is wrong or asks for help.
fn parse<A: Arguments>() -> Result<A, ExitCode> {
    let mut command = A::command().after_help(AFTER_HELP);
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    parsed.and_then(|mut found| A::from_arg_matches_mut(&mut found)).map_err(|error| {
        let error = error.format(&mut command);
        if !error.use_stderr() {
            // Nothing is left to tell it to when standard output is closed.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        if wants_json(std::env::args_os()) {
            ErrorLine::print_usage(&error);
        } else {
            // Nor when standard error is.
            let _ = error.print();
        }
        ExitCode::from(EXIT_USAGE)
    })
}

fn refuse(faults: &Faults, json: bool) -> ExitCode {
    say(faults, json);
    ExitCode::from(EXIT_USAGE)
}

fn say(faults: &Faults, json: bool) {
    if json {
        for fault in &faults.0 {
            ErrorLine { code: "INVALID_ARGUMENT", reason: "config_invalid", message: &fault.to_string() }.print();
        }
        return;
    }
    // Nothing is left to tell it to when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{faults}");
}

/// Makes panics log lines with their place. WARN, because who catches the panic logs the ERROR: a task's is logged by
/// `Tasks`, the program's by [`supervise`].
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let words = panic.payload_as_str().unwrap_or("no message");
        tracing::warn!(panic.place = place, "panicked at {place}: {words}");
    }));
}

// === impl Exit ===

impl From<()> for Exit {
    fn from((): ()) -> Self {
        Self(0)
    }
}

impl From<u8> for Exit {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
