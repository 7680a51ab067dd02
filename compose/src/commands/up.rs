//! `up`, `down`, `reset`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::program::{EXIT_DIED, EXIT_USAGE};
use runtime::shutdown::Shutdown;
use tokio_util::sync::CancellationToken;

use super::{EXIT_FAILED, Installation};
use crate::control::{self, Control, Request};
use crate::{Builder, Durability, PortPlan, Progress, Stack, data};

/// How long an orderly stop of everything may take before what is left is killed.
const GRACE: Duration = Duration::from_mins(2);

/// How long `down` waits for the end.
const DOWN_WITHIN: Duration = Duration::from_secs(130);

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Options {
    /// First port: the gateway's; the others come after it
    #[arg(long, env = "HIGHWATER_PORT_BASE", default_value_t = 7420, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port_base: u16,
    /// How many replicators
    #[arg(long, default_value_t = 2, value_name = "N")]
    replicators: usize,
    /// Start the servers only, to run the services by hand
    #[arg(long)]
    servers_only: bool,
    #[command(flatten)]
    installation: Installation,
    /// Use this NATS server instead of starting one
    #[arg(long, env = "NATS_URL", value_name = "URL")]
    nats_url: Option<String>,
    /// Its monitoring URL, when it is not on port 8222 beside it
    #[arg(long, env = "HIGHWATER_NATS__MONITOR_URL", value_name = "URL")]
    nats_monitor_url: Option<String>,
    /// Use this database instead of starting Postgres
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Use the nodes listed in this TOML file (`[[nodes]]`) instead of starting some
    #[arg(long, env = "NODES_FILE", value_name = "FILE")]
    nodes_file: Option<PathBuf>,
    /// Give a service one more setting: `gateway:HIGHWATER_LIMITS__CHUNK_BYTES=1MiB` (repeat)
    #[arg(long = "env", value_name = "NAME:KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// Where our own programs are, when not beside this one
    #[arg(long, env = "HIGHWATER_BIN_DIR", value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Setting {
    service: String,
    key: String,
    value: String,
}

pub(super) async fn run(root: PathBuf, options: Options) -> ExitCode {
    let builder = match builder(root, options) {
        Ok(builder) => builder,
        Err(error) => {
            Progress::stderr().say(format!("compose: {error:#}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let code = runtime::program::supervise("compose", GRACE, async |process| {
        Ok(match up(builder, &process.shutdown).await {
            Ok(code) => code,
            Err(error) => {
                Progress::stderr().say(format!("compose: {error:#}"));
                EXIT_FAILED
            }
        }
        .into())
    });
    ExitCode::from(code.await)
}

pub(super) async fn down(root: &Path) -> anyhow::Result<()> {
    control::ask(root, &Request::Down).await?;
    let ended = async {
        while data::holder(root).is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DOWN_WITHIN, ended).await.context("it is still stopping")
}

pub(super) async fn reset(root: &Path) -> anyhow::Result<()> {
    if data::holder(root).is_some() {
        down(root).await?;
    }
    data::delete(root)?;
    Progress::stderr().say(format!("{} is deleted", root.display()));
    Ok(())
}

fn builder(root: PathBuf, options: Options) -> anyhow::Result<Builder> {
    let mut builder = Stack::builder()
        .data(root)
        .ports(PortPlan::Base(options.port_base))
        .nodes(options.installation.nodes)
        .install(options.installation.install)
        .replicators(options.replicators)
        .durability(Durability::Full)
        .progress(Progress::stderr());
    if options.servers_only {
        builder = builder.services(false);
    }
    if let Some(dir) = options.bin_dir {
        builder = builder.bin_dir(dir);
    }
    if let Some(url) = options.nats_url.filter(|url| !url.is_empty()) {
        builder = builder.external_nats(url, options.nats_monitor_url);
    }
    if let Some(url) = options.database_url.filter(|url| !url.is_empty()) {
        builder = builder.external_database(url);
    }
    // `make up NATS_URL=` gives nothing, as it looks.
    if let Some(file) = options.nodes_file.filter(|file| !file.as_os_str().is_empty()) {
        builder = builder.nodes_file(&file)?;
    }
    for setting in options.settings {
        builder = builder.env(&setting.service, &setting.key, &setting.value);
    }
    Ok(builder)
}

async fn up(builder: Builder, shutdown: &Shutdown) -> anyhow::Result<u8> {
    let stack = tokio::select! {
        prepared = builder.prepare() => prepared?,
        () = shutdown.soft_cancelled() => return Ok(0),
    };
    let control = Control::bind(stack.data())?;
    let down = CancellationToken::new();
    let ended = tokio::select! {
        ended = stay(&stack) => ended.map_err(|error| (EXIT_FAILED, error)),
        error = control.serve(&stack, &down) => Err((EXIT_DIED, error)),
        () = shutdown.soft_cancelled() => Ok(()),
        () = down.cancelled() => Ok(()),
    };
    let code = match ended {
        Ok(()) => 0,
        Err((code, error)) => {
            Progress::stderr().say(format!("compose: {error:#}"));
            code
        }
    };
    Progress::stderr().say("stopping");
    shutdown.trigger_soft();
    tokio::select! {
        stopped = stack.shutdown() => stopped?,
        () = shutdown.hard_cancelled() => bail!("what had not stopped was ended by its guards"),
    }
    control.remove();
    Progress::stderr().say(format!("stopped; the data are in {}", stack.data().display()));
    Ok(code)
}

/// Starts everything and watches it; returns only when the start fails.
async fn stay(stack: &Stack) -> anyhow::Result<()> {
    stack.bring_up().await?;
    // Nobody may be reading.
    let _ = std::io::stdout().write_all(summary(stack)?.as_bytes());
    stack.supervise().await;
    Ok(())
}

/// Addresses, and commands to paste.
fn summary(stack: &Stack) -> anyhow::Result<String> {
    let mut lines =
        vec![String::new(), "Highwater is up. Ctrl-C stops it and keeps the data.".to_owned(), String::new()];
    for row in stack.ps().iter().filter(|row| !row.addresses.is_empty()) {
        lines.push(format!("  {:<10} {}", row.name, row.addresses.join("  ")));
    }
    lines.extend([
        format!("  {:<10} {}", "data", stack.data().display()),
        String::new(),
        "In another terminal:".to_owned(),
        String::new(),
    ]);
    let Ok(addr) = stack.gateway_addr() else { return Ok(lines.join("\n") + "\n") };
    let highwater = quoted(&shown(&stack.program("highwater")?))?;
    let compose = quoted(&shown(&stack.program("compose")?))?;
    lines.extend([
        format!(
            "  export HIGHWATER_ADDR=http://{addr} HIGHWATER_DATA={}",
            quoted(&stack.data().display().to_string())?
        ),
        format!("  {highwater} put README.md docs/README.md"),
        format!("  {highwater} stat docs/README.md"),
        format!("  {highwater} get docs/README.md copy.md"),
        format!("  {highwater} status"),
        format!("  {compose} ps"),
        format!("  {compose} stop node-a"),
    ]);
    if let (Ok(url), Ok(psql)) = (stack.database_url(), stack.postgres_program("psql")) {
        lines.push(format!("  {} {}", quoted(&psql.display().to_string())?, quoted(&url)?));
    }
    lines.push("\n".to_owned());
    Ok(lines.join("\n"))
}

/// One word for a shell, whatever is in it.
fn quoted(word: &str) -> anyhow::Result<String> {
    Ok(shlex::try_quote(word).context("a NUL in what is to be typed")?.into_owned())
}

/// A path as short as a person would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    let parse = || {
        let (service, rest) = text.split_once(':')?;
        let (key, value) = rest.split_once('=')?;
        Some(Setting { service: service.to_owned(), key: key.to_owned(), value: value.to_owned() })
    };
    parse().ok_or_else(|| format!("`{text}` is not NAME:KEY=VALUE"))
}
