//! `gateway journal`: what is done with the journal as a whole, beside the services.

mod left;
mod report;
mod restore;
mod verify;

use runtime::ErrorLine;
use runtime::program::Process;
use runtime::shutdown::Cancelled;

use crate::args::{Journal, Restore};
use crate::config::Config;
use crate::run::check_secrets;

/// Restored, or equal.
const DONE: u8 = 0;
/// Journal and archive are not the same.
const DIFFERENT: u8 = 1;
/// It could not be found out, or not be done.
const COULD_NOT: u8 = 2;

/// Does what the command line says and prints what came of it; the exit code.
pub async fn journal(command: Journal, config: Config, process: Process) -> anyhow::Result<u8> {
    check_secrets(&config)?;
    let (json, reason) = match &command {
        Journal::Verify { json } => (*json, "not_compared"),
        Journal::Restore(flags) => (flags.json, "not_restored"),
    };
    let done = match command {
        Journal::Verify { .. } => verify(&config, &process, json).await,
        Journal::Restore(flags) => restore(&config, &process, &flags).await,
    };
    match done {
        Err(error) if !error.is::<Cancelled>() => {
            refuse(&error, reason, json);
            Ok(COULD_NOT)
        }
        done => done,
    }
}

async fn verify(config: &Config, process: &Process, json: bool) -> anyhow::Result<u8> {
    let compared = verify::run(config, process).await?;
    report::compared(&compared, json)?;
    Ok(match (compared.is_equal(), compared.is_whole()) {
        (true, true) => DONE,
        (true, false) => COULD_NOT,
        (false, _) => DIFFERENT,
    })
}

async fn restore(config: &Config, process: &Process, flags: &Restore) -> anyhow::Result<u8> {
    let restored = restore::run(config, process, flags).await?;
    report::restored(&restored, flags)?;
    Ok(DONE)
}

/// Says why nothing came of it.
fn refuse(error: &anyhow::Error, reason: &str, json: bool) {
    let message = format!("{error:#}");
    if json {
        ErrorLine { code: "UNAVAILABLE", reason, message: &message }.print();
    } else {
        tracing::error!("{message}");
    }
}
