//! The gateway: gRPC uploads, downloads and queries.

use std::process::ExitCode;

use gateway::{Args, Command, Config, DEFAULTS};
use runtime::program::{self, Exit, Process};

/// The system's allocator keeps what many streams at once have left behind; this one gives it back, and is faster on
/// the data path.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    program::main("gateway", DEFAULTS, async |args: Args, config: Config, process: Process| match args.command() {
        Command::Run => Box::pin(gateway::run(config, process)).await.map(Exit::from),
        Command::Init => Box::pin(gateway::init(&config, &process)).await.map(Exit::from),
        Command::Journal(command) => Box::pin(gateway::journal(command, config, process)).await.map(Exit::from),
    })
}
