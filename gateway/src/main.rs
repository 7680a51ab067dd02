//! The gateway: gRPC uploads, downloads and queries.

use std::process::ExitCode;

use gateway::{Config, DEFAULTS};
use runtime::config::Options;
use runtime::program::{self, Arguments, Process};

/// The system's allocator keeps what many streams at once have left behind; this one gives it back, and is faster on
/// the data path.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The gateway of Highwater: the only door for users
#[derive(clap::Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Serve until told to stop (what happens without a command, too)
    Run,
    /// Create what is missing: stream, buckets, consumers, the nodes' buckets and markers, the space `main`
    Init,
}

impl Arguments for Args {
    fn options(&self) -> &Options {
        &self.options
    }
}

fn main() -> ExitCode {
    program::main("gateway", DEFAULTS, async |args: Args, config: Config, process: Process| match args.command {
        None | Some(Command::Run) => gateway::run(config, process).await,
        Some(Command::Init) => gateway::init(&config, &process).await,
    })
}
