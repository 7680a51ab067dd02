//! Blobs on nodes: which shall hold them, and whose reports count.

use proto::{BlobId, Event, FileUploaded, MarkerId, NodeId, SpaceId};

use crate::rows::{BlobRow, BlobState, ReplicaRow, ReplicaState};
use crate::{Key, Missing, View};

/// Registers the blob that an upload brings to a space, named by no version so far, and the state of its pair with the
/// nodes that shall hold it, as far as they have joined, and with the one that does. A blob that is registered already keeps
/// its rows.
pub(crate) fn register(
    view: &mut View,
    n: u64,
    event: &Event,
    uploaded: &FileUploaded,
    space_id: SpaceId,
) -> Result<(), Missing> {
    if view.blob(uploaded.blob_id)?.is_some() {
        return Ok(());
    }
    let nodes: Vec<_> = view.nodes()?.values().map(|row| (row.node.clone(), row.marker_id)).collect();
    for (node, marker_id) in nodes {
        if let Some(row) = first_state(n, uploaded, node, marker_id) {
            view.replicas.put((row.blob_id, row.node.clone()), row);
        }
    }
    let blob = BlobRow {
        blob_id: uploaded.blob_id,
        space_id,
        size_bytes: uploaded.size_bytes,
        sha256: uploaded.sha256,
        slices_sha256: uploaded.slices_sha256,
        slice_bytes: uploaded.slice_bytes,
        origin_node: uploaded.node.clone(),
        first_seq: n,
        created_at: event.time,
        refs: 0,
        state: BlobState::Live,
        state_seq: n,
        unreferenced_at: Some(event.time),
    };
    view.blobs.put(uploaded.blob_id, blob);
    Ok(())
}

/// Asks for the rows of these blobs on all nodes at once, and of the blobs themselves.
pub(crate) fn need_all(view: &View, blobs: &[BlobId]) -> Result<(), Missing> {
    let nodes = view.nodes()?;
    let replicas =
        blobs.iter().flat_map(|&blob| nodes.keys().map(move |node| Key::Replica { blob, node: node.clone() }));
    view.need(blobs.iter().copied().map(Key::Blob).chain(replicas))
}

/// The blob's pairs with the nodes that it is placed on.
pub(crate) fn of(view: &View, blob: BlobId) -> Result<Vec<ReplicaRow>, Missing> {
    let mut rows = Vec::new();
    for node in view.nodes()?.keys() {
        rows.extend(view.replica(blob, node)?.cloned());
    }
    Ok(rows)
}

/// Why a report from a node does not count: it speaks of a node that never joined, or of a disk that is gone.
pub(crate) fn refuse_reporter(
    view: &View,
    node: &NodeId,
    marker_id: MarkerId,
) -> Result<Option<&'static str>, Missing> {
    Ok(match view.nodes()?.get(node) {
        None => Some("node_unknown"),
        Some(row) if row.marker_id != marker_id => Some("marker_outdated"),
        Some(_) => None,
    })
}

/// Stored on the node that took the upload, if its disk is still the same one; pending on the others that shall hold it.
fn first_state(n: u64, uploaded: &FileUploaded, node: NodeId, marker_id: MarkerId) -> Option<ReplicaRow> {
    let is_target = uploaded.targets.as_ref().is_none_or(|targets| targets.contains(&node));
    let took_it = node == uploaded.node;
    let (state, fence_seq, reason) = match (took_it, is_target) {
        (true, _) if marker_id == uploaded.marker_id => (ReplicaState::Stored, 0, None),
        (true, true) => (ReplicaState::Lost, n, Some("marker_outdated".to_owned())),
        (false, true) => (ReplicaState::Pending, 0, None),
        (_, false) => return None,
    };
    Some(ReplicaRow { blob_id: uploaded.blob_id, node, state, seq: n, fence_seq, attempts: 0, reason })
}
