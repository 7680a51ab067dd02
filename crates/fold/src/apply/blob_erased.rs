//! BlobErased: a node holds these blobs no more. The last node's report ends the blob.

use proto::{BlobErased, BlobId};

use super::Decision;
use crate::rows::{BlobRow, BlobState, ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{Missing, View, replicas};

pub(super) fn decide(view: &mut View, n: u64, erased: &BlobErased) -> Result<Decision, Stop> {
    let blob_ids: Vec<BlobId> = erased.blobs.iter().map(|blob| blob.blob_id).collect();
    if let Some(reason) = replicas::refuse_reporter(view, &erased.node, erased.marker_id)? {
        return Ok(Decision { blob_ids, ..Decision::rejected(reason) });
    }
    replicas::need_all(view, &blob_ids)?;
    let mut accepted = Vec::with_capacity(erased.blobs.len());
    for blob in &erased.blobs {
        if let Some(row) = view.replica(blob.blob_id, &erased.node)?
            && row.state == ReplicaState::Erasing
            && blob.cause >= row.fence_seq
        {
            accepted.push(ReplicaRow { state: ReplicaState::Erased, seq: n, attempts: 0, reason: None, ..row.clone() });
        }
    }
    for row in accepted {
        let blob_id = row.blob_id;
        view.replicas.put((blob_id, row.node.clone()), row);
        end(view, n, blob_id)?;
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}

/// Erased, once no node is left that has to erase it.
fn end(view: &mut View, n: u64, blob_id: BlobId) -> Result<(), Missing> {
    let everywhere = replicas::of(view, blob_id)?.iter().all(|row| row.state == ReplicaState::Erased);
    let blob = view.blob(blob_id)?.filter(|row| row.state == BlobState::Erasing && everywhere).cloned();
    if let Some(blob) = blob {
        view.blobs.put(blob_id, BlobRow { state: BlobState::Erased, state_seq: n, ..blob });
    }
    Ok(())
}
