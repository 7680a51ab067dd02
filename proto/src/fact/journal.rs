//! Facts about the journal itself.

use serde::{Deserialize, Serialize};

use crate::Incarnation;

/// See [`Fact::JournalRestored`](crate::Fact::JournalRestored). It changes nothing of what was decided: it tells which
/// sequences of the life before still mean what they meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRestored {
    /// The life of the journal whose events these are.
    pub old_incarnation: Incarnation,
    /// Up to this number every event is the one that it was in the old life.
    pub last_common: u64,
}
