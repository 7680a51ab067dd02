//! Why deciding ends early.

use crate::Missing;

/// Why deciding an event ended before anything was changed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Rows are missing: it starts over when they are there.
    Missing(Missing),
    /// It is rejected, for this reason: a stable word.
    Rejected(&'static str),
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}
