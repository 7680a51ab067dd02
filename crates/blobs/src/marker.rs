//! The object that tells one disk from another.

use proto::{ClusterId, MarkerId, NodeId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The marker's key in every bucket.
pub const MARKER_KEY: &str = "highwater-marker.json";

/// What marks a bucket: written once, when the node joins; a wiped or swapped disk has none, or another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// The node it was written for.
    pub node_id: NodeId,
    /// This disk.
    pub marker_id: MarkerId,
    /// When it was written; for people.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

// === impl Marker ===

impl Marker {
    /// Why a bucket with this marker must not be used as `node` of `cluster`.
    pub(crate) fn objection(&self, cluster: Option<ClusterId>, node: &NodeId) -> Option<String> {
        if let Some(cluster) = cluster
            && self.cluster_id != cluster
        {
            return Some(format!("has the marker of cluster {}, not {cluster}", self.cluster_id));
        }
        (self.node_id != *node).then(|| format!("has the marker of node {}", self.node_id))
    }
}
