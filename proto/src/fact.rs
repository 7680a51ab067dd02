//! The facts that events state.
//!
//! A new kind is added here, in [`Kind`], with a fixture in `proto/testdata`, and then wherever the compiler says that a
//! match is no longer exhaustive.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{BlobId, MarkerId, NodeId, Path, Sha256Digest, SpaceId, SpaceName, VersionId};

/// Blobs of this size and more are large: copied in their own lane, by parallel ranges.
pub const LARGE_BLOB_BYTES: u64 = 64 * 1024 * 1024;

/// Length of a slice, the unit in which content is checked before it is passed on. Blobs longer than this have
/// `SliceDigests` beside them.
pub const SLICE_BYTES: u64 = 8 * 1024 * 1024;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A node became part of the cluster.
    NodeJoined(NodeJoined),
    /// A space was created.
    SpaceCreated(SpaceCreated),
    /// New bytes were written to one node under a path.
    FileUploaded(FileUploaded),
    /// Blobs were copied to a node and verified there.
    ReplicaStored(ReplicaStored),
    /// A copy was given up for its own reason.
    ReplicationParked(ReplicationParked),
}

/// The kind of a [`Fact`]: its CloudEvents type and its subject in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `highwater.node.joined.v1`
    NodeJoined,
    /// `highwater.space.created.v1`
    SpaceCreated,
    /// `highwater.file.uploaded.v1`
    FileUploaded,
    /// `highwater.replica.stored.v1`
    ReplicaStored,
    /// `highwater.replication.parked.v1`
    ReplicationParked,
}

/// See [`Fact::NodeJoined`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeJoined {
    /// The node's name.
    pub node: NodeId,
    /// The marker that was written to its bucket.
    pub marker_id: MarkerId,
    /// Where it was reached then; for explanation only, configuration decides.
    pub endpoint: String,
    /// Its bucket then; for explanation only.
    pub bucket: String,
}

/// See [`Fact::SpaceCreated`]. The space's id is the event's first derived id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceCreated {
    /// The space's name.
    pub name: SpaceName,
}

/// What an upload asks for when its path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Make a new version of the file that is there.
    Overwrite,
    /// Reject.
    Fail,
    /// Leave the file that is there alone and make a conflicted copy.
    KeepBoth,
}

/// See [`Fact::FileUploaded`]. The version's id is `EventId::version_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUploaded {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Where the file shall be.
    pub path: Path,
    /// The new bytes.
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
    /// Applies only if this is the file's current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionId>,
    /// What to do when the path is taken.
    pub on_conflict: OnConflict,
}

/// See [`Fact::ReplicaStored`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaStored {
    /// The node that holds the copies.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
    /// The copies.
    pub replicas: Vec<StoredReplica>,
}

/// One copy of a [`ReplicaStored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredReplica {
    /// What was copied.
    pub blob_id: BlobId,
    /// Sequence number of the event that asked for the copy.
    pub cause: u64,
}

/// See [`Fact::ReplicationParked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicationParked {
    /// The node that lacks the copy.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
    /// What was not copied.
    pub blob_id: BlobId,
    /// Sequence number of the event that asked for the copy.
    pub cause: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::NodeJoined, Self::SpaceCreated, Self::FileUploaded, Self::ReplicaStored, Self::ReplicationParked];

    /// The CloudEvents type, `highwater.<noun>.<past participle>.v1`.
    pub const fn cloud_event_type(self) -> &'static str {
        match self {
            Self::NodeJoined => "highwater.node.joined.v1",
            Self::SpaceCreated => "highwater.space.created.v1",
            Self::FileUploaded => "highwater.file.uploaded.v1",
            Self::ReplicaStored => "highwater.replica.stored.v1",
            Self::ReplicationParked => "highwater.replication.parked.v1",
        }
    }

    /// The word in the journal's subject `hw.v1.<kind>`.
    pub const fn subject_token(self) -> &'static str {
        match self {
            Self::NodeJoined => "node_joined",
            Self::SpaceCreated => "space_created",
            Self::FileUploaded => "file_uploaded",
            Self::ReplicaStored => "replica_stored",
            Self::ReplicationParked => "replication_parked",
        }
    }

    /// The kind of a CloudEvents type; `None` for one that this program does not know.
    pub fn of_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.cloud_event_type() == text)
    }
}

// === impl Fact ===

impl Fact {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NodeJoined(_) => Kind::NodeJoined,
            Self::SpaceCreated(_) => Kind::SpaceCreated,
            Self::FileUploaded(_) => Kind::FileUploaded,
            Self::ReplicaStored(_) => Kind::ReplicaStored,
            Self::ReplicationParked(_) => Kind::ReplicationParked,
        }
    }

    /// The journal's subject: `hw.v1.<kind>`, with `.large` when the event asks for copies of a large blob.
    pub fn subject(&self) -> String {
        let large = match self {
            Self::FileUploaded(uploaded) => uploaded.is_large(),
            Self::NodeJoined(_) | Self::SpaceCreated(_) | Self::ReplicaStored(_) | Self::ReplicationParked(_) => false,
        };
        format!("hw.v1.{}{}", self.kind().subject_token(), if large { ".large" } else { "" })
    }

    /// The CloudEvents subject: `space/path` for files, else the name of what it is about.
    pub fn about(&self) -> String {
        match self {
            Self::NodeJoined(joined) => joined.node.to_string(),
            Self::SpaceCreated(created) => created.name.to_string(),
            Self::FileUploaded(uploaded) => format!("{}/{}", uploaded.space, uploaded.path),
            Self::ReplicaStored(stored) => stored.node.to_string(),
            Self::ReplicationParked(parked) => parked.node.to_string(),
        }
    }
}

// === impl FileUploaded ===

impl FileUploaded {
    /// Whether the blob is copied in the lane for large ones.
    pub const fn is_large(&self) -> bool {
        self.size_bytes >= LARGE_BLOB_BYTES
    }
}
