//! What can be said on the command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use runtime::config::Options;
use runtime::program::Arguments;

use crate::export::Position;

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
#[derive(Debug, Clone, Default, Subcommand)]
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
    /// One that was killed, or stopped with --switch, is gone on with. With --switch the catalog
    /// that was replaced is kept, for looking at differences, until `projector prune` or the next
    /// rebuild that switches.
    ///
    /// Exit code: 0 done; 1 the new catalog is not the same as the live one (--verify), and that was
    /// not accepted; 2 it could not be built.
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
    /// Drop the catalogs that are not needed: those that were replaced, and what unfinished builds have left
    ///
    /// What somebody writes or reads stays.
    ///
    /// Exit code: 0 done; 2 they could not be dropped.
    #[command(verbatim_doc_comment)]
    Prune(Prune),
    /// Write a slice of the journal into a file that `fold` reads
    ///
    /// Exit code: 0 done; 2 it could not be written.
    #[command(verbatim_doc_comment)]
    Export(Export),
    /// Fold a file that `export` wrote, in memory, without any server
    ///
    /// Of a whole journal, the digest is the one that `verify` prints of a catalog at the same event.
    ///
    /// Exit code: 0 done; 2 it could not be folded.
    #[command(verbatim_doc_comment)]
    Fold(Fold),
}

/// The flags of `rebuild`.
#[derive(Debug, Clone, clap::Args)]
pub struct Rebuild {
    /// Replace the live catalog with the new one; without this, nothing is left of it
    #[arg(long)]
    pub switch: bool,
    /// Compare both row by row first, and refuse to switch if they differ
    #[arg(long)]
    pub verify: bool,
    /// Switch although these tables differ: all that do must be named, as the report names them
    #[arg(
        long,
        value_name = "TABLE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(catalog::table_names()),
        requires_all = ["verify", "switch"]
    )]
    pub accept_differences: Vec<String>,
    /// Report as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// The flags of `prune`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Prune {
    /// Only say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
    /// Report as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// The flags of `export`.
#[derive(Debug, Clone, clap::Args)]
pub struct Export {
    /// The first event: its number, or a sequence such as the gateway gives out [default: the journal's first]
    #[arg(long, value_name = "SEQUENCE")]
    pub from: Option<Position>,
    /// The last one [default: the journal's last]
    #[arg(long, value_name = "SEQUENCE")]
    pub to: Option<Position>,
    /// The file to write; without it, standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The flags of `fold`.
#[derive(Debug, Clone, clap::Args)]
pub struct Fold {
    /// The file to fold; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Print also what became of each event
    #[arg(long)]
    pub events: bool,
    /// Print also each row of the catalog, as JSON
    #[arg(long)]
    pub rows: bool,
    /// Report as JSON objects on standard output, one a line
    #[arg(long)]
    pub json: bool,
}

impl Cli {
    /// What to do.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

impl Arguments for Cli {
    fn options(&self) -> &Options {
        &self.options
    }

    fn json(&self) -> bool {
        match self.command() {
            // What `export` writes may be read by another program; what goes wrong is told in words.
            Command::Run | Command::Export(_) => false,
            Command::Migrate { json }
            | Command::Verify { json }
            | Command::Rebuild(Rebuild { json, .. })
            | Command::Prune(Prune { json, .. })
            | Command::Fold(Fold { json, .. }) => json,
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
    fn differences_are_accepted_by_the_names_of_their_tables() {
        let parse = |flags: &[&str]| Cli::try_parse_from([&["projector", "rebuild"], flags].concat());
        let cli = parse(&["--verify", "--switch", "--accept-differences", "files,checkpoint"]).unwrap();
        let Command::Rebuild(flags) = cli.command() else { panic!("{cli:?}") };
        assert_eq!(flags.accept_differences, ["files", "checkpoint"]);
        for (flags, words) in [
            (&["--verify", "--switch", "--accept-differences", "filez"][..], "filez"),
            (&["--switch", "--accept-differences", "files"], "--verify"),
            (&["--verify", "--accept-differences", "files"], "--switch"),
        ] {
            let refused = parse(flags).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
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
