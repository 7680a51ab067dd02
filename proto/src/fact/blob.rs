//! Facts about the end of blobs. Erasing takes two steps: condemned is a proposal, which the fold accepts only when
//! nothing names the blob; only then is the erasure ordered and done, node by node.

use serde::{Deserialize, Serialize};

use crate::{BlobId, MarkerId, NodeId, Sha256Digest, SpaceId};

/// See [`Fact::BlobCondemned`](crate::Fact::BlobCondemned). The publisher splits long lists, so that each event stays below
/// 32 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobCondemned {
    /// Blobs that nothing names, as far as the publisher knows.
    pub blob_ids: Vec<BlobId>,
    /// Objects found on nodes that no event names at all: known from here on, and condemned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
}

/// An object that no event names, in a [`BlobCondemned`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orphan {
    /// The blob that its key names.
    pub blob_id: BlobId,
    /// Its size.
    pub size_bytes: u64,
    /// The digest of what was read.
    pub sha256: Sha256Digest,
    /// The space that it says it was uploaded to.
    pub space_id: SpaceId,
    /// Where it was found.
    pub node: NodeId,
}

/// See [`Fact::BlobErasureOrdered`](crate::Fact::BlobErasureOrdered). Published only for blobs that the fold has condemned:
/// the replicators obey it without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobErasureOrdered {
    /// Condemned blobs.
    pub blob_ids: Vec<BlobId>,
}

/// See [`Fact::BlobErased`](crate::Fact::BlobErased).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobErased {
    /// The node that holds them no more.
    pub node: NodeId,
    /// Its marker at the time.
    pub marker_id: MarkerId,
    /// What was erased.
    pub blobs: Vec<ErasedBlob>,
}

/// One blob of a [`BlobErased`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedBlob {
    /// The blob.
    pub blob_id: BlobId,
    /// Sequence number of the event that ordered its erasure.
    pub cause: u64,
}
