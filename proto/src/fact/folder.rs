//! Facts about folders alone; what a folder and a file have in common is in `file`.

use serde::{Deserialize, Serialize};

use crate::{EventId, FolderId, Path, SpaceId, SpaceName};

/// The derived ids of the folders that an event makes start here: one for each segment of its path.
const FIRST_FOLDER_ID: u32 = 16;

/// See [`Fact::FolderCreated`](crate::Fact::FolderCreated). Missing parents are made, as for an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderCreated {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the folder shall be.
    pub path: Path,
}

/// See [`Fact::FolderDeleted`](crate::Fact::FolderDeleted). What is in the folder stays under it, unreachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderDeleted {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the folder was.
    pub path: Path,
    /// The folder that the path named then; it is rejected when the path names another one by now.
    pub folder_id: FolderId,
    /// Applies even if there is something in it.
    pub recursive: bool,
}

impl EventId {
    /// The folder that an event with this id makes at a path's segment `depth`, from 0.
    pub fn folder_id(self, depth: u32) -> FolderId {
        FolderId::new(self.derive(FIRST_FOLDER_ID + depth))
    }
}
