//! NodeJoined: the node is there from now on. When blobs are on every node, every live one shall be on it; else what shall
//! come to it is asked for by itself.

use proto::NodeJoined;

use super::Decision;
use crate::View;
use crate::changes::Bulk;
use crate::rows::NodeRow;
use crate::stop::Stop;

pub(super) fn decide(view: &mut View, n: u64, joined: &NodeJoined) -> Result<Decision, Stop> {
    if view.nodes()?.contains_key(&joined.node) {
        return Err(Stop::Rejected("node_already_joined"));
    }
    let is_everywhere = view.placement()?.placement.copies.is_none();
    view.put_node(NodeRow { node: joined.node.clone(), marker_id: joined.marker_id, joined_seq: n, marker_seq: n });
    if is_everywhere {
        view.add_bulk(Bulk::Join { node: joined.node.clone(), seq: n });
    }
    Ok(Decision::default())
}
