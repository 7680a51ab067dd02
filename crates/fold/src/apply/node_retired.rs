//! NodeRetired: the node is no part of the cluster any more, and no blob is placed on it.

use proto::NodeRetired;

use super::Decision;
use crate::changes::Bulk;
use crate::stop::Stop;
use crate::{View, replicas};

pub(super) fn decide(view: &mut View, n: u64, retired: &NodeRetired) -> Result<Decision, Stop> {
    if let Some(reason) = replicas::refuse_reporter(view, &retired.node, retired.marker_id)? {
        return Err(Stop::Rejected(reason));
    }
    if view.nodes()?.len() == 1 {
        return Err(Stop::Rejected("last_node"));
    }
    view.remove_node(&retired.node);
    view.add_bulk(Bulk::Retire { node: retired.node.clone(), seq: n });
    Ok(Decision::default())
}
