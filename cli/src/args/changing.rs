//! The commands that change what is there.

use clap::Args as ClapArgs;
use proto::{Actor, Sequence, VersionId};

use super::{After, Change, Conflict};

/// Make a folder, and those on the way to it
#[derive(Debug, ClapArgs)]
pub(crate) struct Mkdir {
    /// The folder in Highwater
    pub(crate) path: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Put a file or a folder into the trash
#[derive(Debug, ClapArgs)]
pub(crate) struct Rm {
    /// The file or folder in Highwater
    pub(crate) path: String,
    /// A folder that is not empty too, with all that is in it
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Only if this is the file's current version
    #[arg(long, value_name = "ID")]
    pub(crate) if_version: Option<VersionId>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Move or rename a file or a folder
///
/// Its versions go with it. mv a b names it b, and is rejected when there is a b; mv a b/ moves it into the folder b
/// under its own name. Missing folders on the way are made.
#[derive(Debug, ClapArgs)]
pub(crate) struct Mv {
    /// The file or folder in Highwater
    pub(crate) from: String,
    /// Its new path, or a FOLDER/
    pub(crate) to: String,
    /// What to do when the new path is taken [default: fail]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_conflict: Option<Conflict>,
    /// Only if this is the moved file's current version
    #[arg(long, value_name = "ID")]
    pub(crate) if_version: Option<VersionId>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Copy a file; no bytes are copied
///
/// cp a b makes the file b, and is rejected when there is a b; cp a b/ makes it in the folder b under its own name.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cp {
    /// The file in Highwater
    pub(crate) from: String,
    /// The path of the copy, or a FOLDER/
    pub(crate) to: String,
    /// Copy an older version instead of the current one
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<VersionId>,
    /// What to do when the path of the copy is taken [default: fail]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_conflict: Option<Conflict>,
    /// Only if this is the current version of the file at the path of the copy
    #[arg(long, value_name = "ID")]
    pub(crate) if_version: Option<VersionId>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Make an older version of a file the current one
///
/// This is a new version with the content of the older one; no bytes are copied.
#[derive(Debug, ClapArgs)]
pub(crate) struct Restore {
    /// The file in Highwater
    pub(crate) path: String,
    /// The older version's id, as shown by versions
    pub(crate) version: VersionId,
    /// Only if this is the file's current version
    #[arg(long, value_name = "ID")]
    pub(crate) if_version: Option<VersionId>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Undo the changes of somebody
///
/// Each change between the two sequences is undone by a change that does the opposite, the newest first, unless
/// something else came after it. Here --actor says whose changes they are, and --by who undoes them.
#[derive(Debug, ClapArgs)]
pub(crate) struct Undo {
    // The same id as the global --actor, whose place it takes: clap then shows this help and not the other.
    /// Whose changes to undo
    #[arg(id = "actor", long = "actor", visible_alias = "of", value_name = "NAME", required = true)]
    pub(crate) of_actor: Option<Actor>,
    /// Who undoes them; recorded in the events
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<Actor>,
    /// The first sequence to look at
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) from: Sequence,
    /// The last sequence to look at
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) to: Sequence,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) after: After,
}
