//! ReplicaStored: copies that a replicator made and verified.

use proto::ReplicaStored;

use super::Decision;
use crate::rows::{ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{View, replicas};

pub(super) fn decide(view: &mut View, n: u64, stored: &ReplicaStored) -> Result<Decision, Stop> {
    let blob_ids = stored.replicas.iter().map(|replica| replica.blob_id).collect();
    if let Some(reason) = replicas::refuse_reporter(view, &stored.node, stored.marker_id)? {
        return Ok(Decision { blob_ids, ..Decision::rejected(reason) });
    }
    let mut accepted = Vec::with_capacity(stored.replicas.len());
    for replica in &stored.replicas {
        let Some(row) = view.replica(replica.blob_id, &stored.node)? else { continue };
        let settled = match row.state {
            ReplicaState::Pending | ReplicaState::Parked | ReplicaState::Lost => false,
            // What is to be erased, or was, does not come back, whatever asked for the copy.
            ReplicaState::Stored | ReplicaState::Erasing | ReplicaState::Erased => true,
        };
        if settled || replica.cause < row.fence_seq {
            continue;
        }
        accepted.push(ReplicaRow { state: ReplicaState::Stored, seq: n, attempts: 0, reason: None, ..row.clone() });
    }
    for row in accepted {
        view.replicas.put((row.blob_id, row.node.clone()), row);
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}
