//! The facts that events state.
//!
//! A new kind is added to the list here, with its data in the module of its noun and a fixture in `proto/testdata`, and
//! then wherever the compiler says that a match is no longer exhaustive.

mod blob;
mod file;
mod folder;
mod journal;
mod node;
mod retention;
mod space;

pub use blob::{BlobCondemned, BlobErased, BlobErasureOrdered, ErasedBlob, Orphan};
pub use file::{
    FileCopied, FileDeleted, FileMoved, FileUndeleted, FileUploaded, Item, LARGE_BLOB_BYTES, OnConflict, SLICE_BYTES,
    VersionRestored,
};
pub use folder::{FolderCreated, FolderDeleted};
pub use journal::JournalRestored;
pub use node::{
    NodeJoined, NodeRetired, NodeWiped, PlacementChanged, ReplicaLost, ReplicaStored, ReplicationParked,
    ReplicationRedriven, StoredReplica, WantedCopy,
};
pub use retention::{PruneReason, PrunedVersion, RetentionSet, Trash, VersionsPruned};
use serde_json::value::RawValue;
pub use space::{SpaceCreated, SpaceDeleted, SpaceRenamed};

use crate::{Path, SpaceId};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $event_type:literal, $token:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Fact {
            $($(#[$doc])* $name($name),)*
        }

        /// The kind of a [`Fact`]: its CloudEvents type and its subject in the journal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $event_type, "`")] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$($token),*].len()] = [$(Self::$name),*];

            /// The CloudEvents type, `highwater.<noun>.<past participle>.v1`.
            pub const fn cloud_event_type(self) -> &'static str {
                match self {
                    $(Self::$name => $event_type,)*
                }
            }

            /// The word in the journal's subject `hw.v1.<kind>`.
            pub const fn subject_token(self) -> &'static str {
                match self {
                    $(Self::$name => $token,)*
                }
            }
        }

        impl Fact {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$name(_) => Kind::$name,)*
                }
            }

            /// The event's `data`.
            pub(crate) fn to_raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
                match self {
                    $(Self::$name(data) => serde_json::value::to_raw_value(data),)*
                }
            }

            /// Reads an event's `data`.
            pub(crate) fn from_raw(kind: Kind, data: &RawValue) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$name => Self::$name(serde_json::from_str(data.get())?),)*
                })
            }
        }
    };
}

facts! {
    /// A node became part of the cluster.
    NodeJoined = "highwater.node.joined.v1", "node_joined";
    /// A node's bucket was found without its marker: nothing of what it held counts any more.
    NodeWiped = "highwater.node.wiped.v1", "node_wiped";
    /// A node is no part of the cluster any more.
    NodeRetired = "highwater.node.retired.v1", "node_retired";
    /// It was said on how many nodes, and on which rather than others, blobs shall be.
    PlacementChanged = "highwater.placement.changed.v1", "placement_changed";
    /// A space was created.
    SpaceCreated = "highwater.space.created.v1", "space_created";
    /// A space got another name.
    SpaceRenamed = "highwater.space.renamed.v1", "space_renamed";
    /// A space was deleted, with what is in it.
    SpaceDeleted = "highwater.space.deleted.v1", "space_deleted";
    /// A folder was made by itself, not only as a parent of something.
    FolderCreated = "highwater.folder.created.v1", "folder_created";
    /// A folder was deleted, with what is in it.
    FolderDeleted = "highwater.folder.deleted.v1", "folder_deleted";
    /// New bytes were written to one node under a path, or bytes that the space has already were named again.
    FileUploaded = "highwater.file.uploaded.v1", "file_uploaded";
    /// A file was deleted.
    FileDeleted = "highwater.file.deleted.v1", "file_deleted";
    /// A deleted file or folder was taken out of the trash.
    FileUndeleted = "highwater.file.undeleted.v1", "file_undeleted";
    /// A file or folder got another path in the same space.
    FileMoved = "highwater.file.moved.v1", "file_moved";
    /// A version of a file was put at another path, without copying bytes.
    FileCopied = "highwater.file.copied.v1", "file_copied";
    /// An earlier version of a file became its newest, without copying bytes.
    VersionRestored = "highwater.version.restored.v1", "version_restored";
    /// It was said how long a space keeps what is not current.
    RetentionSet = "highwater.retention.set.v1", "retention_set";
    /// Versions that a space need not keep were given up.
    VersionsPruned = "highwater.versions.pruned.v1", "versions_pruned";
    /// Blobs were proposed for erasure.
    BlobCondemned = "highwater.blob.condemned.v1", "blob_condemned";
    /// The nodes were told to erase condemned blobs.
    BlobErasureOrdered = "highwater.erasure.ordered.v1", "blob_erasure_ordered";
    /// Blobs were erased from a node.
    BlobErased = "highwater.blob.erased.v1", "blob_erased";
    /// Blobs were copied to a node and verified there.
    ReplicaStored = "highwater.replica.stored.v1", "replica_stored";
    /// A copy, or an erasure, was given up for its own reason.
    ReplicationParked = "highwater.replication.parked.v1", "replication_parked";
    /// Copies were found missing or wrong on a node.
    ReplicaLost = "highwater.replica.lost.v1", "replica_lost";
    /// Copies were asked for again.
    ReplicationRedriven = "highwater.replication.redriven.v1", "replication_redriven";
    /// The journal was lost, in part or whole, and made again from what was left of it.
    JournalRestored = "highwater.journal.restored.v1", "journal_restored";
}

// === impl Kind ===

impl Kind {
    /// The kind of a CloudEvents type; `None` for one that this program does not know.
    pub fn of_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.cloud_event_type() == text)
    }
}

// === impl Fact ===

impl Fact {
    /// The journal's subject: `hw.v1.<kind>`, with `.large` when the event asks for copies of a large blob.
    pub fn subject(&self) -> String {
        let large = match self {
            Self::FileUploaded(uploaded) => uploaded.is_large(),
            Self::ReplicaLost(lost) => lost.replicas.iter().any(WantedCopy::is_large),
            Self::ReplicationRedriven(redriven) => redriven.replicas.iter().any(WantedCopy::is_large),
            _ => false,
        };
        format!("hw.v1.{}{}", self.kind().subject_token(), if large { ".large" } else { "" })
    }

    /// The number of the decision rules that the event needs, the lowest that will do: an older program halts at what it
    /// cannot decide, and at nothing else.
    pub const fn rules(&self) -> u32 {
        match self {
            Self::FileUploaded(uploaded) if uploaded.targets.is_some() => 2,
            _ => 1,
        }
    }

    /// The CloudEvents subject: `space/path` for files and folders (where a moved one was, where a copy shall be), else
    /// the name of what it is about.
    pub fn about(&self) -> String {
        match self {
            Self::NodeJoined(joined) => joined.node.to_string(),
            Self::PlacementChanged(_) => "placement".to_owned(),
            Self::SpaceCreated(created) => created.name.to_string(),
            Self::SpaceRenamed(renamed) => renamed.space.to_string(),
            Self::SpaceDeleted(deleted) => deleted.space.to_string(),
            Self::FolderCreated(created) => format!("{}/{}", created.space, created.path),
            Self::FolderDeleted(deleted) => format!("{}/{}", deleted.space, deleted.path),
            Self::FileUploaded(uploaded) => format!("{}/{}", uploaded.space, uploaded.path),
            Self::FileDeleted(deleted) => format!("{}/{}", deleted.space, deleted.path),
            Self::FileUndeleted(undeleted) => format!("{}/{}", undeleted.space, undeleted.path),
            Self::FileMoved(moved) => format!("{}/{}", moved.space, moved.from),
            Self::FileCopied(copied) => format!("{}/{}", copied.space, copied.to),
            Self::VersionRestored(restored) => format!("{}/{}", restored.space, restored.path),
            Self::RetentionSet(set) => set.space.to_string(),
            Self::VersionsPruned(pruned) => pruned.space.to_string(),
            Self::BlobCondemned(_) | Self::BlobErasureOrdered(_) => "blobs".to_owned(),
            Self::BlobErased(erased) => erased.node.to_string(),
            Self::ReplicaStored(stored) => stored.node.to_string(),
            Self::ReplicationParked(parked) => parked.node.to_string(),
            Self::NodeWiped(wiped) => wiped.node.to_string(),
            Self::NodeRetired(retired) => retired.node.to_string(),
            Self::ReplicaLost(lost) => lost.node.to_string(),
            Self::ReplicationRedriven(redriven) => redriven.node.to_string(),
            Self::JournalRestored(_) => "journal".to_owned(),
        }
    }

    /// The space that the publisher meant; none for what concerns no space, or one that does not exist yet.
    pub const fn space_id(&self) -> Option<SpaceId> {
        match self {
            Self::SpaceRenamed(renamed) => Some(renamed.space_id),
            Self::SpaceDeleted(deleted) => Some(deleted.space_id),
            Self::FolderCreated(created) => Some(created.space_id),
            Self::FolderDeleted(deleted) => Some(deleted.space_id),
            Self::FileUploaded(uploaded) => Some(uploaded.space_id),
            Self::FileDeleted(deleted) => Some(deleted.space_id),
            Self::FileUndeleted(undeleted) => Some(undeleted.space_id),
            Self::FileMoved(moved) => Some(moved.space_id),
            Self::FileCopied(copied) => Some(copied.space_id),
            Self::VersionRestored(restored) => Some(restored.space_id),
            Self::RetentionSet(set) => Some(set.space_id),
            Self::VersionsPruned(pruned) => Some(pruned.space_id),
            Self::NodeJoined(_)
            | Self::SpaceCreated(_)
            | Self::BlobCondemned(_)
            | Self::BlobErasureOrdered(_)
            | Self::BlobErased(_)
            | Self::ReplicaStored(_)
            | Self::ReplicationParked(_)
            | Self::NodeWiped(_)
            | Self::NodeRetired(_)
            | Self::PlacementChanged(_)
            | Self::ReplicaLost(_)
            | Self::ReplicationRedriven(_)
            | Self::JournalRestored(_) => None,
        }
    }

    /// The path that it is about: for moves and copies where to, for the rest the only one it names.
    pub const fn path(&self) -> Option<&Path> {
        match self {
            Self::FolderCreated(created) => Some(&created.path),
            Self::FolderDeleted(deleted) => Some(&deleted.path),
            Self::FileUploaded(uploaded) => Some(&uploaded.path),
            Self::FileDeleted(deleted) => Some(&deleted.path),
            Self::FileUndeleted(undeleted) => Some(&undeleted.path),
            Self::FileMoved(moved) => Some(&moved.to),
            Self::FileCopied(copied) => Some(&copied.to),
            Self::VersionRestored(restored) => Some(&restored.path),
            Self::NodeJoined(_)
            | Self::SpaceCreated(_)
            | Self::SpaceRenamed(_)
            | Self::SpaceDeleted(_)
            | Self::RetentionSet(_)
            | Self::VersionsPruned(_)
            | Self::BlobCondemned(_)
            | Self::BlobErasureOrdered(_)
            | Self::BlobErased(_)
            | Self::ReplicaStored(_)
            | Self::ReplicationParked(_)
            | Self::NodeWiped(_)
            | Self::NodeRetired(_)
            | Self::PlacementChanged(_)
            | Self::ReplicaLost(_)
            | Self::ReplicationRedriven(_)
            | Self::JournalRestored(_) => None,
        }
    }

    /// The path that a move or a copy starts from.
    pub const fn from_path(&self) -> Option<&Path> {
        match self {
            Self::FileMoved(moved) => Some(&moved.from),
            Self::FileCopied(copied) => Some(&copied.from),
            Self::NodeJoined(_)
            | Self::SpaceCreated(_)
            | Self::SpaceRenamed(_)
            | Self::SpaceDeleted(_)
            | Self::FolderCreated(_)
            | Self::FolderDeleted(_)
            | Self::FileUploaded(_)
            | Self::FileDeleted(_)
            | Self::FileUndeleted(_)
            | Self::VersionRestored(_)
            | Self::RetentionSet(_)
            | Self::VersionsPruned(_)
            | Self::BlobCondemned(_)
            | Self::BlobErasureOrdered(_)
            | Self::BlobErased(_)
            | Self::ReplicaStored(_)
            | Self::ReplicationParked(_)
            | Self::NodeWiped(_)
            | Self::NodeRetired(_)
            | Self::PlacementChanged(_)
            | Self::ReplicaLost(_)
            | Self::ReplicationRedriven(_)
            | Self::JournalRestored(_) => None,
        }
    }
}
