//! The command line.

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
#[derive(Clone, Copy, clap::Subcommand)]
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
#[derive(Clone, Copy, clap::Subcommand)]
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
}

// === impl Args ===

impl Args {
    /// The command, given or meant.
    pub fn command(&self) -> Command {
        self.command.unwrap_or(Command::Run)
    }
}

impl Arguments for Args {
    fn options(&self) -> &Options {
        &self.options
    }

    fn json(&self) -> bool {
        matches!(self.command, Some(Command::Journal(Journal::Verify { json: true })))
    }
}
