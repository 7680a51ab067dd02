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
}
