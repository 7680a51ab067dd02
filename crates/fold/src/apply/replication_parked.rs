//! ReplicationParked: a copy that was given up for its own reason.

use proto::ReplicationParked;

use super::Decision;
use crate::rows::{ReplicaRow, ReplicaState};
use crate::{Missing, View, replicas};

pub(super) fn decide(view: &mut View, n: u64, parked: &ReplicationParked) -> Result<Decision, Missing> {
    let rejected = |reason| Decision { blob_ids: vec![parked.blob_id], ..Decision::rejected(reason) };
    if let Some(reason) = replicas::refuse_reporter(view, &parked.node, parked.marker_id)? {
        return Ok(rejected(reason));
    }
    let Some(row) = view.replica(parked.blob_id, &parked.node)? else {
        return Ok(rejected("replica_unknown"));
    };
    if parked.cause < row.fence_seq {
        return Ok(rejected("cause_outdated"));
    }
    if row.state == ReplicaState::Stored {
        return Ok(rejected("already_stored"));
    }
    let row = ReplicaRow {
        state: ReplicaState::Parked,
        seq: n,
        attempts: parked.attempts,
        reason: Some(parked.reason.clone()),
        ..row.clone()
    };
    view.replicas.put((row.blob_id, row.node.clone()), row);
    Ok(Decision { blob_ids: vec![parked.blob_id], ..Decision::default() })
}
