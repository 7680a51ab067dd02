//! RetentionSet: what the space keeps from here on. Pruning is another event's.

use proto::RetentionSet;

use super::Decision;
use crate::rows::SpaceRow;
use crate::stop::Stop;
use crate::{View, tree};

pub(super) fn decide(view: &mut View, set: &RetentionSet) -> Result<Decision, Stop> {
    let before = tree::space(view, set.space_id)?;
    let row = SpaceRow { keep_versions: set.keep_versions, keep_days: set.keep_days, ..before.clone() };
    let space = Some(row.name.clone());
    view.spaces.put(row.space_id, row);
    Ok(Decision { space, ..Decision::default() })
}
