//! BlobCondemned: the first step of erasing, a proposal. A blob that a version names again by now is skipped, and so is an
//! orphan that an event has named meanwhile.

use proto::{BlobCondemned, BlobId, Event, Orphan};

use super::Decision;
use crate::rows::{BlobRow, BlobState, ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{Key, Missing, View};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, condemned: &BlobCondemned) -> Result<Decision, Stop> {
    let orphans = condemned.orphans.iter().map(|orphan| orphan.blob_id);
    let blob_ids: Vec<BlobId> = condemned.blob_ids.iter().copied().chain(orphans).collect();
    view.need(blob_ids.iter().copied().map(Key::Blob))?;
    view.nodes()?;
    let mut accepted = Vec::with_capacity(condemned.blob_ids.len());
    for &blob_id in &condemned.blob_ids {
        if let Some(row) = view.blob(blob_id)?.filter(|row| row.state == BlobState::Live && row.refs == 0) {
            accepted.push(BlobRow { state: BlobState::Condemned, state_seq: n, ..row.clone() });
        }
    }
    let mut is_empty = accepted.is_empty();
    for row in accepted {
        view.blobs.put(row.blob_id, row);
    }
    for orphan in &condemned.orphans {
        is_empty &= !register(view, n, event, orphan)?;
    }
    if is_empty {
        return Ok(Decision { blob_ids, ..Decision::rejected("blob_in_use") });
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}

/// From here on the blob is known, so that nothing can name it any more. It is placed where it was found. False when it was
/// known.
fn register(view: &mut View, n: u64, event: &Event, orphan: &Orphan) -> Result<bool, Missing> {
    if view.blob(orphan.blob_id)?.is_some() {
        return Ok(false);
    }
    if view.nodes()?.contains_key(&orphan.node) {
        let (blob_id, node, reason) = (orphan.blob_id, orphan.node.clone(), Some("orphan".to_owned()));
        let row = ReplicaRow { blob_id, node, state: ReplicaState::Stored, seq: n, fence_seq: n, attempts: 0, reason };
        view.replicas.put((row.blob_id, row.node.clone()), row);
    }
    let blob = BlobRow {
        blob_id: orphan.blob_id,
        space_id: orphan.space_id,
        size_bytes: orphan.size_bytes,
        sha256: orphan.sha256,
        slices_sha256: None,
        slice_bytes: None,
        origin_node: orphan.node.clone(),
        first_seq: n,
        created_at: event.time,
        refs: 0,
        state: BlobState::Condemned,
        state_seq: n,
        unreferenced_at: Some(event.time),
    };
    view.blobs.put(orphan.blob_id, blob);
    Ok(true)
}
