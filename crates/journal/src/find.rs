//! Single events by what they are.

use proto::{Kind, Recorded};

use crate::error::Error;
use crate::journal::Journal;

impl Journal {
    /// The first event of a kind at `from` or after, as the stream's leader has it. Large uploads have a subject of their
    /// own and are not found.
    pub async fn next_of(&self, kind: Kind, from: u64) -> Result<Option<Recorded>, Error> {
        let shared = self.shared();
        let subject = format!("hw.v1.{}", kind.subject_token());
        shared.link.first_of(&shared.config.stream, &subject, from).await
    }

    /// Stops all writes for good: somebody has proof that this is not the journal it was.
    pub fn report_diverged(&self, reason: impl Into<String>) {
        self.shared().guard.diverge(&reason.into());
    }
}
