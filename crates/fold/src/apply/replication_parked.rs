//! ReplicationParked: a copy, or an erasure, that was given up for its own reason.

use proto::ReplicationParked;

use super::Decision;
use crate::rows::{ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{View, replicas};

pub(super) fn decide(view: &mut View, n: u64, parked: &ReplicationParked) -> Result<Decision, Stop> {
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
    let state = match row.state {
        ReplicaState::Pending | ReplicaState::Parked | ReplicaState::Lost => ReplicaState::Parked,
        // It is still to be erased; the reason tells that nobody tries at the moment.
        ReplicaState::Erasing => ReplicaState::Erasing,
        ReplicaState::Stored => return Ok(rejected("already_stored")),
        ReplicaState::Erased => return Ok(rejected("already_erased")),
    };
    let row =
        ReplicaRow { state, seq: n, attempts: parked.attempts, reason: Some(parked.reason.clone()), ..row.clone() };
    view.replicas.put((row.blob_id, row.node.clone()), row);
    Ok(Decision { blob_ids: vec![parked.blob_id], ..Decision::default() })
}
