//! The commands that ask.

use clap::Args as ClapArgs;
use proto::{EventId, FileId, Sequence, SpaceId, VersionId};
use std::time::Duration;

use super::{After, At, values};

/// List a folder
///
/// Prints size, copies, time of change, version and name of each, sorted by name; folders end in / and have the number
/// of names in them instead of a size. With -R it lists the files at any depth: size, copies, time and path.
#[derive(Debug, ClapArgs)]
pub(crate) struct Ls {
    /// The folder [default: the whole space]
    pub(crate) folder: Option<String>,
    /// List all files below, at any depth
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// The folder as it was then: a sequence, or a time such as 2026-06-21T12:00:00Z; copies are those of now
    #[arg(long, value_name = "SEQUENCE|TIME", conflicts_with = "recursive")]
    pub(crate) at: Option<At>,
    /// Names to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Count the files, folders and bytes below a folder
///
/// Counts the current versions at any depth; not the trash, and not the older versions.
#[derive(Debug, ClapArgs)]
pub(crate) struct Du {
    /// The folder [default: the whole space]
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show the versions of a file, newest first
///
/// The number is the position in the journal of the event that made the version. A version whose content was given up
/// by the space's retention is marked as pruned.
#[derive(Debug, ClapArgs)]
pub(crate) struct Versions {
    /// The file in Highwater
    #[arg(required_unless_present = "file_id")]
    pub(crate) path: Option<String>,
    /// A file by its id, also one in the trash
    #[arg(long, value_name = "ID", conflicts_with = "path")]
    pub(crate) file_id: Option<FileId>,
    /// Versions to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show what became of a change
///
/// The event id is in the answer of every change. A change that was rejected is shown too, and is no error here.
#[derive(Debug, ClapArgs)]
pub(crate) struct Receipt {
    /// The id of the change's event
    pub(crate) event_id: EventId,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Show the changes of a space as they happen
///
/// A line a change, in order, with what became of it, until stopped. When the connection breaks it goes on after the
/// last change shown; with --from it can go on after any change ever shown.
#[derive(Debug, ClapArgs)]
pub(crate) struct Watch {
    /// Show the changes after this sequence; `<incarnation>-0` shows all [default: only new ones]
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) from: Option<Sequence>,
    /// End when there is nothing more at the moment
    #[arg(long)]
    pub(crate) once: bool,
    /// Watch the space with this id, as space ls --json shows it, whatever its name; also a deleted one
    #[arg(long, value_name = "ID")]
    pub(crate) space_id: Option<SpaceId>,
    /// How long to try again while the gateway is away; 0s does not
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "30s")]
    pub(crate) retry_for: Duration,
}

/// Wait until enough nodes hold a version's bytes
///
/// Of a path, it waits for the version that is current when it begins. Ends with code 5 if --timeout passes first.
#[derive(Debug, ClapArgs)]
pub(crate) struct Wait {
    /// The file in Highwater
    #[arg(required_unless_present = "version_id")]
    pub(crate) path: Option<String>,
    /// A version by its id
    #[arg(long, value_name = "ID", conflicts_with = "path")]
    pub(crate) version_id: Option<VersionId>,
    /// How many nodes shall hold the bytes
    #[arg(long, value_name = "COPIES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) replicas: u32,
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
    /// An older version instead of the current one, also of a file that is in the trash
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
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
///
/// What a node lacks is counted in the catalog each time. ETA tells how soon that is done if it goes on as it did in the
/// last minute; there is none while it does not get less.
#[derive(Debug, ClapArgs)]
pub(crate) struct Status {
    /// Show it again every second, until stopped
    #[arg(long)]
    pub(crate) watch: bool,
}
