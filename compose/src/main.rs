//! Runs everything as plain processes, for people and for tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    compose::commands::main()
}
