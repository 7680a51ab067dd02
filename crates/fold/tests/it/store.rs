//! A catalog in memory: answers keys, saves changes, as Postgres does.

use std::collections::BTreeMap;

use fold::rows::{
    BlobRow, EventRow, FileRow, FolderRow, NameRow, NodeRow, Outcome, ReceiptRow, ReplicaRow, ReplicaState, SpaceRow,
    Target, VersionRow,
};
use fold::{Backfill, Changes, Input, Key, View};
use proto::{BlobId, DecodeError, EventId, FileId, FolderId, NodeId, Path, Recorded, Segment, SpaceId};

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Store {
    pub(crate) spaces: BTreeMap<SpaceId, SpaceRow>,
    pub(crate) folders: BTreeMap<FolderId, FolderRow>,
    pub(crate) names: BTreeMap<(FolderId, Segment), NameRow>,
    pub(crate) files: BTreeMap<FileId, FileRow>,
    pub(crate) versions: Vec<VersionRow>,
    pub(crate) blobs: BTreeMap<BlobId, BlobRow>,
    pub(crate) nodes: BTreeMap<NodeId, NodeRow>,
    pub(crate) replicas: BTreeMap<(BlobId, NodeId), ReplicaRow>,
    pub(crate) receipts: BTreeMap<EventId, ReceiptRow>,
    pub(crate) events: Vec<EventRow>,
}

impl Store {
    /// Folds a journal in batches that end after the events at `ends` (and where the fold asks for it).
    pub(crate) fn fold(journal: &[Recorded], ends: impl Fn(u64) -> bool) -> Self {
        let mut store = Self::default();
        let mut view = View::default();
        for recorded in journal {
            let event = match recorded.decode() {
                Ok(event) => Some(event),
                Err(DecodeError::Undecodable { .. }) => None,
                Err(error) => panic!("{error}"),
            };
            if let Some(event) = &event {
                for key in view.unknown(fold::keys(event)) {
                    store.load(&key, &mut view);
                }
            }
            let input = event.as_ref().map_or(Input::Undecodable, Input::Event);
            loop {
                match fold::apply(&mut view, recorded, input) {
                    Ok(_) => break,
                    Err(missing) => missing.0.iter().for_each(|key| store.load(key, &mut view)),
                }
            }
            if ends(recorded.n) || event.as_ref().is_some_and(fold::ends_batch) {
                store.save(view.take_changes());
                view = View::default();
            }
        }
        store.save(view.take_changes());
        store
    }

    pub(crate) fn receipt(&self, id: EventId) -> &ReceiptRow {
        &self.receipts[&id]
    }

    /// The file at a path.
    pub(crate) fn file(&self, space: SpaceId, path: &str) -> Option<&FileRow> {
        let mut folder = space.root();
        let path: Path = path.parse().unwrap();
        for segment in path.segments() {
            match self.names.get(&(folder, segment))?.target {
                Target::Folder(id) => folder = id,
                Target::File(id) => return self.files.get(&id),
            }
        }
        None
    }

    pub(crate) fn state(&self, blob: BlobId, node: &str) -> Option<ReplicaState> {
        self.replicas.get(&(blob, node.parse().unwrap())).map(|row| row.state)
    }

    fn load(&self, key: &Key, view: &mut View) {
        match key {
            Key::Nodes => view.load_nodes(self.nodes.values().cloned()),
            Key::Space(id) => view.spaces.load(*id, self.spaces.get(id).cloned()),
            Key::SpaceName(name) => {
                let row = self.spaces.values().find(|row| row.name == *name).cloned();
                view.load_space_name(name.clone(), row);
            }
            // Loading nothing is allowed: a path is a first guess only.
            Key::Path { .. } => {}
            Key::Child { parent, name } => {
                let key = (*parent, name.clone());
                let row = self.names.get(&key).cloned();
                view.names.load(key, row);
            }
            Key::File(id) => view.files.load(*id, self.files.get(id).cloned()),
            Key::Blob(id) => view.blobs.load(*id, self.blobs.get(id).cloned()),
            Key::Replica { blob, node } => {
                let key = (*blob, node.clone());
                let row = self.replicas.get(&key).cloned();
                view.replicas.load(key, row);
            }
            Key::Receipt(id) => view.receipts.load(*id, self.receipts.get(id).cloned()),
        }
    }

    fn save(&mut self, changes: Changes) {
        self.spaces.extend(changes.spaces.into_iter().map(|row| (row.space_id, row)));
        self.folders.extend(changes.folders.into_iter().map(|row| (row.folder_id, row)));
        self.names.extend(changes.names.into_iter().map(|row| ((row.parent, row.name.clone()), row)));
        self.files.extend(changes.files.into_iter().map(|row| (row.file_id, row)));
        self.versions.extend(changes.versions);
        self.blobs.extend(changes.blobs.into_iter().map(|row| (row.blob_id, row)));
        self.nodes.extend(changes.nodes.into_iter().map(|row| (row.node.clone(), row)));
        self.replicas.extend(changes.replicas.into_iter().map(|row| ((row.blob_id, row.node.clone()), row)));
        for row in changes.receipts {
            assert_ne!(row.outcome, Outcome::Repeated);
            assert!(self.receipts.insert(row.event_id, row).is_none(), "a receipt is written once");
        }
        self.events.extend(changes.events);
        changes.backfills.into_iter().for_each(|backfill| self.backfill(backfill));
    }

    fn backfill(&mut self, Backfill { node, seq }: Backfill) {
        for blob_id in self.blobs.keys() {
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
}
