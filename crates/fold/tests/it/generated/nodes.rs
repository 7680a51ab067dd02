//! Steps about nodes, and about blobs on them.

use proto::{
    BlobErased, BlobId, ErasedBlob, Fact, NodeId, NodeJoined, NodeRetired, NodeWiped, Placement, PlacementChanged,
    ReplicaLost, ReplicaStored, ReplicationParked, ReplicationRedriven, StoredReplica,
};

use super::{Around, Verb};
use crate::journal::marker;

impl Around<'_> {
    pub(super) fn of_disk(&self) -> Fact {
        let (node, marker_id) = (self.step.node.parse().unwrap(), self.marker());
        let fresh = marker(&format!("{} {}", self.step.node, self.world.last_seq()));
        match self.step.verb {
            Verb::Wipe => Fact::NodeWiped(NodeWiped { node, old_marker_id: marker_id, marker_id: fresh }),
            Verb::Retire => Fact::NodeRetired(NodeRetired { node, marker_id }),
            _ => {
                let (endpoint, bucket) = ("http://127.0.0.1:1".to_owned(), "highwater".to_owned());
                Fact::NodeJoined(NodeJoined { node, marker_id: fresh, endpoint, bucket })
            }
        }
    }

    pub(super) fn of_placement(&self) -> Fact {
        let copies = u32::from(self.step.condition).try_into().ok();
        Fact::PlacementChanged(PlacementChanged { placement: Placement { copies, ..Placement::default() } })
    }

    /// Mostly all nodes; half of the journals name none.
    pub(super) fn targets(&self) -> Option<Vec<NodeId>> {
        let named = self.step.pick.is_multiple_of(64);
        named.then(|| vec![self.step.node.parse().unwrap(), "node-b".parse().unwrap()])
    }

    pub(super) fn of_node(&self) -> Fact {
        let (node, marker_id) = (self.step.node.parse().unwrap(), self.marker());
        let cause = self.world.last_seq().saturating_sub(u64::from(self.step.condition) * 4);
        let blobs = self.blobs(self.step.pick);
        match self.step.verb {
            Verb::Stored => {
                let replicas = blobs.into_iter().map(|blob_id| StoredReplica { blob_id, cause }).collect();
                Fact::ReplicaStored(ReplicaStored { node, marker_id, replicas })
            }
            Verb::Parked => {
                let blob_id = blobs.first().copied().unwrap_or(BlobId::new(uuid::Uuid::nil()));
                let (attempts, reason) = (5, "the node refuses the key".to_owned());
                Fact::ReplicationParked(ReplicationParked { node, marker_id, blob_id, cause, attempts, reason })
            }
            Verb::Lost => {
                let (reason, replicas) = ("it is not there".to_owned(), self.world.wanted(&blobs));
                Fact::ReplicaLost(ReplicaLost { node, marker_id, evaluated_at: cause, reason, replicas })
            }
            Verb::Redrive => {
                Fact::ReplicationRedriven(ReplicationRedriven { node, replicas: self.world.wanted(&blobs) })
            }
            _ => {
                let blobs = blobs.into_iter().map(|blob_id| ErasedBlob { blob_id, cause }).collect();
                Fact::BlobErased(BlobErased { node, marker_id, blobs })
            }
        }
    }
}
