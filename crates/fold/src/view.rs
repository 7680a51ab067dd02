//! The state that a batch of events touches.

mod change;
mod look_up;

use std::collections::{BTreeMap, HashSet};

use proto::{BlobId, EventId, FileId, FolderId, NodeId, Segment, SpaceId, SpaceName, VersionId};

use crate::Key;
use crate::changes::{Bulk, Changes};
use crate::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, PlacementRow, ReceiptRow, ReplicaRow, SpaceRow, VersionRow,
};
use crate::table::Table;

/// The rows loaded so far, with the changes made to them.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Spaces by id. Load a space by its name with [`View::load_space_name`].
    pub spaces: Table<SpaceId, SpaceRow>,
    /// Folders by id, roots included.
    pub folders: Table<FolderId, FolderRow>,
    /// The current names in folders; load only these.
    pub names: Table<(FolderId, Segment), NameRow>,
    /// Files by id.
    pub files: Table<FileId, FileRow>,
    /// Versions by id.
    pub versions: Table<VersionId, VersionRow>,
    /// Blobs by id.
    pub blobs: Table<BlobId, BlobRow>,
    /// Blobs on nodes.
    pub replicas: Table<(BlobId, NodeId), ReplicaRow>,
    /// Receipts by event id.
    pub receipts: Table<EventId, ReceiptRow>,
    space_names: Table<SpaceName, SpaceId>,
    nodes: Option<BTreeMap<NodeId, NodeRow>>,
    changed_nodes: Vec<NodeId>,
    placement: PlacementRow,
    is_placement_changed: bool,
    /// Names closed since the last save, in the order of the journal.
    closed_names: Vec<NameRow>,
    /// Folders made since the view began: a name in them that is not in memory does not exist.
    fresh_folders: HashSet<FolderId>,
    events: Vec<EventRow>,
    bulk: Vec<Bulk>,
}

impl View {
    /// Takes all nodes of the catalog and how blobs are placed on them, which every fold needs ([`Key::Nodes`]).
    pub fn load_nodes(&mut self, rows: impl IntoIterator<Item = NodeRow>, placement: PlacementRow) {
        if self.nodes.is_none() {
            self.nodes = Some(rows.into_iter().map(|row| (row.node.clone(), row)).collect());
            self.placement = placement;
        }
    }

    /// Takes the space that has this name now, or that there is none.
    pub fn load_space_name(&mut self, name: SpaceName, row: Option<SpaceRow>) {
        self.space_names.load(name, row.as_ref().map(|row| row.space_id));
        if let Some(row) = row {
            self.spaces.load(row.space_id, Some(row));
        }
    }

    /// Which of the keys the view does not know yet, each once.
    pub fn unknown(&self, keys: impl IntoIterator<Item = Key>) -> Vec<Key> {
        let mut unknown: Vec<Key> = keys.into_iter().filter(|key| !self.knows(key)).collect();
        unknown.sort();
        unknown.dedup();
        unknown
    }

    /// How many rows it holds, those counted that are known not to be there.
    pub fn len(&self) -> usize {
        self.spaces.len()
            + self.folders.len()
            + self.names.len()
            + self.files.len()
            + self.versions.len()
            + self.blobs.len()
            + self.replicas.len()
            + self.receipts.len()
    }

    /// Whether nothing was loaded or made yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes since the last call, to be saved; the view itself stays current.
    pub fn take_changes(&mut self) -> Changes {
        let changed_nodes = std::mem::take(&mut self.changed_nodes);
        let nodes = self.nodes.as_ref();
        Changes {
            spaces: self.spaces.take_changed(),
            folders: self.folders.take_changed(),
            closed_names: std::mem::take(&mut self.closed_names),
            names: self.names.take_changed(),
            files: self.files.take_changed(),
            versions: self.versions.take_changed(),
            blobs: self.blobs.take_changed(),
            nodes: changed_nodes.iter().filter_map(|node| nodes?.get(node).cloned()).collect(),
            placement: std::mem::take(&mut self.is_placement_changed).then(|| self.placement.clone()),
            replicas: self.replicas.take_changed(),
            receipts: self.receipts.take_changed(),
            events: std::mem::take(&mut self.events),
            bulk: std::mem::take(&mut self.bulk),
        }
    }

    fn knows(&self, key: &Key) -> bool {
        match key {
            Key::Nodes => self.nodes.is_some(),
            Key::Space(id) => self.spaces.knows(id),
            Key::SpaceName(name) => self.space_names.knows(name),
            Key::Path { space_id, path } => self.unknown_part(*space_id, path).is_none(),
            Key::Child { parent, name } => {
                self.fresh_folders.contains(parent) || self.names.knows(&(*parent, name.clone()))
            }
            Key::Folder(id) => self.folders.knows(id),
            Key::File(id) => self.files.knows(id),
            Key::Version(id) => self.versions.knows(id),
            Key::Blob(id) => self.blobs.knows(id),
            Key::Replica { blob, node } => self.replicas.knows(&(*blob, node.clone())),
            Key::Receipt(id) => self.receipts.knows(id),
        }
    }
}
