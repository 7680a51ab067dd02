//! A catalog in memory: answers keys, saves changes, as Postgres does.

use std::collections::BTreeMap;

use fold::rows::{
    BlobRow, BlobState, EventRow, FileRow, FolderRow, NameRow, NodeRow, Outcome, PlacementRow, ReceiptRow, ReplicaRow,
    ReplicaState, SpaceRow, Target, VersionRow,
};
use fold::{Bulk, Changes, Input, Key, View};
use proto::{BlobId, DecodeError, EventId, FileId, FolderId, NodeId, Path, Recorded, Segment, SpaceId, VersionId};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Store {
    pub(crate) spaces: BTreeMap<SpaceId, SpaceRow>,
    pub(crate) folders: BTreeMap<FolderId, FolderRow>,
    pub(crate) names: BTreeMap<(FolderId, Segment, u64), NameRow>,
    pub(crate) files: BTreeMap<FileId, FileRow>,
    pub(crate) versions: BTreeMap<VersionId, VersionRow>,
    pub(crate) blobs: BTreeMap<BlobId, BlobRow>,
    pub(crate) nodes: BTreeMap<NodeId, NodeRow>,
    pub(crate) placement: PlacementRow,
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
            store.guess(&mut view, recorded);
            if store.apply(&mut view, recorded) || ends(recorded.n) {
                store.save(view.take_changes());
                view = View::default();
            }
        }
        store.save(view.take_changes());
        store
    }

    /// Folds the next event, in a batch of its own and with no guess of what it needs: it asks for every row.
    pub(crate) fn fold_one(&mut self, recorded: &Recorded) {
        let mut view = View::default();
        self.apply(&mut view, recorded);
        self.save(view.take_changes());
    }

    /// Loads what the event will need as far as it tells itself.
    pub(crate) fn guess(&self, view: &mut View, recorded: &Recorded) {
        if let Ok(event) = recorded.decode() {
            view.unknown(fold::keys(&event)).iter().for_each(|key| self.load(key, view));
        }
    }

    /// How many times rows must be loaded before the next event can be applied, in a batch of its own.
    pub(crate) fn rounds(&self, recorded: &Recorded) -> usize {
        let (event, mut view) = (recorded.decode().unwrap(), View::default());
        self.guess(&mut view, recorded);
        let mut rounds = 1;
        while let Err(missing) = fold::apply(&mut view, recorded, Input::Event(&event)) {
            missing.0.iter().for_each(|key| self.load(key, &mut view));
            rounds += 1;
        }
        rounds
    }

    /// Whether the batch must end here.
    pub(crate) fn apply(&self, view: &mut View, recorded: &Recorded) -> bool {
        let event = match recorded.decode() {
            Ok(event) => Some(event),
            Err(DecodeError::Undecodable { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let input = event.as_ref().map_or(Input::Undecodable, Input::Event);
        loop {
            let before = view.clone().take_changes();
            match fold::apply(view, recorded, input) {
                Ok(_) => break,
                Err(missing) => {
                    assert_eq!(view.clone().take_changes(), before, "nothing is changed when rows are missing");
                    assert_eq!(view.unknown(missing.0.clone()).len(), missing.0.len(), "{missing:?} can be loaded");
                    missing.0.iter().for_each(|key| self.load(key, view));
                }
            }
        }
        event.as_ref().is_some_and(fold::ends_batch)
    }

    /// All rows but the journal's own: events and receipts.
    pub(crate) fn rows(&self) -> Self {
        Self { receipts: BTreeMap::new(), events: Vec::new(), ..self.clone() }
    }

    /// What a path names now.
    pub(crate) fn item(&self, space: SpaceId, path: &str) -> Option<Target> {
        let mut target = Target::Folder(space.root());
        for segment in path.parse::<Path>().unwrap().segments() {
            let Target::Folder(folder) = target else { return None };
            target = self.current(folder, &segment)?.target;
        }
        Some(target)
    }

    /// The current paths below a folder; folders end in a slash.
    pub(crate) fn tree(&self, folder: FolderId, prefix: &str) -> Vec<String> {
        let mut paths = Vec::new();
        for row in self.names.values().filter(|row| row.parent == folder && row.to_seq.is_none()) {
            match row.target {
                Target::File(_) => paths.push(format!("{prefix}{}", row.name)),
                Target::Folder(id) => {
                    let path = format!("{prefix}{}/", row.name);
                    paths.push(path.clone());
                    paths.extend(self.tree(id, &path));
                }
            }
        }
        paths
    }

    pub(crate) fn receipt(&self, id: EventId) -> &ReceiptRow {
        &self.receipts[&id]
    }

    /// The file at a path.
    pub(crate) fn file(&self, space: SpaceId, path: &str) -> Option<&FileRow> {
        match self.item(space, path)? {
            Target::File(id) => self.files.get(&id),
            Target::Folder(_) => None,
        }
    }

    /// The current name in a folder.
    pub(crate) fn current(&self, parent: FolderId, name: &Segment) -> Option<&NameRow> {
        let all = (parent, name.clone(), 0)..=(parent, name.clone(), u64::MAX);
        self.names.range(all).map(|(_, row)| row).find(|row| row.to_seq.is_none())
    }

    pub(crate) fn state(&self, blob: BlobId, node: &str) -> Option<ReplicaState> {
        self.replicas.get(&(blob, node.parse().unwrap())).map(|row| row.state)
    }

    fn load(&self, key: &Key, view: &mut View) {
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

    pub(crate) fn save(&mut self, changes: Changes) {
        for row in changes.spaces {
            let mut others = self.spaces.values().filter(|other| other.space_id != row.space_id);
            let taken = others.any(|other| other.name == row.name && other.deleted_seq.is_none());
            assert!(!taken || row.deleted_seq.is_some(), "a space's name is current once, in any order: {row:?}");
            self.spaces.insert(row.space_id, row);
        }
        self.folders.extend(changes.folders.into_iter().map(|row| (row.folder_id, row)));
        for row in changes.closed_names.into_iter().chain(changes.names) {
            if row.to_seq.is_none() {
                let other = self.current(row.parent, &row.name).is_some_and(|other| other.from_seq != row.from_seq);
                assert!(!other, "a name is current once: {row:?}");
            }
            self.names.insert((row.parent, row.name.clone(), row.from_seq), row);
        }
        self.files.extend(changes.files.into_iter().map(|row| (row.file_id, row)));
        self.versions.extend(changes.versions.into_iter().map(|row| (row.version_id, row)));
        self.blobs.extend(changes.blobs.into_iter().map(|row| (row.blob_id, row)));
        self.placement = changes.placement.unwrap_or(self.placement.clone());
        self.nodes.extend(changes.nodes.into_iter().map(|row| (row.node.clone(), row)));
        self.replicas.extend(changes.replicas.into_iter().map(|row| ((row.blob_id, row.node.clone()), row)));
        for row in changes.receipts {
            assert_ne!(row.outcome, Outcome::Repeated);
            assert!(self.receipts.insert(row.event_id, row).is_none(), "a receipt is written once");
        }
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
