//! What the command line says.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use proto::{Actor, RequestId, SpaceName};

use crate::exit::{Exit, Failure};

const ABOUT: &str = "Stores, reads and lists files in Highwater, and shows what became of them.";

const AFTER_HELP: &str = "\
Paths are `/`-separated inside a space, without a leading slash: reports/2026/june.pdf

Exit codes:
  0  done
  1  any other error
  2  wrong usage, or a name that is not allowed
  3  folder or space not found
  4  file not found
  5  temporary: the gateway or what it needs is away, or --timeout passed; try again
  7  fatal: trying again will not help
  130, 143  stopped by Ctrl-C or SIGTERM; nothing half-done is left

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
    /// Give up after this long, such as 500ms, 30s or 5m [default: 60s; put, get and ls: never]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
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
    Stat(Stat),
    Events(Events),
    Status(Status),
}

/// Store files
///
/// put FILE stores it under its own name, put FILE PATH under another one, put FILE FOLDER/ in a folder; more than one
/// FILE needs a FOLDER/ at the end, or --to. `-` reads stdin and needs a PATH.
///
/// A regular file is read twice: first for its SHA-256, which the server compares before it commits, then to send it. If
/// the gateway goes away in between, the same request is tried again: it cannot be stored twice. What comes from stdin
/// or a pipe is sent once, and the digest in the receipt is compared with what was read.
#[derive(Debug, ClapArgs)]
#[command(override_usage = "\
highwater put [OPTIONS] FILE [PATH]
       highwater put [OPTIONS] FILE... FOLDER/
       highwater put [OPTIONS] FILE... --to PATH")]
pub(crate) struct Put {
    /// Files to store, then where; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) args: Vec<PathBuf>,
    /// Where to store; all arguments are then files
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
    /// The media type to record, such as text/plain
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Your own id of this request: the same id again answers the first outcome; one file only [default: a random one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
    /// Read the file only once: send no SHA-256 first, but compare the receipt's afterwards
    #[arg(long)]
    pub(crate) no_checksum: bool,
    /// How long to try again while the gateway is away; 0s does not
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) retry_for: Duration,
}

/// Read a file
///
/// The content is written beside the target and takes its name only when it is complete and its SHA-256 is the
/// recorded one. With --offset or --limit there is no digest to compare, only the length.
#[derive(Debug, ClapArgs)]
pub(crate) struct Get {
    /// The file in Highwater
    pub(crate) path: String,
    /// Where to write: a file, a folder, or `-` for stdout [default: the file's name, here]
    pub(crate) target: Option<PathBuf>,
    /// First byte to read
    #[arg(long, value_name = "BYTES")]
    pub(crate) offset: Option<u64>,
    /// How many bytes to read at most
    #[arg(long, value_name = "BYTES")]
    pub(crate) limit: Option<u64>,
    /// An older version instead of the current one
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// Replace the target if it exists
    #[arg(long, short)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) after: After,
}

/// List the files under a folder, with everything below it
///
/// Prints size, copies, time and path of each, sorted by path.
#[derive(Debug, ClapArgs)]
pub(crate) struct Ls {
    /// The folder [default: the whole space]
    pub(crate) folder: Option<String>,
    /// Files to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show a file, its version and the state on every node
///
/// With --wait or --wait-replicated it asks again until there are enough copies, says on stderr whenever a state
/// changes, and ends with code 5 if --timeout passes first.
#[derive(Debug, ClapArgs)]
pub(crate) struct Stat {
    /// The file in Highwater
    pub(crate) path: String,
    /// Wait until so many nodes hold the bytes
    #[arg(long, value_name = "COPIES")]
    pub(crate) wait: Option<u32>,
    /// Wait until all nodes that shall hold the bytes do
    #[arg(long, conflicts_with = "wait")]
    pub(crate) wait_replicated: bool,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show the events that made a file what it is, oldest first
///
/// The number is the event's position in the journal; --json shows whole events.
#[derive(Debug, ClapArgs)]
pub(crate) struct Events {
    /// The file in Highwater
    pub(crate) path: String,
    /// Events to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show the journal, the catalog and the nodes
#[derive(Debug, ClapArgs)]
pub(crate) struct Status {}

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
        self.min_sequence.map(|sequence| sequence.to_string()).unwrap_or_default()
    }
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

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let form = || "write a number and ms, s, m or h, such as 30s".to_owned();
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    let milliseconds = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(form()),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "3 s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
