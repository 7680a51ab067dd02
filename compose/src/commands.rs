//! The program `compose`: its command line and its exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use runtime::program::EXIT_USAGE;
use runtime::{ErrorLine, wants_json};

use crate::control::Request;
use crate::install::Servers;
use crate::programs::Tool;
use crate::{Install, NodeKind, Progress};

mod postgres;
mod table;
mod up;

/// A command failed; standard error says why.
const EXIT_FAILED: u8 = 1;

const ABOUT: &str = "Runs Highwater and its servers as plain processes on this machine.";

const AFTER_HELP: &str = "\
Everything binds 127.0.0.1. Ports, from --port-base or HIGHWATER_PORT_BASE (7420) on:
  +0  gateway
  +1  NATS
  +2  NATS, monitoring
  +3  Postgres
  +4  node-a, and the other nodes after it

Exit codes:
  0   done; for up: a clean stop
  1   a command failed: standard error says why
  64  a bad flag or value
  70  a part of this program died

With `ps --json` every program is one object a line on stdout, and an error is one object
{code, reason, message} on stderr.";

#[derive(Debug, Parser)]
#[command(name = "compose", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 100)]
struct Arguments {
    /// Where all data are kept
    #[arg(long, env = "HIGHWATER_DATA", default_value = "./.highwater", global = true, value_name = "DIR")]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything and stay in the foreground; Ctrl-C stops it and keeps the data
    Up(up::Options),
    /// Stop what `up` started; the data are kept
    Down,
    /// Stop what `up` started and delete the data
    Reset,
    /// Show every program: name, pid, state, addresses, log, data, credentials
    Ps {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Ask a program to end (SIGTERM; Postgres: SIGINT); it is not started again by itself
    Stop { name: String },
    /// Start a program that is not running, and wait until it is ready
    Start { name: String },
    /// Kill a program (SIGKILL); it is not started again by itself
    Kill { name: String },
    /// Freeze a program (SIGSTOP)
    Pause { name: String },
    /// Let a frozen program go on (SIGCONT)
    Resume { name: String },
    /// Print what a program has printed
    Logs {
        name: String,
        /// Only so many lines from the end
        #[arg(long, short = 'n')]
        lines: Option<usize>,
        /// Stay and print what comes
        #[arg(long, short)]
        follow: bool,
    },
    /// Change how many replicators run: `scale replicator=3`
    Scale {
        #[arg(value_parser = parse_scale, value_name = "replicator=N")]
        replicators: usize,
    },
    /// Show the whole story on data and ports of its own, then stop
    Demo(crate::demo::Options),
    /// Install the servers that are missing, after saying how
    Install(ForTests),
    /// Print the folders of the servers' programs, to be put before PATH
    Path,
    /// Run a command with DATABASE_URL naming an empty database of a Postgres that lives as long as the command
    WithPostgres(postgres::Options),
    /// Run one embedded S3 node; for demos and tests, never for production
    S3Node(crate::s3_node::Options),
    /// Keep one program from outliving its runner; for this program's own use
    #[command(hide = true)]
    Guard(crate::guard::Options),
}

/// What may be installed, and which nodes are wanted.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Installation {
    /// `no`: only say what would be installed
    #[arg(long, env = "INSTALL", default_value = "yes", value_name = "yes|no")]
    pub(crate) install: Install,
    /// The S3 nodes: auto (MinIO when it is there), minio (install it, insist on it), or embedded
    #[arg(long, env = "NODES", default_value = "auto", value_name = "KIND")]
    pub(crate) nodes: NodeKind,
}

/// What may be installed, and what tests want besides.
#[derive(Debug, Clone, clap::Args)]
struct ForTests {
    #[command(flatten)]
    installation: Installation,
    /// Also what only tests and checks use
    #[arg(long, value_name = "PROGRAM,..", value_delimiter = ',', value_enum)]
    also: Vec<Tool>,
}

/// Runs the command line and returns the exit code: 0, 1 for a failed command, 64 for a bad flag, 70 when a task died.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("start the threads")),
    };
    let code = runtime.block_on(run(arguments));
    runtime.shutdown_background();
    code
}

async fn run(arguments: Arguments) -> ExitCode {
    let root = arguments.data;
    let done = match arguments.command {
        Command::Up(options) => return up::run(root, options).await,
        Command::Demo(options) => return crate::demo::run(options).await,
        Command::S3Node(options) => return crate::s3_node::run(options).await,
        Command::Guard(options) => return crate::guard::run(options).await,
        Command::WithPostgres(options) => return postgres::run(options).await,
        Command::Down => up::down(&root).await,
        Command::Reset => up::reset(&root).await,
        Command::Ps { json: false } => table::ps(&root).await,
        Command::Ps { json: true } => return table::ps_as_json(&root).await,
        Command::Logs { name, lines, follow } => table::logs(&root, &name, lines, follow).await,
        Command::Install(options) => install(&options).await,
        Command::Path => path(),
        Command::Stop { name } => ask(&root, Request::Stop { name }).await,
        Command::Start { name } => ask(&root, Request::Start { name }).await,
        Command::Kill { name } => ask(&root, Request::Kill { name }).await,
        Command::Pause { name } => ask(&root, Request::Pause { name }).await,
        Command::Resume { name } => ask(&root, Request::Resume { name }).await,
        Command::Scale { replicators } => ask(&root, Request::Scale { replicators }).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn ask(root: &Path, request: Request) -> anyhow::Result<()> {
    crate::control::ask(root, &request).await.map(|_| ())
}

async fn install(options: &ForTests) -> anyhow::Result<()> {
    let compose = std::env::current_exe().context("find this program")?;
    let programs = crate::programs::Programs::new(&runtime::config::Environment::process());
    let ForTests { installation: Installation { install, nodes }, also } = options;
    let servers = Servers { nats: true, postgres: true, minio: *nodes == NodeKind::Minio };
    crate::install::ensure(&programs, &compose, servers, also, *install, &Progress::stderr()).await?;
    let minio = programs.minio().filter(|_| *nodes != NodeKind::Embedded);
    let servers = [programs.nats_server(), programs.postgres(None).map(|bin| bin.join("postgres")), minio];
    let tools = also.iter().map(|tool| programs.tool(*tool));
    for program in servers.into_iter().chain(tools).flatten() {
        Progress::stderr().say(format!("found {}", program.display()));
    }
    Ok(())
}

fn path() -> anyhow::Result<()> {
    let programs = crate::programs::Programs::new(&runtime::config::Environment::process());
    let servers = [programs.nats_server(), programs.minio()];
    let beside = servers.iter().flatten().filter_map(|program| program.parent()).map(Path::to_path_buf);
    // After the servers' own folders: what is better elsewhere must not be hidden by what was installed once.
    let folders = each_once(beside.chain(programs.postgres(None)).chain([programs.installed_in()]));
    println!("{}", std::env::join_paths(folders).context("join the folders")?.display());
    Ok(())
}

/// In the order of their first places.
fn each_once(folders: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut once = Vec::new();
    for folder in folders {
        if !once.contains(&folder) {
            once.push(folder);
        }
    }
    once
}

/// Says what is wrong with a command line; help and version are no mistake.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing is left to tell it to when standard output is closed.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if wants_json(std::env::args_os()) {
        ErrorLine::print_usage(error);
    } else if error.kind() == ErrorKind::ValueValidation {
        // The value may come from the environment of somebody who wrote no flag: the first line says it all.
        Progress::stderr().say(error.render().to_string().lines().next().unwrap_or_default());
    } else {
        // Nor when standard error is closed.
        let _ = error.print();
    }
    ExitCode::from(EXIT_USAGE)
}

/// Says why a command failed.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    Progress::stderr().say(format!("compose: {error:#}"));
    ExitCode::from(EXIT_FAILED)
}

fn parse_scale(text: &str) -> Result<usize, String> {
    let count = text.strip_prefix("replicator=").ok_or("only replicators scale: `scale replicator=3`")?;
    let count = count.parse::<usize>().map_err(|_| format!("`{count}` is no number"))?;
    if count > 64 { Err("at most 64 replicators".to_owned()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn scale_takes_replicators_only() {
        assert_eq!(parse_scale("replicator=3"), Ok(3));
        assert!(parse_scale("gateway=2").is_err());
        assert!(parse_scale("replicator=many").is_err());
    }

    #[test]
    fn a_folder_is_printed_once_wherever_it_comes_again() {
        let folders = ["/a", "/b", "/b", "/c", "/a"].map(PathBuf::from);
        assert_eq!(each_once(folders.into_iter()), ["/a", "/b", "/c"].map(PathBuf::from));
    }
}
