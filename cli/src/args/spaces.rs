//! `highwater space`.

use clap::{Args as ClapArgs, Subcommand};
use proto::SpaceName;
use proto::v1::Retention;

use super::{After, Change};

/// Make, list and change spaces, and prune what they no longer keep
#[derive(Debug, ClapArgs)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Space {
    #[command(subcommand)]
    pub(crate) command: SpaceCommand,
}

/// What to do with spaces.
#[derive(Debug, Subcommand)]
pub(crate) enum SpaceCommand {
    Create(SpaceCreate),
    Ls(SpaceLs),
    Rename(SpaceRename),
    Rm(SpaceRm),
    Retention(SpaceRetention),
    Prune(SpacePrune),
}

/// Make a space
#[derive(Debug, ClapArgs)]
pub(crate) struct SpaceCreate {
    /// Its name
    pub(crate) name: SpaceName,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// List the spaces and how long they keep old content
#[derive(Debug, ClapArgs)]
pub(crate) struct SpaceLs {
    /// List the ones that were deleted instead: with the name that they had then, when that was, and who did it
    #[arg(long)]
    pub(crate) deleted: bool,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Give a space another name
#[derive(Debug, ClapArgs)]
pub(crate) struct SpaceRename {
    /// Its name
    pub(crate) name: SpaceName,
    /// Its new name
    pub(crate) new_name: SpaceName,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Delete a space
#[derive(Debug, ClapArgs)]
pub(crate) struct SpaceRm {
    /// Its name
    pub(crate) name: SpaceName,
    /// Also when it is not empty; its content is erased after its --keep-days (see `space retention`) or, without, the
    /// gateway's default of 30 days
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Show or set how long a space keeps old content
///
/// Without limits it shows those that are set. What is set replaces all that was set before: a limit that is not named
/// is no limit any more. A version is pruned only when every limit that is set allows it. The gateway prunes by itself,
/// every `prune_interval` (1 h by default); `space prune --dry-run` shows first what would go.
#[derive(Debug, ClapArgs)]
pub(crate) struct SpaceRetention {
    /// The space
    pub(crate) name: SpaceName,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Keep everything
    #[arg(long, conflicts_with_all = ["keep_versions", "keep_days"])]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Give up the old content that the space's retention allows to give up
///
/// With --dry-run it only says which that would be and why; limits that are named then stand in for the space's own.
#[derive(Debug, ClapArgs)]
pub(crate) struct SpacePrune {
    /// The space
    pub(crate) name: SpaceName,
    /// Only say what would be pruned
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) after: After,
}

/// How long old content is kept.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(crate) struct Limits {
    /// Keep so many newest versions of each file, the current one included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_versions: Option<u32>,
    /// Keep old versions and the trash for so many days after they were replaced or deleted
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u32>,
}

impl Limits {
    /// As the API wants it: absent when no limit is named.
    pub(crate) fn retention(self) -> Option<Retention> {
        let Self { keep_versions, keep_days } = self;
        (keep_versions.is_some() || keep_days.is_some()).then_some(Retention { keep_versions, keep_days })
    }
}
