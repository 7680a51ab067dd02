//! The program `compose`: its command line and its exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use runtime::program::EXIT_USAGE;

use crate::control::Request;
use crate::peers::Peer;
use crate::{Install, NodeKind, Progress};

mod postgres;
mod table;
mod up;

/// A command failed; standard error says why.
const EXIT_FAILED: u8 = 1;

#[derive(Debug, Parser)]
#[command(name = "compose", version, about = "Runs Highwater and its servers as plain processes on this machine.")]
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
    /// Ask a program to end (SIGTERM); it is not started again by itself
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
    Install {
        #[command(flatten)]
        installation: Installation,
        /// Install the programs too that `make bench` measures beside Highwater; it goes on without those it cannot have
        #[arg(long)]
        peers: bool,
    },
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

/// Runs the command line and returns the exit code: 0, 1 for a failed command, 64 for a bad flag, 70 when a task died.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // Nothing is left to tell it to when standard output or error is closed.
            let _ = error.print();
            return ExitCode::from(code);
        }
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
        Command::Ps { json } => table::ps(&root, json).await,
        Command::Logs { name, lines, follow } => table::logs(&root, &name, lines, follow).await,
        Command::Install { installation, peers } => install(&installation, peers),
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

fn install(options: &Installation, with_peers: bool) -> anyhow::Result<()> {
    let programs = crate::programs::Programs::new(&runtime::config::Environment::process());
    let progress = Progress::stderr();
    crate::install::ensure(&programs, options.nodes, options.install, &progress)?;
    let minio = programs.minio().filter(|_| options.nodes != NodeKind::Embedded);
    let mut found = vec![programs.nats_server(), programs.postgres(None).map(|bin| bin.join("postgres")), minio];
    if with_peers {
        crate::peers::ensure(&programs, options.install, &progress);
        found.extend(Peer::ALL.map(|peer| peer.find(&programs)));
    }
    for program in found.iter().flatten() {
        progress.say(format!("found {}", program.display()));
    }
    Ok(())
}

fn path() -> anyhow::Result<()> {
    let programs = crate::programs::Programs::new(&runtime::config::Environment::process());
    let servers = [programs.nats_server(), programs.minio()];
    let mut folders: Vec<PathBuf> =
        servers.iter().flatten().filter_map(|program| program.parent()).map(Path::to_path_buf).collect();
    folders.extend(programs.postgres(None));
    folders.dedup();
    println!("{}", std::env::join_paths(folders).context("join the folders")?.display());
    Ok(())
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
}
