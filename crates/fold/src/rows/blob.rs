//! Blobs, nodes, and blobs on nodes.

use proto::{BlobId, MarkerId, NodeId, Placement, Sha256Digest, SpaceId};
use time::OffsetDateTime;

/// How far a blob is on the way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobState {
    /// Versions may name it.
    Live,
    /// Nothing names it, and nothing can any more.
    Condemned,
    /// The nodes were told to erase it.
    Erasing,
    /// No node holds it.
    Erased,
}

/// Immutable bytes. Registered for every blob that any event brings, whatever became of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// The blob.
    pub blob_id: BlobId,
    /// The space that it was uploaded to, or where the upload was recovered: only there an instant upload can name it.
    pub space_id: SpaceId,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The digest of its list of slice digests, when it is longer than one slice.
    pub slices_sha256: Option<Sha256Digest>,
    /// Length of each slice but the last, when there are several.
    pub slice_bytes: Option<u64>,
    /// The node that took the first copy.
    pub origin_node: NodeId,
    /// Sequence of the event that named it first.
    pub first_seq: u64,
    /// Time of that event.
    pub created_at: OffsetDateTime,
    /// How many versions that are not pruned have it as their content.
    pub refs: u64,
    /// How far it is on the way to its end.
    pub state: BlobState,
    /// Sequence that made it so.
    pub state_seq: u64,
    /// Time of the event since which no version names it; none while one does.
    pub unreferenced_at: Option<OffsetDateTime>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// The marker that is on its disk now.
    pub marker_id: MarkerId,
    /// Sequence of its NodeJoined.
    pub joined_seq: u64,
    /// Sequence of the event that gave it its marker: its NodeJoined, or its last NodeWiped.
    pub marker_seq: u64,
}

/// How blobs are placed. There is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementRow {
    /// Sequence of the PlacementChanged that said so.
    pub seq: u64,
    /// What it said; at first, every blob is on every node.
    pub placement: Placement,
}

/// The state of a blob on a node. A pair without a row is not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    /// It shall be there and is not yet.
    Pending,
    /// It is there, verified.
    Stored,
    /// Copying it was given up; a person or a redrive goes on.
    Parked,
    /// It was there and is not any more.
    Lost,
    /// It shall be erased and is not yet; with a reason when that was given up.
    Erasing,
    /// It was erased.
    Erased,
}

/// A blob on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// The blob.
    pub blob_id: BlobId,
    /// The node.
    pub node: NodeId,
    /// In which state the pair is.
    pub state: ReplicaState,
    /// Sequence of the event that made it so.
    pub seq: u64,
    /// Sequence of the pair's latest loss, wipe or ordered erasure: reports of what an earlier event asked for are
    /// ignored.
    pub fence_seq: u64,
    /// Failed attempts, when given up.
    pub attempts: u32,
    /// Why, when given up or lost.
    pub reason: Option<String>,
}
