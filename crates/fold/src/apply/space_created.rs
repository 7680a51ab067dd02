//! SpaceCreated: a space with an empty root.

use proto::{Event, SpaceCreated, SpaceId};

use super::Decision;
use crate::View;
use crate::rows::SpaceRow;
use crate::stop::Stop;

/// The derived id that becomes the space's.
const SPACE_ID: u32 = 0;

pub(super) fn decide(view: &mut View, n: u64, event: &Event, created: &SpaceCreated) -> Result<Decision, Stop> {
    if view.space_named(&created.name)?.is_some() {
        return Err(Stop::Rejected("space_exists"));
    }
    let space_id = SpaceId::new(event.id.derive(SPACE_ID));
    view.put_space(None, SpaceRow::new(space_id, created.name.clone(), n));
    Ok(Decision { space_id: Some(space_id), space: Some(created.name.clone()), ..Decision::default() })
}
