//! Positions in the journal that clients bring back: whoever wrote something can ask to read at least that.

use proto::Sequence;

use super::Files;
use crate::error::{Code, Error, Result};

impl Files {
    /// Waits, but not for long, until the catalog has reached the end of the journal.
    pub(super) async fn reach_head(&self) -> Result<()> {
        let head = self.ready()?.journal.head().await?;
        self.reach(Some(self.sequence(head.n)?)).await
    }

    /// Waits, but not for long, until the catalog has reached `at_least`.
    pub(super) async fn reach(&self, at_least: Option<Sequence>) -> Result<()> {
        let Some(wanted) = at_least else { return Ok(()) };
        let journal = &self.ready()?.journal;
        let Some(wanted) = journal.current(wanted) else {
            let problem = format!("the sequence {wanted} is of another life of the journal, which was restored since");
            return Err(Error::new(Code::JournalRestored, problem));
        };
        let outcome = self.catalog().wait_for(wanted, self.limits().min_sequence_wait).await;
        let Err(behind @ catalog::Error::Behind { .. }) = outcome else {
            return Ok(outcome?);
        };
        // Is it late, or will it never come? While the journal does not say, it is late.
        match journal.head().await {
            Ok(head) if head.n < wanted.n => {
                let problem = format!("the sequence {wanted} was never given out: the journal ends at {}", head.n);
                Err(Error::new(Code::SequenceUnknown, problem))
            }
            Ok(_) | Err(_) => Err(behind.into()),
        }
    }
}
