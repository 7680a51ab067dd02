//! BlobErasureOrdered: the second step of erasing. Reports of copies that were asked for before do not count any more. One
//! that comes again is for the nodes that gave the erasure up: those that have erased the blob stay as they are.

use proto::{BlobErasureOrdered, BlobId};

use super::Decision;
use crate::rows::{BlobRow, BlobState, ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{Key, Missing, View, replicas};

pub(super) fn decide(view: &mut View, n: u64, ordered: &BlobErasureOrdered) -> Result<Decision, Stop> {
    view.need(ordered.blob_ids.iter().copied().map(Key::Blob))?;
    let mut accepted = Vec::with_capacity(ordered.blob_ids.len());
    for &blob_id in &ordered.blob_ids {
        if view.blob(blob_id)?.is_some_and(|row| matches!(row.state, BlobState::Condemned | BlobState::Erasing)) {
            accepted.push(blob_id);
        }
    }
    accepted.sort_unstable();
    accepted.dedup();
    let blob_ids = ordered.blob_ids.clone();
    if accepted.is_empty() {
        return Ok(Decision { blob_ids, ..Decision::rejected("not_condemned") });
    }
    replicas::need_all(view, &accepted)?;
    for blob_id in accepted {
        order(view, n, blob_id)?;
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}

fn order(view: &mut View, n: u64, blob_id: BlobId) -> Result<(), Missing> {
    let Some(blob) = view.blob(blob_id)?.cloned() else { return Ok(()) };
    let placed = replicas::of(view, blob_id)?;
    // Placed nowhere, there is nothing to wait for.
    let state = if placed.is_empty() { BlobState::Erased } else { BlobState::Erasing };
    view.blobs.put(blob_id, BlobRow { state, state_seq: n, ..blob });
    for row in placed.into_iter().filter(|row| row.state != ReplicaState::Erased) {
        let state = ReplicaState::Erasing;
        let row = ReplicaRow { state, seq: n, fence_seq: n, attempts: 0, reason: None, ..row };
        view.replicas.put((row.blob_id, row.node.clone()), row);
    }
    Ok(())
}
