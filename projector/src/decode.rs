//! What stands at a sequence, as far as this program knows it.

use proto::{DecodeError, Event, Recorded};

use crate::error::Halt;

/// The event; `None` when no version can decode it. What only a later version knows halts: skipping it would decide
/// everything after it wrongly.
pub(crate) fn decode(recorded: &Recorded) -> Result<Option<Event>, Halt> {
    let n = recorded.n;
    match recorded.decode() {
        Ok(event) => Ok(Some(event)),
        Err(DecodeError::Undecodable { reason }) => {
            tracing::warn!(seq = n, "event {n} cannot be decoded by any version, it is recorded as rejected: {reason}");
            Ok(None)
        }
        Err(unknown @ (DecodeError::UnknownType { .. } | DecodeError::UnknownRules { .. })) => {
            Err(Halt::Unknown { n, unknown })
        }
    }
}
