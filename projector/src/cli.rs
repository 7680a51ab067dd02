//! What can be said on the command line.

use clap::{Parser, Subcommand};
use runtime::config::Options;
use runtime::program::Arguments;

/// Folds the journal into the catalog.
#[derive(Debug, Parser)]
#[command(name = "projector", version)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Copy, Default, Subcommand)]
pub enum Command {
    /// Follow the journal for ever (the default)
    #[default]
    Run,
    /// Make the schema `highwater` in the database, or bring it up to date
    Migrate {
        /// Report as one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Fold the whole journal into a new catalog, beside the live one
    ///
    /// Exit code: 0 done; 1 the new catalog is not the same as the live one (--verify); 2 it could not be built.
    #[command(verbatim_doc_comment)]
    Rebuild(Rebuild),
    /// Fold the whole journal again and compare the live catalog with that, row by row
    ///
    /// Exit code: 0 equal; 1 different; 2 could not compare.
    #[command(verbatim_doc_comment)]
    Verify {
        /// Report as one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

/// The flags of `rebuild`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Rebuild {
    /// Replace the live catalog with the new one; without this, nothing is left of it
    #[arg(long)]
    pub switch: bool,
    /// Compare both row by row first, and refuse to switch if they differ
    #[arg(long)]
    pub verify: bool,
    /// Report as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl Cli {
    /// What to do.
    pub fn command(&self) -> Command {
        self.command.unwrap_or_default()
    }
}

impl Arguments for Cli {
    fn options(&self) -> &Options {
        &self.options
    }

    fn json(&self) -> bool {
        match self.command() {
            Command::Run => false,
            Command::Migrate { json } | Command::Verify { json } | Command::Rebuild(Rebuild { json, .. }) => json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_command_it_runs() {
        assert!(matches!(Cli::parse_from(["projector"]).command(), Command::Run));
    }

    #[test]
    fn shared_options_go_before_and_after_the_command() {
        let before = Cli::parse_from(["projector", "--set", "a=1", "verify", "--json"]);
        let after = Cli::parse_from(["projector", "verify", "--json", "--set", "a=1"]);
        for cli in [before, after] {
            assert_eq!(cli.options().set, ["a=1"]);
            assert!(matches!(cli.command(), Command::Verify { json: true }));
        }
    }
}
