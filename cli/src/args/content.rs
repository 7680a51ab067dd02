//! The commands that carry content.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use proto::VersionId;

use super::{After, At, Change, Conflict};

/// Store files
///
/// put FILE stores it under its own name, put FILE PATH under another one, put FILE FOLDER/ in a folder; more than one
/// FILE needs a FOLDER/ at the end, or --to, and no --request-id or --if-version. `-` reads stdin and needs a PATH.
///
/// A regular file is read twice: first for its SHA-256, which the server compares before it commits, then to send it. If
/// the space has the same content already, nothing is sent. If the gateway goes away in between, the same request is
/// tried again: it cannot be stored twice. What comes from stdin or a pipe is sent once, and the digest in the receipt
/// is compared with what was read.
///
/// A file of more than 8 MiB is sent in parts. When the connection breaks it goes on where it was, and after Ctrl-C the
/// same command does so, as long as the file has not changed and the gateway has not thrown the parts away. With --abort
/// it throws them away at once.
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
    /// What to do when the path is taken [default: overwrite]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_conflict: Option<Conflict>,
    /// Make new files only: the same as --on-conflict fail
    #[arg(long, conflicts_with_all = ["on_conflict", "if_version"])]
    pub(crate) create_only: bool,
    /// Only if this is the file's current version; one file only
    #[arg(long, value_name = "ID")]
    pub(crate) if_version: Option<VersionId>,
    /// Answer only when so many nodes hold the bytes [default: what the gateway is set to]
    #[arg(long, value_name = "COPIES")]
    pub(crate) ack_replicas: Option<u32>,
    /// Read the file only once: send no SHA-256 first, but compare the receipt's afterwards
    #[arg(long)]
    pub(crate) no_checksum: bool,
    /// Store nothing: throw away what the same command left when it was stopped, instead of going on with it
    #[arg(long)]
    pub(crate) abort: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Not a flag for people: this is how the environment is read
    #[arg(long, hide = true, env = "XDG_STATE_HOME", hide_env = true)]
    pub(crate) state_home: Option<OsString>,
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
    /// An older version instead of the current one, also of a file that is in the trash
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// The file as it was then: a sequence, or a time such as 2026-06-21T12:00:00Z
    #[arg(long, value_name = "SEQUENCE|TIME", conflicts_with = "version_id")]
    pub(crate) at: Option<At>,
    /// Replace the target if it exists
    #[arg(long, short)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) after: After,
}
