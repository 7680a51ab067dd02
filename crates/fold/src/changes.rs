//! What a batch of events changed.

use proto::NodeId;

use crate::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, PlacementRow, ReceiptRow, ReplicaRow, SpaceRow, VersionRow,
};

/// The rows to insert or to update. Saved in one transaction with the checkpoint; saving is by key, so a second run is
/// harmless. Each list holds a key once, with its last state. The order of the lists matters in two places only:
/// `closed_names` before `names`, and `bulk` last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Inserted or updated by space id. In any order: no name goes from one space to another within a batch, since
    /// `ends_batch` ends it after a rename and a deletion.
    pub spaces: Vec<SpaceRow>,
    /// Inserted or updated by folder id.
    pub folders: Vec<FolderRow>,
    /// Inserted or updated by parent, name and `from_seq`; all with a `to_seq`. Saved before `names`: the same name may
    /// have been opened again. One that was opened in this same batch is not in the catalog yet.
    pub closed_names: Vec<NameRow>,
    /// Inserted or updated by parent, name and `from_seq`; all current, each parent and name once.
    pub names: Vec<NameRow>,
    /// Inserted or updated by file id.
    pub files: Vec<FileRow>,
    /// Inserted or updated by version id; of one that is in the catalog, only `pruned_seq` is another.
    pub versions: Vec<VersionRow>,
    /// Inserted or updated by blob id.
    pub blobs: Vec<BlobRow>,
    /// Inserted or updated by node.
    pub nodes: Vec<NodeRow>,
    /// Takes the place of the one that is there.
    pub placement: Option<PlacementRow>,
    /// Inserted or updated by blob id and node.
    pub replicas: Vec<ReplicaRow>,
    /// Inserted.
    pub receipts: Vec<ReceiptRow>,
    /// Inserted, each with its links to the blobs it names.
    pub events: Vec<EventRow>,
    /// Run after all rows above are saved, in order.
    pub bulk: Vec<Bulk>,
}

/// A change of so many rows that only the catalog can make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bulk {
    /// Every live blob that has no row for `node` gets one, pending.
    Join {
        /// The node that joined.
        node: NodeId,
        /// Sequence of its NodeJoined.
        seq: u64,
    },
    /// Every blob that is, was or shall be on `node` is pending there, and reports of copies that were asked for before
    /// `seq` do not count. What was to be erased from it went with the disk, and is erased; a blob that only it had to erase
    /// is, too.
    Wipe {
        /// The node whose disk is another one.
        node: NodeId,
        /// Sequence of its NodeWiped.
        seq: u64,
    },
    /// The node and its pairs with all blobs are deleted; a blob that it was the last one to erase is erased.
    Retire {
        /// The node.
        node: NodeId,
        /// Sequence of its NodeRetired.
        seq: u64,
    },
}
