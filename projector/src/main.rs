//! The projector's program.

use std::process::ExitCode;

use projector::{Cli, Config, DEFAULTS, run};
use runtime::program::{self, Process};

fn main() -> ExitCode {
    program::main("projector", DEFAULTS, async |cli: Cli, config: Config, process: Process| {
        run(cli.command(), config, process).await
    })
}
