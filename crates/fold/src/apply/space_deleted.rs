//! SpaceDeleted: the name is free from here on; what is in the space stays as it is until it is pruned. Nobody can set the
//! retention of a space that is gone, so one that has none gets that of the event: else its bytes would stay for ever.

use proto::SpaceDeleted;

use super::Decision;
use crate::rows::SpaceRow;
use crate::stop::Stop;
use crate::{View, tree};

pub(super) fn decide(view: &mut View, n: u64, deleted: &SpaceDeleted) -> Result<Decision, Stop> {
    let before = tree::space(view, deleted.space_id)?.clone();
    let entries = view.folder(deleted.space_id.root())?.map_or(0, |root| root.entries);
    if entries > 0 && !deleted.force {
        return Err(Stop::Rejected("space_not_empty"));
    }
    let keep_days = before.keep_days.or(deleted.keep_days);
    let row = SpaceRow { deleted_seq: Some(n), keep_days, ..before.clone() };
    view.put_space(Some(&before), row);
    Ok(Decision { space: Some(before.name), ..Decision::default() })
}
