//! Which marker a node should carry, as somebody outside knows.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use proto::{MarkerId, NodeId};

use crate::Node;

/// Asked, when a node carries a marker of the right cluster and name, whether it is the one that the cluster knows:
/// answers the known one if it is another, and `None` if it is the same, or not known.
pub type OtherMarker =
    Arc<dyn Fn(NodeId, MarkerId) -> Pin<Box<dyn Future<Output = Option<MarkerId>> + Send>> + Send + Sync>;

/// Whom to ask, once that is known.
#[derive(Default)]
pub(crate) struct Known(OnceLock<OtherMarker>);

// === impl Known ===

impl Known {
    /// Why a bucket with this marker must not be used as `node`.
    pub(crate) async fn objection(&self, node: &NodeId, found: MarkerId) -> Option<String> {
        let known = self.0.get()?(node.clone(), found).await?;
        Some(format!("has the marker {found}, but the journal knows {known}: another disk was put in"))
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.0.get().is_some()).finish()
    }
}

// === impl Node ===

impl Node {
    /// From now on the health check asks `other` about every marker that it finds; only the first call counts.
    pub(crate) fn expect(&self, other: OtherMarker) {
        // Who comes second says the same.
        let _ = self.known().0.set(other);
    }
}
