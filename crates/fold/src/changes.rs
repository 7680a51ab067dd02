//! What a batch of events changed.

use proto::NodeId;

use crate::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, ReceiptRow, ReplicaRow, SpaceRow, VersionRow,
};

/// The rows to insert or to update. Saved in one transaction with the checkpoint; saving is by key, so a second run is
/// harmless.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Inserted or updated by space id.
    pub spaces: Vec<SpaceRow>,
    /// Inserted.
    pub folders: Vec<FolderRow>,
    /// Inserted or updated by parent, name and `from_seq`; all current.
    pub names: Vec<NameRow>,
    /// Inserted or updated by file id.
    pub files: Vec<FileRow>,
    /// Inserted.
    pub versions: Vec<VersionRow>,
    /// Inserted or updated by blob id.
    pub blobs: Vec<BlobRow>,
    /// Inserted or updated by node.
    pub nodes: Vec<NodeRow>,
    /// Inserted or updated by blob id and node.
    pub replicas: Vec<ReplicaRow>,
    /// Inserted.
    pub receipts: Vec<ReceiptRow>,
    /// Inserted, each with its links to the blobs it names.
    pub events: Vec<EventRow>,
    /// Run after all rows above are saved, in order.
    pub backfills: Vec<Backfill>,
}

/// A change of so many rows that only the catalog can make it: every blob that has no row for `node` gets one, pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// The node that joined.
    pub node: NodeId,
    /// Sequence of its NodeJoined.
    pub seq: u64,
}
