//! ReplicationRedriven: copies are asked for again, or for the first time on a node that lacks the pair.

use proto::ReplicationRedriven;

use super::Decision;
use crate::rows::{BlobState, ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{Key, View};

pub(super) fn decide(view: &mut View, n: u64, redriven: &ReplicationRedriven) -> Result<Decision, Stop> {
    let blob_ids: Vec<_> = redriven.replicas.iter().map(|replica| replica.blob_id).collect();
    let node = &redriven.node;
    if !view.nodes()?.contains_key(node) {
        return Ok(Decision { blob_ids, ..Decision::rejected("node_unknown") });
    }
    let pairs = blob_ids.iter().map(|&blob| Key::Replica { blob, node: node.clone() });
    view.need(blob_ids.iter().copied().map(Key::Blob).chain(pairs))?;
    let mut accepted = Vec::with_capacity(blob_ids.len());
    for &blob_id in &blob_ids {
        if view.blob(blob_id)?.is_none_or(|blob| blob.state != BlobState::Live) {
            continue;
        }
        let fence_seq = match view.replica(blob_id, node)? {
            None => 0,
            Some(row) => match row.state {
                ReplicaState::Pending | ReplicaState::Parked | ReplicaState::Lost => row.fence_seq,
                ReplicaState::Stored | ReplicaState::Erasing | ReplicaState::Erased => continue,
            },
        };
        let state = ReplicaState::Pending;
        let node = node.clone();
        accepted.push(ReplicaRow { blob_id, node, state, seq: n, fence_seq, attempts: 0, reason: None });
    }
    if accepted.is_empty() {
        return Ok(Decision { blob_ids, ..Decision::rejected("replicas_changed") });
    }
    for row in accepted {
        view.replicas.put((row.blob_id, row.node.clone()), row);
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}
