//! Look-ups: what is not known is named in the error.

use std::collections::BTreeMap;

use proto::{BlobId, EventId, FileId, FolderId, NodeId, Path, Segment, SpaceId, SpaceName, VersionId};

use crate::rows::{
    BlobRow, FileRow, FolderRow, NameRow, NodeRow, PlacementRow, ReceiptRow, ReplicaRow, SpaceRow, Target, VersionRow,
};
use crate::{Key, Missing, View};

impl View {
    /// The part of a path that the view does not know: the folder down to which it does, and the names from there on. None
    /// when it knows what, if anything, is at the path.
    pub fn unknown_part(&self, space_id: SpaceId, path: &Path) -> Option<(FolderId, Vec<Segment>)> {
        let mut parent = space_id.root();
        let mut segments = path.segments();
        while let Some(name) = segments.next() {
            match self.child(parent, &name) {
                Ok(Some(NameRow { target: Target::Folder(id), .. })) => parent = *id,
                Ok(_) => return None,
                Err(_) => return Some((parent, std::iter::once(name).chain(segments).collect())),
            }
        }
        None
    }

    /// Asks for all of the keys at once, where one by one would cost a round trip each.
    pub(crate) fn need(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), Missing> {
        let unknown = self.unknown(keys);
        if unknown.is_empty() { Ok(()) } else { Err(Missing(unknown)) }
    }

    pub(crate) fn nodes(&self) -> Result<&BTreeMap<NodeId, NodeRow>, Missing> {
        self.nodes.as_ref().ok_or_else(|| Missing(vec![Key::Nodes]))
    }

    pub(crate) fn placement(&self) -> Result<&PlacementRow, Missing> {
        self.nodes().map(|_| &self.placement)
    }

    /// The space, also a deleted one.
    pub(crate) fn space(&self, id: SpaceId) -> Result<Option<&SpaceRow>, Missing> {
        self.spaces.get(&id).map_err(|_| Missing(vec![Key::Space(id)]))
    }

    /// Which space has this name now.
    pub(crate) fn space_named(&self, name: &SpaceName) -> Result<Option<SpaceId>, Missing> {
        let known = self.space_names.get(name).map_err(|_| Missing(vec![Key::SpaceName(name.clone())]))?;
        Ok(known.copied())
    }

    pub(crate) fn folder(&self, id: FolderId) -> Result<Option<&FolderRow>, Missing> {
        self.folders.get(&id).map_err(|_| Missing(vec![Key::Folder(id)]))
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

    pub(crate) fn version(&self, id: VersionId) -> Result<Option<&VersionRow>, Missing> {
        self.versions.get(&id).map_err(|_| Missing(vec![Key::Version(id)]))
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
}
