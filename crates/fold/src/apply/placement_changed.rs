//! PlacementChanged: where blobs shall be from here on. It moves nothing: which copies are to be made is said by the uploads
//! that follow it and, for what is there already, by the ReplicationRedriven that ask for what is missing.

use proto::PlacementChanged;

use super::Decision;
use crate::View;
use crate::rows::PlacementRow;
use crate::stop::Stop;

pub(super) fn decide(view: &mut View, n: u64, changed: &PlacementChanged) -> Result<Decision, Stop> {
    if view.placement()?.placement == changed.placement {
        return Err(Stop::Rejected("placement_unchanged"));
    }
    view.put_placement(PlacementRow { seq: n, placement: changed.placement.clone() });
    Ok(Decision::default())
}
