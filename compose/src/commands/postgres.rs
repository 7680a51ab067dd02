//! `compose with-postgres`: a database for as long as one command runs.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::process::Command;

use super::fail;
use crate::Stack;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the command and answers its exit code.
pub(crate) async fn run(options: Options) -> ExitCode {
    match with_postgres(&options.command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

async fn with_postgres(command: &[String]) -> anyhow::Result<u8> {
    let stack = Stack::builder().services(false).nats(false).node_count(0).start().await?;
    let (program, args) = command.split_first().context("no command is given")?;
    let mut child = Command::new(program);
    child.args(args).env("DATABASE_URL", stack.database_url()?).kill_on_drop(true);
    let status = child.status().await.with_context(|| format!("run {program}"));
    stack.shutdown().await?;
    Ok(status?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
