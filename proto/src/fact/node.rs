//! Facts about nodes, and about blobs on them.

use serde::{Deserialize, Serialize};

use super::LARGE_BLOB_BYTES;
use crate::{BlobId, EventId, MarkerId, NodeId, Placement, Sha256Digest, SpaceId};

/// See [`Fact::NodeJoined`](crate::Fact::NodeJoined).
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

/// See [`Fact::ReplicaStored`](crate::Fact::ReplicaStored).
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

/// See [`Fact::ReplicationParked`](crate::Fact::ReplicationParked).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicationParked {
    /// The node that lacks the copy.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
    /// What was not copied, or not erased.
    pub blob_id: BlobId,
    /// Sequence number of the event that asked for it.
    pub cause: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
}

/// See [`Fact::NodeWiped`](crate::Fact::NodeWiped). Published before the new marker is written: a crash in between ends in
/// one more of these, never in a marker that the journal does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeWiped {
    /// The node whose bucket carried no marker.
    pub node: NodeId,
    /// The marker that it had.
    pub old_marker_id: MarkerId,
    /// The marker that it gets.
    pub marker_id: MarkerId,
}

/// See [`Fact::NodeRetired`](crate::Fact::NodeRetired).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRetired {
    /// The node that is no part of the cluster any more.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
}

/// See [`Fact::PlacementChanged`](crate::Fact::PlacementChanged). It moves nothing by itself: uploads follow it, and what
/// is on other nodes than it says is asked for where it should be ([`ReplicationRedriven`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlacementChanged {
    /// All of it: what was said before does not count any more.
    pub placement: Placement,
}

/// See [`Fact::ReplicaLost`](crate::Fact::ReplicaLost). The replicators of the node make the copies again, over what is
/// there. The publisher splits long lists, so that each event stays below 32 KiB, and never mixes large blobs
/// ([`WantedCopy::is_large`]) with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaLost {
    /// The node that does not hold what it should.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
    /// Sequence number up to which the publisher knew the catalog: a pair that has changed since is skipped.
    pub evaluated_at: u64,
    /// What is wrong there.
    pub reason: String,
    /// The copies to be made again.
    pub replicas: Vec<WantedCopy>,
}

/// See [`Fact::ReplicationRedriven`](crate::Fact::ReplicationRedriven). Split as [`ReplicaLost`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicationRedriven {
    /// The node that lacks the copies.
    pub node: NodeId,
    /// The copies to be made.
    pub replicas: Vec<WantedCopy>,
}

/// A copy that is asked for, with all that making it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedCopy {
    /// What is to be copied.
    pub blob_id: BlobId,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The digest of its `SliceDigests` object, when it is longer than one slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices_sha256: Option<Sha256Digest>,
    /// Length of each slice but the last; present with `slices_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_bytes: Option<u64>,
    /// The space that it was uploaded to.
    pub space_id: SpaceId,
    /// The event that brought it.
    pub event_id: EventId,
    /// A node that holds it, as far as the publisher knows; it is asked first.
    pub source: NodeId,
}

// === impl WantedCopy ===

impl WantedCopy {
    /// Whether it is copied in the lane of large blobs.
    pub const fn is_large(&self) -> bool {
        self.size_bytes >= LARGE_BLOB_BYTES
    }
}
