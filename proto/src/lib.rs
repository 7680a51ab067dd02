//! The contract of Highwater: protobuf services, event types and ids.
//!
//! Everything that two programs must agree on stands here, and nothing else: the gRPC messages (generated into
//! [`v1`] and [`file_storage`]), the events of the journal ([`Event`], [`Fact`]), how they are written as CloudEvents
//! ([`Event::encode`], [`Event::decode`]), slices of the journal as files ([`SliceWriter`]), and the parsed words both use (ids, [`Path`], [`Sequence`]).
//!
//! This crate imports nothing of ours and does no I/O.

mod digest;
mod event;
mod fact;
mod fingerprint;
mod ids;
mod names;
mod path;
mod placement;
mod recorded;
mod sequence;
mod slice;
mod wire;

pub use digest::{Sha256Digest, SliceDigests};
pub use event::{DecodeError, Event, RULES, SPEC_VERSION};
pub use fact::{
    BlobCondemned, BlobErased, BlobErasureOrdered, ErasedBlob, Fact, FileCopied, FileDeleted, FileMoved, FileUndeleted,
    FileUploaded, FolderCreated, FolderDeleted, Item, JournalRestored, Kind, LARGE_BLOB_BYTES, NodeJoined, NodeRetired,
    NodeWiped, OnConflict, Orphan, PlacementChanged, PruneReason, PrunedVersion, ReplicaLost, ReplicaStored,
    ReplicationParked, ReplicationRedriven, RetentionSet, SLICE_BYTES, SpaceCreated, SpaceDeleted, SpaceRenamed,
    StoredReplica, Trash, VersionRestored, VersionsPruned, WantedCopy,
};
pub use fingerprint::Fingerprint;
pub use ids::{BlobId, ClusterId, EventId, FileId, FolderId, Incarnation, MarkerId, SpaceId, VersionId};
pub use names::{Actor, MAIN_SPACE, NodeId, RequestId, SpaceName, Zone};
pub use path::{MAX_PATH_BYTES, MAX_SEGMENT_BYTES, Path, Segment};
pub use placement::{Layout, MAX_WEIGHT, NodeRule, Placement, Weight};
pub use recorded::Recorded;
pub use sequence::Sequence;
pub use slice::{BadSlice, SliceReader, SliceWriter};
pub use wire::{file_storage, v1};

/// The services' descriptors, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A word from outside that does not have its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct Invalid {
    /// What was parsed, such as `path`.
    pub what: &'static str,
    /// What is wrong with it, as the end of a sentence.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, problem: impl Into<String>) -> Self {
        Self { what, problem: problem.into() }
    }
}
