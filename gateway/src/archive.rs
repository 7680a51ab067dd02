//! `gateway journal`: what is done with the journal as a whole, beside the services.

mod report;
mod verify;

use runtime::ErrorLine;
use runtime::program::Process;
use runtime::shutdown::Cancelled;

use crate::args::Journal;
use crate::config::Config;
use crate::run::check_secrets;

/// Exit codes of `verify`.
const EQUAL: u8 = 0;
const DIFFERENT: u8 = 1;
const NOT_COMPARED: u8 = 2;

/// Does what the command line says and prints what came of it; the exit code.
pub async fn journal(command: Journal, config: Config, process: Process) -> anyhow::Result<u8> {
    check_secrets(&config)?;
    match command {
        Journal::Verify { json } => {
            let compared = match verify::run(&config, &process).await {
                Ok(compared) => compared,
                Err(error) if error.is::<Cancelled>() => return Err(error),
                Err(error) => {
                    refuse(&error, json);
                    return Ok(NOT_COMPARED);
                }
            };
            report::print(&compared, json)?;
            Ok(if !compared.is_equal() {
                DIFFERENT
            } else if compared.is_whole() {
                EQUAL
            } else {
                NOT_COMPARED
            })
        }
    }
}

/// Says why nothing came of it.
fn refuse(error: &anyhow::Error, json: bool) {
    let message = format!("{error:#}");
    if json {
        ErrorLine { code: "UNAVAILABLE", reason: "not_compared", message: &message }.print();
    } else {
        tracing::error!("{message}");
    }
}
