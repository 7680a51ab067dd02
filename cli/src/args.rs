//! What the command line says.

mod changing;
mod content;
mod ops;
mod reading;
mod spaces;
mod trash;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use proto::{Actor, RequestId, SpaceName};

pub(crate) use self::changing::{Cp, Mkdir, Mv, Restore, Rm, Undo};
pub(crate) use self::content::{Get, Put};
pub(crate) use self::ops::{
    Explain, Ops, OpsAudit, OpsCommand, OpsParked, OpsPlacement, OpsRecover, OpsRedrive, OpsRetire,
};
pub(crate) use self::reading::{Du, Events, Ls, Receipt, Stat, Status, Versions, Wait, Watch};
pub(crate) use self::spaces::{Space, SpaceCommand, SpaceLs, SpacePrune, SpaceRetention};
pub(crate) use self::trash::{Trash, TrashCommand, TrashLs, TrashRestore};
pub(crate) use self::values::{At, Conflict, Copies, on_conflict};
use crate::exit::{Exit, Failure};

const ABOUT: &str = "Stores, reads and lists files in Highwater, and shows what became of them.";

const AFTER_HELP: &str = "\
Paths are `/`-separated inside a space, without a leading slash: reports/2026/june.pdf

Exit codes:
  0  done
  1  any other error, also a change that was rejected
  2  wrong usage, or a name that is not allowed
  3  folder or space not found
  4  file not found
  5  temporary: the gateway or what it needs is away, or --timeout passed; try again
  7  fatal: trying again will not help
  130, 143  stopped by Ctrl-C or SIGTERM; nothing half-done is left, and the same put goes on where
            it was

With --json every answer is one object a line on stdout, with the field names of the API, and an
error is one object {code, reason, message} on stderr.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command has.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The gateway
    #[arg(long, global = true, value_name = "URL", env = "HIGHWATER_ADDR", default_value = "http://127.0.0.1:7420")]
    pub(crate) addr: String,
    /// The space
    #[arg(long, global = true, value_name = "NAME", default_value = proto::MAIN_SPACE)]
    pub(crate) space: SpaceName,
    /// Who makes the change; recorded in its event
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) actor: Option<Actor>,
    /// Answer as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Give up after this long, such as 500ms, 30s or 5m [default: 60s; put, get, ls, watch, undo, space prune and
    /// the long ones of ops: never]
    #[arg(long, global = true, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,
    /// No progress and no notes
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Put(Put),
    Get(Get),
    Ls(Ls),
    Du(Du),
    Mkdir(Mkdir),
    Rm(Rm),
    Mv(Mv),
    Cp(Cp),
    Versions(Versions),
    Restore(Restore),
    Trash(Trash),
    Undo(Undo),
    Stat(Stat),
    Wait(Wait),
    Events(Events),
    Receipt(Receipt),
    Watch(Watch),
    Space(Space),
    Status(Status),
    Explain(Explain),
    Ops(Ops),
}

/// Every change is one request, whatever happens on the way.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Change {
    /// Your own id of this request: the same id again answers the first outcome [default: a random one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
    /// How long to try again while the gateway is away; 0s does not
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "30s")]
    pub(crate) retry_for: Duration,
}

/// Reads can ask for a catalog that is new enough.
#[derive(Debug, ClapArgs)]
pub(crate) struct After {
    /// Wait, for up to a minute, until the catalog shows everything up to this sequence, as given by put
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) min_sequence: Option<proto::Sequence>,
}

impl After {
    /// As the API wants it: empty when absent.
    pub(crate) fn min_sequence(&self) -> String {
        optional(self.min_sequence.as_ref())
    }
}

/// As the API wants it: empty when absent.
pub(crate) fn optional(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Parses, or says what is wrong (or the help) and answers with which code to end.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Args, ExitCode> {
    let words: Vec<OsString> = words.collect();
    Args::try_parse_from(&words).map_err(|error| {
        let wants_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
        if error.use_stderr() && wants_json {
            let text = error.render().to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            eprintln!("{}", crate::render::json::error(&Failure::usage(message)));
        } else {
            // Nothing can be done about a closed terminal here.
            let _ = error.print();
        }
        if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
    })
}

#[cfg(test)]
mod tests;
