//! `highwater`: the command-line client.
//!
//! It knows the API (`proto`) and nothing of the servers. Every command asks the gateway over gRPC, writes its answer to
//! stdout (tables for people, one JSON object a line with `--json`), everything else to stderr, and ends with one of the
//! exit codes of [`exit::Exit`].

mod args;
mod client;
mod commands;
mod exit;
mod output;
mod progress;
mod render;
mod sink;
mod source;
mod stop;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let output = output::Output::new(&args.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.end(Err(exit::Failure::local("cannot start", &error))),
    };
    let result = runtime.block_on(commands::run(args, &output));
    // A read of stdin cannot be interrupted; waiting for its thread would hang the program.
    runtime.shutdown_background();
    output.end(result)
}
