//! `highwater trash`.

use clap::{Args as ClapArgs, Subcommand};

use super::{After, Change, Conflict};

/// List what was deleted, and bring it back
#[derive(Debug, ClapArgs)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Trash {
    #[command(subcommand)]
    pub(crate) command: TrashCommand,
}

/// What to do with the trash.
#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    Ls(TrashLs),
    Restore(TrashRestore),
}

/// List what was deleted and can be brought back, newest first
///
/// The id is what restore takes when a path was deleted more than once.
#[derive(Debug, ClapArgs)]
pub(crate) struct TrashLs {
    /// Entries to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Bring a file, or a folder with all that was in it, back from the trash
///
/// Of a path that was deleted more than once, the newest is brought back; it says which.
#[derive(Debug, ClapArgs)]
pub(crate) struct TrashRestore {
    /// Where it was, or its id as shown by ls
    #[arg(value_name = "PATH|ID")]
    pub(crate) what: String,
    /// Where it shall be, or a FOLDER/ [default: where it was]
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
    /// What to do when the path is taken [default: fail]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_conflict: Option<Conflict>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) after: After,
}
