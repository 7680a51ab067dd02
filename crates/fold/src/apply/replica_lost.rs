//! ReplicaLost: copies that are missing or wrong on a node. Reports of copies that were asked for before do not count.

use proto::ReplicaLost;

use super::Decision;
use crate::rows::{ReplicaRow, ReplicaState};
use crate::stop::Stop;
use crate::{Key, View, replicas};

pub(super) fn decide(view: &mut View, n: u64, lost: &ReplicaLost) -> Result<Decision, Stop> {
    let blob_ids: Vec<_> = lost.replicas.iter().map(|replica| replica.blob_id).collect();
    if let Some(reason) = replicas::refuse_reporter(view, &lost.node, lost.marker_id)? {
        return Ok(Decision { blob_ids, ..Decision::rejected(reason) });
    }
    view.need(blob_ids.iter().map(|&blob| Key::Replica { blob, node: lost.node.clone() }))?;
    let mut accepted = Vec::with_capacity(lost.replicas.len());
    for &blob_id in &blob_ids {
        // A pair that has changed since the publisher looked may be well by now.
        if let Some(row) = view.replica(blob_id, &lost.node)?
            && row.state == ReplicaState::Stored
            && row.seq <= lost.evaluated_at
        {
            let (state, reason) = (ReplicaState::Lost, Some(lost.reason.clone()));
            accepted.push(ReplicaRow { state, seq: n, fence_seq: n, attempts: 0, reason, ..row.clone() });
        }
    }
    if accepted.is_empty() {
        return Ok(Decision { blob_ids, ..Decision::rejected("replicas_changed") });
    }
    for row in accepted {
        view.replicas.put((row.blob_id, row.node.clone()), row);
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}
