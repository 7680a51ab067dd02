//! SpaceRenamed: the old name is free from here on.

use proto::SpaceRenamed;

use super::Decision;
use crate::rows::SpaceRow;
use crate::stop::Stop;
use crate::{View, tree};

pub(super) fn decide(view: &mut View, renamed: &SpaceRenamed) -> Result<Decision, Stop> {
    let before = tree::space(view, renamed.space_id)?.clone();
    if view.space_named(&renamed.name)?.is_some() {
        return Err(Stop::Rejected("space_exists"));
    }
    let row = SpaceRow { name: renamed.name.clone(), ..before.clone() };
    view.put_space(Some(&before), row);
    Ok(Decision { space: Some(renamed.name.clone()), ..Decision::default() })
}
