//! NodeWiped: the node's disk is another one, so nothing that it held counts, and it is filled again. What was to be erased
//! from it is erased: a report of the old disk would not count any more, and nobody else would ever end the pair.

use proto::NodeWiped;

use super::Decision;
use crate::View;
use crate::changes::Bulk;
use crate::rows::NodeRow;
use crate::stop::Stop;

pub(super) fn decide(view: &mut View, n: u64, wiped: &NodeWiped) -> Result<Decision, Stop> {
    let row = match view.nodes()?.get(&wiped.node) {
        None => return Err(Stop::Rejected("node_unknown")),
        Some(row) if row.marker_id != wiped.old_marker_id => return Err(Stop::Rejected("marker_outdated")),
        Some(row) => NodeRow { marker_id: wiped.marker_id, marker_seq: n, ..row.clone() },
    };
    view.put_node(row);
    view.add_bulk(Bulk::Wipe { node: wiped.node.clone(), seq: n });
    Ok(Decision::default())
}
