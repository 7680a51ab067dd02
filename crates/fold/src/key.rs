//! Which rows an event needs.

use proto::{
    BlobId, Event, EventId, Fact, FileId, FolderId, Item, NodeId, Path, PrunedVersion, Segment, SpaceId, SpaceName,
    Trash, VersionId,
};

/// A row, or a few, to be loaded into a view. What the catalog does not have is loaded too: as absent. A loader may always
/// load more than it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// All nodes, and how blobs are placed on them.
    Nodes,
    /// A space by id, also a deleted one.
    Space(SpaceId),
    /// The space that has this name now, so no deleted one.
    SpaceName(SpaceName),
    /// Every current name along a path from the space's root, as far as there are folders, the first absent one
    /// included, with the rows of these folders (the root's too), and the file at its end if there is one: one round trip
    /// instead of two for each segment. A guess: whatever is left out is asked for by the keys below.
    Path {
        /// Where the path starts.
        space_id: SpaceId,
        /// The path.
        path: Path,
    },
    /// The current name in a folder.
    Child {
        /// The folder.
        parent: FolderId,
        /// The name.
        name: Segment,
    },
    /// A folder, also a root and a deleted one.
    Folder(FolderId),
    /// A file, also a deleted one.
    File(FileId),
    /// A version. Its blob is mostly needed next, so a loader does well to load that too.
    Version(VersionId),
    /// A blob, whatever its state.
    Blob(BlobId),
    /// A blob on a node.
    Replica {
        /// The blob.
        blob: BlobId,
        /// The node.
        node: NodeId,
    },
    /// The receipt of an event.
    Receipt(EventId),
}

/// The view lacks rows: load these and apply the event again. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the view lacks {} rows", .0.len())]
pub struct Missing(pub Vec<Key>);

/// What applying the event will need, as far as the event alone tells; a first load for a whole batch.
pub fn keys(event: &Event) -> Vec<Key> {
    let mut keys = vec![Key::Nodes, Key::Receipt(event.id)];
    if let Some(space_id) = event.fact.space_id() {
        keys.push(Key::Space(space_id));
        let paths = [event.fact.from_path(), event.fact.path()].into_iter().flatten();
        keys.extend(paths.map(|path| Key::Path { space_id, path: path.clone() }));
    }
    match &event.fact {
        Fact::NodeJoined(_)
        | Fact::NodeWiped(_)
        | Fact::NodeRetired(_)
        | Fact::PlacementChanged(_)
        | Fact::FolderCreated(_)
        | Fact::RetentionSet(_)
        | Fact::JournalRestored(_) => {}
        Fact::SpaceCreated(created) => keys.push(Key::SpaceName(created.name.clone())),
        Fact::SpaceRenamed(renamed) => keys.push(Key::SpaceName(renamed.name.clone())),
        Fact::SpaceDeleted(deleted) => keys.push(Key::Folder(deleted.space_id.root())),
        Fact::FolderDeleted(deleted) => keys.push(Key::Folder(deleted.folder_id)),
        Fact::FileUploaded(uploaded) => {
            let (blob, node) = (uploaded.blob_id, uploaded.node.clone());
            keys.push(Key::Blob(blob));
            keys.extend(uploaded.instant.then_some(Key::Replica { blob, node }));
        }
        Fact::FileDeleted(deleted) => keys.push(Key::File(deleted.file_id)),
        Fact::FileUndeleted(undeleted) => {
            keys.push(of_item(undeleted.item));
            keys.extend(undeleted.version_id.map(Key::Version));
        }
        Fact::FileMoved(moved) => keys.push(of_item(moved.item)),
        Fact::FileCopied(copied) => keys.push(Key::Version(copied.version_id)),
        Fact::VersionRestored(restored) => keys.push(Key::Version(restored.version_id)),
        Fact::VersionsPruned(pruned) => keys.extend(pruned.versions.iter().flat_map(of_pruned)),
        Fact::BlobCondemned(condemned) => {
            let orphans = condemned.orphans.iter().map(|orphan| orphan.blob_id);
            keys.extend(condemned.blob_ids.iter().copied().chain(orphans).map(Key::Blob));
        }
        Fact::BlobErasureOrdered(ordered) => keys.extend(ordered.blob_ids.iter().copied().map(Key::Blob)),
        Fact::BlobErased(erased) => keys.extend(erased.blobs.iter().map(|blob| Key::Blob(blob.blob_id))),
        Fact::ReplicaStored(stored) => {
            keys.extend(stored.replicas.iter().map(|r| Key::Replica { blob: r.blob_id, node: stored.node.clone() }));
        }
        Fact::ReplicationParked(parked) => {
            keys.push(Key::Replica { blob: parked.blob_id, node: parked.node.clone() });
        }
        Fact::ReplicaLost(lost) => {
            keys.extend(lost.replicas.iter().map(|r| Key::Replica { blob: r.blob_id, node: lost.node.clone() }));
        }
        Fact::ReplicationRedriven(redriven) => keys.extend(
            redriven
                .replicas
                .iter()
                .flat_map(|r| [Key::Blob(r.blob_id), Key::Replica { blob: r.blob_id, node: redriven.node.clone() }]),
        ),
    }
    keys
}

/// The row of a file or folder.
pub(crate) const fn of_item(item: Item) -> Key {
    match item {
        Item::File(id) => Key::File(id),
        Item::Folder(id) => Key::Folder(id),
    }
}

/// What pruning one version needs at first: all but its blob, which only the version tells.
pub(crate) fn of_pruned(pruned: &PrunedVersion) -> impl Iterator<Item = Key> + use<> {
    let trash = pruned.trash.map(|trash| match trash {
        Trash::File(id) => Key::File(id),
        Trash::Folder(id) => Key::Folder(id),
        Trash::Space(id) => Key::Space(id),
    });
    [Key::Version(pruned.version_id), Key::File(pruned.file_id)].into_iter().chain(trash)
}
