//! A catalog in memory: what a journal folds to without any server.

use std::collections::BTreeMap;

use proto::{BlobId, EventId, FileId, FolderId, NodeId, Path, Recorded, Segment, SpaceId, VersionId};

use crate::rows::{
    BlobRow, BlobState, EventRow, FileRow, FolderRow, NameRow, NodeRow, Outcome, PlacementRow, ReceiptRow, ReplicaRow,
    ReplicaState, SpaceRow, Target, VersionRow,
};
use crate::{Bulk, Changes, Input, Key, Missing, View};

/// All rows of a catalog, by their primary keys. It answers keys and saves changes as the catalog in Postgres does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Store {
    /// Spaces, deleted ones too.
    pub spaces: BTreeMap<SpaceId, SpaceRow>,
    /// Folders, roots included.
    pub folders: BTreeMap<FolderId, FolderRow>,
    /// Names, current and past, by folder, name and the sequence they began at.
    pub names: BTreeMap<(FolderId, Segment, u64), NameRow>,
    /// Files.
    pub files: BTreeMap<FileId, FileRow>,
    /// Versions.
    pub versions: BTreeMap<VersionId, VersionRow>,
    /// Blobs.
    pub blobs: BTreeMap<BlobId, BlobRow>,
    /// Nodes.
    pub nodes: BTreeMap<NodeId, NodeRow>,
    /// How blobs are placed on them.
    pub placement: PlacementRow,
    /// Blobs on nodes.
    pub replicas: BTreeMap<(BlobId, NodeId), ReplicaRow>,
    /// The answers to events.
    pub receipts: BTreeMap<EventId, ReceiptRow>,
    /// The events, in their order.
    pub events: Vec<EventRow>,
}

impl Store {
    /// Folds the next event and says what became of it. [`Missing`]: it asks for rows that it was given, which is a mistake
    /// in the rules.
    pub fn fold(&mut self, recorded: &Recorded, input: Input<'_>) -> Result<Outcome, Missing> {
        let mut view = View::default();
        if let Input::Event(event) = input {
            for key in &crate::keys(event) {
                self.load(key, &mut view);
            }
        }
        loop {
            match crate::apply(&mut view, recorded, input) {
                Ok(outcome) => {
                    self.save(view.take_changes());
                    return Ok(outcome);
                }
                Err(Missing(keys)) => {
                    let unknown = view.unknown(keys.clone());
                    if unknown.is_empty() {
                        return Err(Missing(keys));
                    }
                    for key in &unknown {
                        self.load(key, &mut view);
                    }
                }
            }
        }
    }

    /// The current name in a folder.
    pub fn current(&self, parent: FolderId, name: &Segment) -> Option<&NameRow> {
        let all = (parent, name.clone(), 0)..=(parent, name.clone(), u64::MAX);
        self.names.range(all).map(|(_, row)| row).find(|row| row.to_seq.is_none())
    }

    /// Loads the rows of a key into the view; what is not there is marked absent.
    pub fn load(&self, key: &Key, view: &mut View) {
        match key {
            Key::Nodes => view.load_nodes(self.nodes.values().cloned(), self.placement.clone()),
            Key::Space(id) => view.spaces.load(*id, self.spaces.get(id).cloned()),
            Key::SpaceName(name) => {
                let row = self.spaces.values().find(|row| row.name == *name && row.deleted_seq.is_none()).cloned();
                view.load_space_name(name.clone(), row);
            }
            Key::Path { space_id, path } => self.load_path(*space_id, path, view),
            Key::Child { parent, name } => {
                let key = (*parent, name.clone());
                let row = self.current(*parent, name).cloned();
                view.names.load(key, row);
            }
            Key::Folder(id) => view.folders.load(*id, self.folders.get(id).cloned()),
            Key::File(id) => view.files.load(*id, self.files.get(id).cloned()),
            Key::Version(id) => view.versions.load(*id, self.versions.get(id).cloned()),
            Key::Blob(id) => view.blobs.load(*id, self.blobs.get(id).cloned()),
            Key::Replica { blob, node } => {
                let key = (*blob, node.clone());
                let row = self.replicas.get(&key).cloned();
                view.replicas.load(key, row);
            }
            Key::Receipt(id) => view.receipts.load(*id, self.receipts.get(id).cloned()),
        }
    }

    /// Names, folders and the file at the end, as far as there are any.
    fn load_path(&self, space_id: SpaceId, path: &Path, view: &mut View) {
        let mut target = Some(Target::Folder(space_id.root()));
        for segment in path.segments() {
            let Some(Target::Folder(folder)) = target else { break };
            self.load(&Key::Folder(folder), view);
            target = self.current(folder, &segment).map(|row| row.target);
            self.load(&Key::Child { parent: folder, name: segment }, view);
        }
        if let Some(Target::File(file)) = target {
            self.load(&Key::File(file), view);
        }
    }

    /// Takes the changes of a batch.
    pub fn save(&mut self, changes: Changes) {
        self.spaces.extend(changes.spaces.into_iter().map(|row| (row.space_id, row)));
        self.folders.extend(changes.folders.into_iter().map(|row| (row.folder_id, row)));
        let names = changes.closed_names.into_iter().chain(changes.names);
        self.names.extend(names.map(|row| ((row.parent, row.name.clone(), row.from_seq), row)));
        self.files.extend(changes.files.into_iter().map(|row| (row.file_id, row)));
        self.versions.extend(changes.versions.into_iter().map(|row| (row.version_id, row)));
        self.blobs.extend(changes.blobs.into_iter().map(|row| (row.blob_id, row)));
        if let Some(placement) = changes.placement {
            self.placement = placement;
        }
        self.nodes.extend(changes.nodes.into_iter().map(|row| (row.node.clone(), row)));
        self.replicas.extend(changes.replicas.into_iter().map(|row| ((row.blob_id, row.node.clone()), row)));
        self.receipts.extend(changes.receipts.into_iter().map(|row| (row.event_id, row)));
        self.events.extend(changes.events);
        changes.bulk.into_iter().for_each(|bulk| self.bulk(bulk));
    }

    fn bulk(&mut self, bulk: Bulk) {
        match bulk {
            Bulk::Join { node, seq } => self.join(&node, seq),
            Bulk::Wipe { node, seq } => self.wipe(&node, seq),
            Bulk::Retire { node, seq } => self.retire(&node, seq),
        }
    }

    fn join(&mut self, node: &NodeId, seq: u64) {
        for blob_id in self.blobs.values().filter(|row| row.state == BlobState::Live).map(|row| &row.blob_id) {
            self.replicas.entry((*blob_id, node.clone())).or_insert_with(|| ReplicaRow {
                blob_id: *blob_id,
                node: node.clone(),
                state: ReplicaState::Pending,
                seq,
                fence_seq: 0,
                attempts: 0,
                reason: None,
            });
        }
    }

    fn wipe(&mut self, node: &NodeId, seq: u64) {
        for row in self.replicas.values_mut().filter(|row| row.node == *node) {
            let state = match row.state {
                ReplicaState::Erased => continue,
                ReplicaState::Erasing => ReplicaState::Erased,
                _ => ReplicaState::Pending,
            };
            let reason = Some("node_wiped".to_owned());
            *row = ReplicaRow { state, seq, fence_seq: seq, attempts: 0, reason, ..row.clone() };
        }
        self.end_erased(seq);
    }

    fn retire(&mut self, node: &NodeId, seq: u64) {
        self.replicas.retain(|_, row| row.node != *node);
        self.nodes.remove(node);
        self.end_erased(seq);
    }

    fn end_erased(&mut self, seq: u64) {
        let waits = |blob: &BlobRow| {
            self.replicas.values().any(|row| row.blob_id == blob.blob_id && row.state != ReplicaState::Erased)
        };
        let ended: Vec<_> =
            self.blobs.values().filter(|row| row.state == BlobState::Erasing && !waits(row)).cloned().collect();
        for row in ended {
            self.blobs.insert(row.blob_id, BlobRow { state: BlobState::Erased, state_seq: seq, ..row });
        }
    }
}
