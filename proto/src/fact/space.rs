//! Facts about spaces.

use serde::{Deserialize, Serialize};

use crate::{SpaceId, SpaceName};

/// See [`Fact::SpaceCreated`](crate::Fact::SpaceCreated). The space's id is the event's first derived id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceCreated {
    /// The space's name.
    pub name: SpaceName,
}

/// See [`Fact::SpaceRenamed`](crate::Fact::SpaceRenamed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceRenamed {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Its new name.
    pub name: SpaceName,
}

/// See [`Fact::SpaceDeleted`](crate::Fact::SpaceDeleted).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceDeleted {
    /// The space that the gateway resolved.
    pub space_id: SpaceId,
    /// Its name then.
    pub space: SpaceName,
    /// Applies even if there is something in it.
    pub force: bool,
    /// For how many days its content is kept when the space itself does not say; none for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
}
