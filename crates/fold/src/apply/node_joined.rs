//! NodeJoined: the node is there from now on, and every blob shall be on it.

use proto::NodeJoined;

use super::Decision;
use crate::changes::Backfill;
use crate::rows::NodeRow;
use crate::{Missing, View};

pub(super) fn decide(view: &mut View, n: u64, joined: &NodeJoined) -> Result<Decision, Missing> {
    if view.nodes()?.contains_key(&joined.node) {
        return Ok(Decision::rejected("node_already_joined"));
    }
    view.put_node(NodeRow { node: joined.node.clone(), marker_id: joined.marker_id, joined_seq: n });
    view.add_backfill(Backfill { node: joined.node.clone(), seq: n });
    Ok(Decision::default())
}
