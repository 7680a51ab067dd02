//! Facts about files, and about what files and folders have in common. Each names the file or folder that the gateway
//! resolved besides the path: when the path names something else by the time the fold decides, it is rejected.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{BlobId, EventId, FileId, FolderId, MarkerId, NodeId, Path, Sha256Digest, SpaceId, SpaceName, VersionId};

/// Blobs of this size and more are large: copied in a lane of their own.
pub const LARGE_BLOB_BYTES: u64 = 64 * 1024 * 1024;

/// Length of a slice, the unit in which content is checked before it is passed on. Blobs longer than this have
/// `SliceDigests` beside them.
pub const SLICE_BYTES: u64 = 8 * 1024 * 1024;

/// What a change asks for when the path where something shall be is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Uploads and copies make a new version of the file that is there; a moved or undeleted file replaces it.
    Overwrite,
    /// Reject.
    Fail,
    /// Leave the file that is there alone and make a conflicted copy.
    KeepBoth,
}

/// A file or a folder, with everything in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A file.
    File(FileId),
    /// A folder.
    Folder(FolderId),
}

/// See [`Fact::FileUploaded`](crate::Fact::FileUploaded). The version's id is `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUploaded {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the file shall be.
    pub path: Path,
    /// The bytes.
    pub blob_id: BlobId,
    /// Their number.
    pub size_bytes: u64,
    /// Their digest.
    pub sha256: Sha256Digest,
    /// The digest of the `SliceDigests` object; present when the blob is longer than one slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices_sha256: Option<Sha256Digest>,
    /// Length of each slice but the last; present with `slices_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_bytes: Option<u64>,
    /// Media type; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// When the client last modified the content.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<OffsetDateTime>,
    /// The node that took the first copy.
    pub node: NodeId,
    /// That node's marker at the time.
    pub marker_id: MarkerId,
    /// The nodes that shall hold it, as the gateway worked out from the placement; none: every node of the cluster. Its
    /// first copy may be on another one, when these did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<NodeId>>,
    /// Applies only if this is the file's current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
    /// What to do when the path is taken.
    pub on_conflict: OnConflict,
    /// No bytes were sent: the space has this blob already. `node` and `marker_id` are those of its first copy, and say
    /// nothing new. Rejected when the blob is not the space's or is not live any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instant: bool,
}

/// See [`Fact::FileDeleted`](crate::Fact::FileDeleted). The tombstone's id is `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDeleted {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the file was.
    pub path: Path,
    /// The file that the path named then.
    pub file_id: FileId,
    /// Applies only if this is the file's current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
}

/// See [`Fact::FileUndeleted`](crate::Fact::FileUndeleted). A file's new version has the id `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUndeleted {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where it shall be.
    pub path: Path,
    /// What was deleted.
    pub item: Item,
    /// Which version of a file comes back: the newest that has content and is not pruned. None for a folder; when it is
    /// none for a file, the one that was deleted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<VersionId>,
    /// What to do when the path is taken.
    pub on_conflict: OnConflict,
}

/// See [`Fact::FileMoved`](crate::Fact::FileMoved). Ids and versions stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMoved {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where it was.
    pub from: Path,
    /// Where it shall be.
    pub to: Path,
    /// What `from` named then.
    pub item: Item,
    /// Applies only if this is the moved file's current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
    /// What to do when `to` is taken.
    pub on_conflict: OnConflict,
}

/// See [`Fact::FileCopied`](crate::Fact::FileCopied). The new version's id is `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCopied {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the source is.
    pub from: Path,
    /// Where the copy shall be.
    pub to: Path,
    /// The file that `from` named then.
    pub file_id: FileId,
    /// Which version of it is copied.
    pub version_id: VersionId,
    /// Applies only if this is the current version of the file at `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
    /// What to do when `to` is taken.
    pub on_conflict: OnConflict,
}

/// See [`Fact::VersionRestored`](crate::Fact::VersionRestored). The new version's id is `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRestored {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the file is.
    pub path: Path,
    /// The file that the path named then.
    pub file_id: FileId,
    /// The version whose content the new one gets.
    pub version_id: VersionId,
    /// Applies only if this is the file's current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
}

// === impl OnConflict ===

impl OnConflict {
    /// The word in events and fingerprints.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Fail => "fail",
            Self::KeepBoth => "keep_both",
        }
    }
}

// === impl FileUploaded ===

impl FileUploaded {
    /// Whether the blob is copied in the lane for large ones. Of an instant upload nothing is copied.
    pub const fn is_large(&self) -> bool {
        !self.instant && self.size_bytes >= LARGE_BLOB_BYTES
    }
}

// === impl EventId ===

impl EventId {
    /// The file that an upload or a copy with this id makes, if it makes one.
    pub fn file_id(self) -> FileId {
        FileId::new(self.derive(0))
    }

    /// The version that an upload, delete, undelete, copy or restore with this id makes.
    pub fn version_id(self) -> VersionId {
        VersionId::new(self.derive(1))
    }

    /// The tombstone of the file that was replaced by what this event moved or undeleted.
    pub fn replaced_version_id(self) -> VersionId {
        VersionId::new(self.derive(3))
    }
}
