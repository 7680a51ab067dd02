//! Facts about nodes, and about blobs on them.

use serde::{Deserialize, Serialize};

use crate::{BlobId, MarkerId, NodeId};

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
