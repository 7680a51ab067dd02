//! Up to where a generation is folded.

use proto::{EventId, Incarnation, Sequence, Sha256Digest};
use uuid::Uuid;

use crate::Error;

/// Up to where a generation is folded, and proof of which journal it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which life of the journal.
    pub incarnation: Incarnation,
    /// The last sequence number that is folded; 0 is before the first event.
    pub n: u64,
    /// The event there; none at 0 and when its bytes cannot be decoded.
    pub event_id: Option<EventId>,
    /// `Recorded::chain` over all events up to there; all zeros at 0.
    pub chain: Sha256Digest,
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Before the first event of this journal.
    pub const fn start(incarnation: Incarnation) -> Self {
        Self { incarnation, n: 0, event_id: None, chain: Sha256Digest::new([0; 32]) }
    }

    /// The position.
    pub const fn sequence(&self) -> Sequence {
        Sequence { incarnation: self.incarnation, n: self.n }
    }

    pub(crate) fn from_columns(incarnation: Uuid, n: i64, event_id: Option<Uuid>, chain: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            incarnation: Incarnation::new(incarnation),
            n: u64::try_from(n).map_err(|e| Error::inconsistent("checkpoint", "n", e.to_string()))?,
            event_id: event_id.map(EventId::new),
            chain: Sha256Digest::try_from(chain)
                .map_err(|e| Error::inconsistent("checkpoint", "chain", e.to_string()))?,
        })
    }
}
