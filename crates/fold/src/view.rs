//! The state that a batch of events touches.

use std::collections::{BTreeMap, HashSet};

use proto::{BlobId, EventId, FileId, FolderId, NodeId, Segment, SpaceId, SpaceName};

use crate::changes::{Backfill, Changes};
use crate::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, ReceiptRow, ReplicaRow, SpaceRow, VersionRow,
};
use crate::table::Table;
use crate::{Key, Missing};

/// The rows loaded so far, with the changes made to them.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Spaces by id. Load a space by its name with [`View::load_space_name`].
    pub spaces: Table<SpaceId, SpaceRow>,
    /// The current names in folders.
    pub names: Table<(FolderId, Segment), NameRow>,
    /// Files by id.
    pub files: Table<FileId, FileRow>,
    /// Blobs by id.
    pub blobs: Table<BlobId, BlobRow>,
    /// Blobs on nodes.
    pub replicas: Table<(BlobId, NodeId), ReplicaRow>,
    /// Receipts by event id.
    pub receipts: Table<EventId, ReceiptRow>,
    space_names: Table<SpaceName, SpaceId>,
    nodes: Option<BTreeMap<NodeId, NodeRow>>,
    changed_nodes: Vec<NodeId>,
    folders: Vec<FolderRow>,
    /// Folders made since the view began: a name in them that is not in memory does not exist.
    fresh_folders: HashSet<FolderId>,
    versions: Vec<VersionRow>,
    events: Vec<EventRow>,
    backfills: Vec<Backfill>,
}

impl View {
    /// Takes all nodes of the catalog, which every fold needs ([`Key::Nodes`]).
    pub fn load_nodes(&mut self, rows: impl IntoIterator<Item = NodeRow>) {
        self.nodes.get_or_insert_with(|| rows.into_iter().map(|row| (row.node.clone(), row)).collect());
    }

    /// Takes the space of this name, or that there is none.
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

    /// The changes since the last call, to be saved; the view itself stays current.
    pub fn take_changes(&mut self) -> Changes {
        let changed_nodes = std::mem::take(&mut self.changed_nodes);
        let nodes = self.nodes.as_ref();
        Changes {
            spaces: self.spaces.take_changed(),
            folders: std::mem::take(&mut self.folders),
            names: self.names.take_changed(),
            files: self.files.take_changed(),
            versions: std::mem::take(&mut self.versions),
            blobs: self.blobs.take_changed(),
            nodes: changed_nodes.iter().filter_map(|node| nodes?.get(node).cloned()).collect(),
            replicas: self.replicas.take_changed(),
            receipts: self.receipts.take_changed(),
            events: std::mem::take(&mut self.events),
            backfills: std::mem::take(&mut self.backfills),
        }
    }

    fn knows(&self, key: &Key) -> bool {
        match key {
            Key::Nodes => self.nodes.is_some(),
            Key::Space(id) => self.spaces.knows(id),
            Key::SpaceName(name) => self.space_names.knows(name),
            // Only a first guess: what of the path is really missing shows when the event is applied.
            Key::Path { space_id, path } => {
                path.segments().next().is_some_and(|top| self.names.knows(&(space_id.root(), top)))
            }
            Key::Child { parent, name } => self.names.knows(&(*parent, name.clone())),
            Key::File(id) => self.files.knows(id),
            Key::Blob(id) => self.blobs.knows(id),
            Key::Replica { blob, node } => self.replicas.knows(&(*blob, node.clone())),
            Key::Receipt(id) => self.receipts.knows(id),
        }
    }

    // Look-ups: what is not known is named in the error.

    pub(crate) fn nodes(&self) -> Result<&BTreeMap<NodeId, NodeRow>, Missing> {
        self.nodes.as_ref().ok_or_else(|| Missing(vec![Key::Nodes]))
    }

    pub(crate) fn space(&self, id: SpaceId) -> Result<Option<&SpaceRow>, Missing> {
        self.spaces.get(&id).map_err(|_| Missing(vec![Key::Space(id)]))
    }

    pub(crate) fn space_named(&self, name: &SpaceName) -> Result<Option<SpaceId>, Missing> {
        let known = self.space_names.get(name).map_err(|_| Missing(vec![Key::SpaceName(name.clone())]))?;
        Ok(known.copied())
    }

    pub(crate) fn child(&self, parent: FolderId, name: &Segment) -> Result<Option<&NameRow>, Missing> {
        match self.names.get(&(parent, name.clone())) {
            Ok(known) => Ok(known),
            Err(_) if self.fresh_folders.contains(&parent) => Ok(None),
            Err(_) => Err(Missing(vec![Key::Child { parent, name: name.clone() }])),
        }
    }

    pub(crate) fn file(&self, id: FileId) -> Result<Option<&FileRow>, Missing> {
        self.files.get(&id).map_err(|_| Missing(vec![Key::File(id)]))
    }

    pub(crate) fn blob(&self, id: BlobId) -> Result<Option<&BlobRow>, Missing> {
        self.blobs.get(&id).map_err(|_| Missing(vec![Key::Blob(id)]))
    }

    pub(crate) fn replica(&self, blob: BlobId, node: &NodeId) -> Result<Option<&ReplicaRow>, Missing> {
        let key = (blob, node.clone());
        self.replicas.get(&key).map_err(|_| Missing(vec![Key::Replica { blob, node: node.clone() }]))
    }

    pub(crate) fn receipt(&self, id: EventId) -> Result<Option<&ReceiptRow>, Missing> {
        self.receipts.get(&id).map_err(|_| Missing(vec![Key::Receipt(id)]))
    }

    // Changes.

    pub(crate) fn put_space(&mut self, row: SpaceRow) {
        self.space_names.put(row.name.clone(), row.space_id);
        self.space_names.take_changed();
        self.fresh_folders.insert(row.space_id.root());
        self.spaces.put(row.space_id, row);
    }

    pub(crate) fn put_node(&mut self, row: NodeRow) {
        self.changed_nodes.push(row.node.clone());
        self.nodes.get_or_insert_default().insert(row.node.clone(), row);
    }

    pub(crate) fn add_folder(&mut self, row: FolderRow) {
        self.fresh_folders.insert(row.folder_id);
        self.folders.push(row);
    }

    pub(crate) fn add_version(&mut self, row: VersionRow) {
        self.versions.push(row);
    }

    pub(crate) fn add_event(&mut self, row: EventRow) {
        self.events.push(row);
    }

    pub(crate) fn add_backfill(&mut self, backfill: Backfill) {
        self.backfills.push(backfill);
    }
}
