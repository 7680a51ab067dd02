//! The replicator's program.

use std::process::ExitCode;

use replicator::{Cli, Config, DEFAULTS, run};
use runtime::program::{self, Process};

fn main() -> ExitCode {
    program::main("replicator", DEFAULTS, async |cli: Cli, config: Config, process: Process| {
        run(cli.apply(config)?, process).await
    })
}
