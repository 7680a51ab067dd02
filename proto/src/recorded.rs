//! Events as the journal holds them.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{DecodeError, Event, Sha256Digest};

/// An event at its place in the journal, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The stream's sequence number.
    pub n: u64,
    /// The journal's subject, `hw.v1.<kind>`.
    pub subject: String,
    /// The `Nats-Msg-Id` it was published with; empty when it had none.
    pub message_id: String,
    /// The event as published.
    pub payload: Bytes,
}

impl Recorded {
    /// The event inside.
    pub fn decode(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.payload)
    }

    /// The chain digest after this event: a hash over the one before, the subject, the event id and the payload, each with
    /// its length. Two journals with the same chain digest at a sequence are the same up to there.
    pub fn chain(&self, before: Sha256Digest) -> Sha256Digest {
        let mut hash = Sha256::new();
        hash.update(before.as_bytes());
        for part in [self.subject.as_bytes(), self.message_id.as_bytes(), &self.payload] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Sha256Digest::new(hash.finalize().into())
    }
}
