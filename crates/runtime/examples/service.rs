//! What the `main` of a service looks like, and what the tests of this crate run to see its exit codes.

use std::process::ExitCode;
use std::time::Duration;

use runtime::program::{self, Arguments, Process, Settings};
use runtime::{config, telemetry};

const DEFAULTS: &str = r#"
behaviour = "serve"
shutdown_grace = "10s"
[nats]
url = ""
[telemetry]
format = "auto"
filter = "info"
"#;

/// An example of a service.
#[derive(clap::Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    options: config::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Serve until told to stop (what happens without a command, too)
    Run,
    /// Compare something and say so with the exit code
    Verify {
        /// The exit code
        code: u8,
    },
}

#[derive(serde::Deserialize)]
struct Config {
    behaviour: String,
    #[serde(with = "config::duration")]
    shutdown_grace: Duration,
    nats: Nats,
    telemetry: telemetry::Config,
}

#[derive(serde::Deserialize)]
struct Nats {
    url: String,
}

fn main() -> ExitCode {
    program::main("service", DEFAULTS, async |args: Args, config: Config, process: Process| match args.command {
        None | Some(Command::Run) => run(&config.behaviour, &process).await,
        Some(Command::Verify { code }) => Ok(code),
    })
}

async fn run(behaviour: &str, process: &Process) -> anyhow::Result<u8> {
    let shutdown = process.shutdown.clone();
    match behaviour {
        "die" => drop(process.tasks.spawn("service.die", async { anyhow::bail!("a wheel came off") })),
        "fail" => anyhow::bail!("no road"),
        "refuse" => return Err(config::Faults::from(config::Fault::new("listen", "is taken by another")).into()),
        "panic" => panic!("a cliff"),
        "hung" => drop(process.tasks.spawn("service.hung", std::future::pending::<()>())),
        "stubborn" => drop(process.tasks.spawn("service.stubborn", async move { shutdown.hard_cancelled().await })),
        _ => drop(process.tasks.spawn("service.work", async move { shutdown.soft_cancelled().await })),
    }
    tracing::info!("service is ready");
    process.shutdown.soft_cancelled().await;
    Ok(0)
}

impl Arguments for Args {
    fn options(&self) -> &config::Options {
        &self.options
    }
}

impl config::Validate for Config {
    fn faults(&self) -> Vec<config::Fault> {
        let empty = self.nats.url.is_empty().then(|| config::Fault::new("url", "is empty"));
        config::within("nats", empty.into_iter().collect())
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
