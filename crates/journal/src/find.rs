//! Events by what they are.

use std::sync::Arc;

use proto::{Kind, Recorded};

use crate::error::Error;
use crate::journal::Journal;
use crate::names::{large_subject, subject};
use crate::replay::Replay;

impl Journal {
    /// The first event of a kind at `from` or after, as the stream's leader has it. Large uploads have a subject of their
    /// own and are not found.
    pub async fn next_of(&self, kind: Kind, from: u64) -> Result<Option<Recorded>, Error> {
        let shared = self.shared();
        shared.link.first_of(&shared.config.stream, &subject(kind), from).await
    }

    /// Reads all events of a kind from `from` on in order, large uploads too, up to and with `to`, which must be in the journal
    /// already. Many at a time, where [`Self::next_of`] asks for each.
    pub fn replay_of(&self, kind: Kind, from: u64, to: u64) -> Replay {
        Replay::of_subjects(Arc::clone(self.shared()), vec![subject(kind), large_subject(kind)], from, to)
    }

    /// Stops all writes for good: somebody has proof that this is not the journal it was.
    pub fn report_diverged(&self, reason: impl Into<String>) {
        self.shared().guard.diverge(&reason.into());
    }
}
