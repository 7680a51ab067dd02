//! Facts about what a space keeps.

use serde::{Deserialize, Serialize};

use crate::{FileId, FolderId, SpaceId, SpaceName, VersionId};

/// See [`Fact::RetentionSet`](crate::Fact::RetentionSet). Both absent: everything is kept. Takes the place of what was set
/// before; prunes nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSet {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// How many versions of each file are kept, the current one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
    /// How many days a version is kept after it stopped to be current, and a deleted file in the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
}

/// See [`Fact::VersionsPruned`](crate::Fact::VersionsPruned). The publisher splits long lists, so that each event stays
/// below 32 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionsPruned {
    /// The space that the files belong to; it may be deleted.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Sequence number up to which the catalog was folded when the list was made: a version of a file that was touched
    /// since is skipped.
    pub evaluated_at: u64,
    /// What shall go.
    pub versions: Vec<PrunedVersion>,
}

/// One version of a [`VersionsPruned`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrunedVersion {
    /// The version.
    pub version_id: VersionId,
    /// The file it belongs to.
    pub file_id: FileId,
    /// Which rule gave it up.
    pub because: PruneReason,
    /// What was deleted that makes it trash; present with [`PruneReason::Trash`]. The publisher names the nearest deleted
    /// one above the file: only that says whether the file came back since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<Trash>,
}

/// The rule that gives a version up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneReason {
    /// The file has more versions than are kept.
    Versions,
    /// It has not been current for longer than versions are kept.
    Age,
    /// It has been in the trash for longer than trash is kept.
    Trash,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trash {
    /// The file itself.
    File(FileId),
    /// A folder that the file is in, directly or deeper.
    Folder(FolderId),
    /// The whole space.
    Space(SpaceId),
}
