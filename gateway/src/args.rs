//! The command line.

use std::path::PathBuf;

use proto::{Incarnation, NodeId};
use runtime::config::Options;
use runtime::program::Arguments;

/// The gateway of Highwater: the only door for users
#[derive(clap::Parser)]
#[command(name = "gateway", version)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What the gateway is to do.
#[derive(Clone, clap::Subcommand)]
pub enum Command {
    /// Serve until told to stop (what happens without a command, too)
    Run,
    /// Create what is missing: stream, buckets, consumers, the nodes' buckets and markers, the space `main`
    Init,
    /// The journal as a whole, and its archive on the nodes
    #[command(subcommand)]
    Journal(Journal),
}

/// What is to be done with the journal.
#[derive(Clone, clap::Subcommand)]
pub enum Journal {
    /// Compare the journal with the archive on every node, event by event
    ///
    /// Services may go on meanwhile. What is not archived yet is no difference.
    ///
    /// Exit code: 0 equal; 1 different; 2 could not compare.
    #[command(verbatim_doc_comment)]
    Verify {
        /// Report as one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Make a lost journal again from what nodes, catalog and the journal itself have left
    ///
    /// Stop all services first. Everything that is left goes into a file, then the stream is
    /// replaced by one that is made from the file, as a new life of the journal: events keep their
    /// ids, and their sequences up to the last one that was not lost. Start the services afterwards:
    /// the projector goes on with the catalog if that is of these events, and else says what to do.
    ///
    /// Exit code: 0 restored, or nothing was lost; 2 could not be done.
    #[command(verbatim_doc_comment)]
    Restore(Restore),
}

/// The flags of `journal restore`.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that somebody gives or not")]
pub struct Restore {
    /// Only say what would come of it
    #[arg(long)]
    pub dry_run: bool,
    /// The file to write; one that is there is what an earlier attempt wrote, and is restored from
    /// [default: highwater-journal-<incarnation>.jsonl]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Do without this node, which cannot be read
    #[arg(long, value_name = "NODE")]
    pub without: Vec<NodeId>,
    /// Do without the catalog, which cannot be read or is wrong
    #[arg(long)]
    pub without_catalog: bool,
    /// Give up the events after a hole that nothing fills
    #[arg(long)]
    pub accept_loss: bool,
    /// The journal to restore, when there are several of which none was made from another
    #[arg(long, value_name = "INCARNATION")]
    pub life: Option<Incarnation>,
    /// Report as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

// === impl Args ===

impl Args {
    /// The command, given or meant.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Run)
    }
}

impl Arguments for Args {
    fn options(&self) -> &Options {
        &self.options
    }

    fn json(&self) -> bool {
        match &self.command {
            Some(Command::Journal(Journal::Verify { json } | Journal::Restore(Restore { json, .. }))) => *json,
            None | Some(Command::Run | Command::Init) => false,
        }
    }
}
