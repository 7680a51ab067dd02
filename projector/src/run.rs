//! The commands, and the exit codes of what they end with.

use runtime::program::Process;

use crate::cli::Command;
use crate::config::Config;
use crate::error::Error;
use crate::rebuild::Ended;
use crate::{export, live, offline, prune, rebuild, report, verify};

/// The catalog is not what the journal says.
const EXIT_DIFFERENT: u8 = 1;

/// It could not be found out, or not be done.
const EXIT_COULD_NOT: u8 = 2;

/// Does what `command` says and returns the exit code. An `Err` is a halt of [`Command::Run`].
pub async fn run(command: Command, config: Config, process: Process) -> anyhow::Result<u8> {
    match command {
        Command::Run => {
            live::run(&config, &process).await?;
            Ok(0)
        }
        Command::Migrate { json } => {
            if let Err(error) = catalog::migrate(&config.database).await {
                return Ok(could_not(&Error::Catalog(error), json));
            }
            report::print(&report::migrated(json));
            Ok(0)
        }
        Command::Verify { json } => Ok(match verify::run(&config, &process).await {
            Ok(compared) => {
                report::print(&report::compared(&compared, json));
                if compared.is_equal() { 0 } else { EXIT_DIFFERENT }
            }
            Err(error) => could_not(&error, json),
        }),
        Command::Rebuild(flags) => Ok(match rebuild::run(&config, &process, &flags).await {
            Ok(rebuilt) => {
                report::print(&report::rebuilt(&rebuilt, &flags));
                if rebuilt.ended == Ended::Refused { EXIT_DIFFERENT } else { 0 }
            }
            Err(error) => could_not(&error, flags.json),
        }),
        Command::Prune(flags) => Ok(match prune::run(&config, &process, flags).await {
            Ok(pruned) => {
                report::print(&report::pruned(&pruned, flags));
                0
            }
            Err(error) => could_not(&error, flags.json),
        }),
        Command::Export(flags) => Ok(match export::run(&config, &process, &flags).await {
            Ok(exported) => {
                tracing::info!("exported the events {} to {}", exported.from, exported.to);
                0
            }
            Err(error) => could_not(&error, false),
        }),
        Command::Fold(flags) => Ok(match offline::run(&process, &flags) {
            Ok(folded) => {
                report::folded(&folded, &flags);
                0
            }
            Err(error) => could_not(&error, flags.json),
        }),
    }
}

fn could_not(error: &Error, json: bool) -> u8 {
    report::print_error(error, json);
    EXIT_COULD_NOT
}
