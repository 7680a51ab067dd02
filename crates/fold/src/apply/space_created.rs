//! SpaceCreated.

use proto::{Event, SpaceCreated, SpaceId};

use super::Decision;
use crate::rows::SpaceRow;
use crate::{Missing, View};

/// The derived id that becomes the space's.
const SPACE_ID: u32 = 0;

pub(super) fn decide(view: &mut View, n: u64, event: &Event, created: &SpaceCreated) -> Result<Decision, Missing> {
    if view.space_named(&created.name)?.is_some() {
        return Ok(Decision::rejected("space_exists"));
    }
    let space_id = SpaceId::new(event.id.derive(SPACE_ID));
    view.put_space(SpaceRow { space_id, name: created.name.clone(), created_seq: n });
    Ok(Decision { space: Some(created.name.clone()), ..Decision::default() })
}
