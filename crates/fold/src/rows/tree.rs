//! Spaces, folders, names, files, versions.

use proto::{Actor, BlobId, EventId, FileId, FolderId, Segment, SpaceId, SpaceName, VersionId};
use time::OffsetDateTime;

use super::Target;

/// A space. Its root folder has the same UUID, and a [`FolderRow`] made with the space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceRow {
    /// The space.
    pub space_id: SpaceId,
    /// Its name; unique among the spaces that are not deleted.
    pub name: SpaceName,
    /// Sequence that created it.
    pub created_seq: u64,
    /// Sequence that deleted it. Its name is free from there on, and what is in it stays as it is, unreachable.
    pub deleted_seq: Option<u64>,
    /// How many versions of each file are kept, the current one included; none for all.
    pub keep_versions: Option<u32>,
    /// How many days versions and trash are kept; none for ever.
    pub keep_days: Option<u32>,
}

/// A folder. Where it is stands in its current [`NameRow`]; a space's root has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRow {
    /// The folder.
    pub folder_id: FolderId,
    /// The space it belongs to.
    pub space_id: SpaceId,
    /// Sequence that created it.
    pub created_seq: u64,
    /// Sequence that deleted it, while it is deleted. What is in it stays under it, so that it comes back with it.
    pub deleted_seq: Option<u64>,
    /// How many current names are in it: files and folders directly below it.
    pub entries: u64,
}

/// A name in a folder, from one sequence to another: `[from_seq, to_seq)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow {
    /// The folder that the name is in.
    pub parent: FolderId,
    /// The name.
    pub name: Segment,
    /// Sequence since which it stands for the target.
    pub from_seq: u64,
    /// Sequence since which it does not any more; none while it is current.
    pub to_seq: Option<u64>,
    /// What it stands for.
    pub target: Target,
}

/// A file: an identity that survives moves and the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// The file.
    pub file_id: FileId,
    /// The space it belongs to.
    pub space_id: SpaceId,
    /// Its newest version: a tombstone while it is deleted.
    pub version_id: VersionId,
    /// Sequence that created it.
    pub created_seq: u64,
    /// Sequence that touched it last: uploaded, copied onto, restored, moved, deleted, undeleted or replaced it.
    pub changed_seq: u64,
    /// Sequence that deleted it, while it is deleted.
    pub deleted_seq: Option<u64>,
}

/// How a version came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionKind {
    /// Its bytes were sent, or named again by an instant upload.
    Upload,
    /// A version of this or another file was copied here.
    Copy,
    /// An earlier version of the file was made its newest.
    Restore,
    /// The file came back from the trash.
    Undelete,
    /// The file was deleted or replaced; there is no content.
    Tombstone,
}

/// One version of a file. Changed only once: when it is pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The version.
    pub version_id: VersionId,
    /// The file it belongs to.
    pub file_id: FileId,
    /// How it came to be.
    pub kind: VersionKind,
    /// Its content; none in a tombstone.
    pub blob_id: Option<BlobId>,
    /// The version that it takes its content from; in a tombstone the one that was current before. None in an upload.
    pub source_version: Option<VersionId>,
    /// Sequence that made it.
    pub seq: u64,
    /// The event at that sequence.
    pub event_id: EventId,
    /// Media type; empty when unknown.
    pub content_type: String,
    /// When the client last modified the content.
    pub modified_at: Option<OffsetDateTime>,
    /// Time of the event.
    pub created_at: OffsetDateTime,
    /// Who made it.
    pub actor: Actor,
    /// Sequence that gave it up. It stays, to tell the history, but does not hold its blob any more.
    pub pruned_seq: Option<u64>,
}

impl SpaceRow {
    /// A new space, which keeps everything.
    pub(crate) const fn new(space_id: SpaceId, name: SpaceName, seq: u64) -> Self {
        Self { space_id, name, created_seq: seq, deleted_seq: None, keep_versions: None, keep_days: None }
    }
}

impl FolderRow {
    /// A new folder, empty.
    pub(crate) const fn new(folder_id: FolderId, space_id: SpaceId, seq: u64) -> Self {
        Self { folder_id, space_id, created_seq: seq, deleted_seq: None, entries: 0 }
    }
}
