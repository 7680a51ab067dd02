//! Changes. They cannot fail: whoever makes them has looked up every row that they touch.

use proto::{BlobId, FolderId, NodeId, Segment};
use time::OffsetDateTime;

use crate::View;
use crate::changes::Bulk;
use crate::rows::{BlobRow, EventRow, FolderRow, NameRow, NodeRow, PlacementRow, SpaceRow, Target};

impl View {
    /// Adds a space with its root, or gives one another name: `before` is the row that this one replaces.
    pub(crate) fn put_space(&mut self, before: Option<&SpaceRow>, row: SpaceRow) {
        match before {
            Some(before) => self.space_names.note(before.name.clone(), None),
            None => self.add_folder(FolderRow::new(row.space_id.root(), row.space_id, row.created_seq)),
        }
        if row.deleted_seq.is_none() {
            self.space_names.note(row.name.clone(), Some(row.space_id));
        }
        self.spaces.put(row.space_id, row);
    }

    pub(crate) fn add_folder(&mut self, row: FolderRow) {
        self.fresh_folders.insert(row.folder_id);
        self.folders.put(row.folder_id, row);
    }

    /// Lets a free name stand for the target from sequence `n` on.
    pub(crate) fn open_name(&mut self, n: u64, parent: FolderId, name: Segment, target: Target) {
        let row = NameRow { parent, name: name.clone(), from_seq: n, to_seq: None, target };
        self.names.put((parent, name), row);
        self.count_entries(parent, |entries| entries + 1);
    }

    /// Frees a name from sequence `n` on.
    pub(crate) fn close_name(&mut self, n: u64, parent: FolderId, name: &Segment) {
        if let Some(row) = self.names.remove(&(parent, name.clone())) {
            self.closed_names.push(NameRow { to_seq: Some(n), ..row });
            self.count_entries(parent, |entries| entries.saturating_sub(1));
        }
    }

    fn count_entries(&mut self, folder: FolderId, count: impl FnOnce(u64) -> u64) {
        if let Ok(Some(row)) = self.folders.get(&folder) {
            let row = FolderRow { entries: count(row.entries), ..row.clone() };
            self.folders.put(folder, row);
        }
    }

    /// One version more has the blob as its content.
    pub(crate) fn refer(&mut self, blob: BlobId) {
        if let Ok(Some(row)) = self.blobs.get(&blob) {
            let row = BlobRow { refs: row.refs + 1, unreferenced_at: None, ..row.clone() };
            self.blobs.put(blob, row);
        }
    }

    /// One version less has the blob as its content, by an event of time `at`.
    pub(crate) fn release(&mut self, blob: BlobId, at: OffsetDateTime) {
        if let Ok(Some(row)) = self.blobs.get(&blob) {
            let refs = row.refs.saturating_sub(1);
            let row = BlobRow { refs, unreferenced_at: (refs == 0).then_some(at), ..row.clone() };
            self.blobs.put(blob, row);
        }
    }

    pub(crate) fn put_node(&mut self, row: NodeRow) {
        self.changed_nodes.push(row.node.clone());
        self.nodes.get_or_insert_default().insert(row.node.clone(), row);
    }

    pub(crate) fn put_placement(&mut self, row: PlacementRow) {
        self.placement = row;
        self.is_placement_changed = true;
    }

    /// The node is deleted by the [`Bulk::Retire`] that goes with this.
    pub(crate) fn remove_node(&mut self, node: &NodeId) {
        self.nodes.get_or_insert_default().remove(node);
    }

    pub(crate) fn add_event(&mut self, row: EventRow) {
        self.events.push(row);
    }

    pub(crate) fn add_bulk(&mut self, bulk: Bulk) {
        self.bulk.push(bulk);
    }
}
