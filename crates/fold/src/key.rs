//! Which rows an event needs.

use proto::{BlobId, Event, EventId, Fact, FileId, FolderId, NodeId, Path, Segment, SpaceId, SpaceName};

/// A row, or a few, to be loaded into a view. What the catalog does not have is loaded too: as absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// All nodes.
    Nodes,
    /// A space by id.
    Space(SpaceId),
    /// A space by name.
    SpaceName(SpaceName),
    /// Every current name along a path from the space's root, as far as there are folders, the first absent one
    /// included, and the file at its end if there is one: one round trip instead of one for each segment.
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
    /// A file.
    File(FileId),
    /// A blob.
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
    match &event.fact {
        Fact::NodeJoined(_) => {}
        Fact::SpaceCreated(created) => keys.push(Key::SpaceName(created.name.clone())),
        Fact::FileUploaded(uploaded) => {
            keys.push(Key::Space(uploaded.space_id));
            keys.push(Key::Path { space_id: uploaded.space_id, path: uploaded.path.clone() });
            keys.push(Key::Blob(uploaded.blob_id));
        }
        Fact::ReplicaStored(stored) => {
            keys.extend(stored.replicas.iter().map(|r| Key::Replica { blob: r.blob_id, node: stored.node.clone() }));
        }
        Fact::ReplicationParked(parked) => {
            keys.push(Key::Replica { blob: parked.blob_id, node: parked.node.clone() });
        }
    }
    keys
}
