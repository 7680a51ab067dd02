//! The replicator's program.

use std::process::ExitCode;

use replicator::{Cli, Config, DEFAULTS, run};
use runtime::program::{self, Process};

/// The system's allocator keeps what many streams at once have left behind; this one gives it back, and is faster on
/// the data path.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    program::main("replicator", DEFAULTS, async |cli: Cli, config: Config, process: Process| {
        run(cli.apply(config)?, process).await
    })
}
