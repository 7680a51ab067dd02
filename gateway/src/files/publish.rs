//! From an object on a node to an answer that nothing takes back.

use blobs::{Nodes, Written};
use catalog::ReceiptRow;
use journal::{PublishError, Published};
use proto::{Event, EventId, Fact, FileUploaded, Fingerprint};
use tracing::{debug, warn};

use super::change::outcome_pending;
use super::receipt::Content;
use super::{Files, Opened, Receipt};
use crate::error::{Code, Error, Result};

/// An upload whose bytes are on a node, about to become an event.
pub(super) struct Upload {
    /// The event.
    pub(super) event: Event,
    /// What it says.
    pub(super) uploaded: FileUploaded,
    /// What it asks for.
    pub(super) fingerprint: Fingerprint,
    /// The object.
    pub(super) written: Written,
    /// Whether the fold may reject it; it is then answered only once it is decided.
    pub(super) may_be_rejected: bool,
}

/// The error of a journal that takes no changes.
pub(super) fn stopped(error: &PublishError) -> Error {
    match error {
        PublishError::Diverged { reason } => Error::diverged(reason),
        PublishError::Unsafe { reason } => Error::journal_unsafe(reason),
        PublishError::Full { reason } => Error::journal_full(reason),
        PublishError::Unknown { reason } => {
            let problem = "the journal did not confirm the change in time, it may still appear; ask again with the \
                           same request id to learn what became of it";
            Error::new(Code::JournalUnavailable, problem).because(reason).fact("may_appear", true)
        }
        PublishError::Rejected { reason } => Error::internal(format!("the journal refuses the event: {reason}")),
    }
}

impl Files {
    /// Publishes the event of an upload and answers its receipt.
    ///
    /// The object is thrown away only when it is certain that no event names it.
    pub(super) async fn publish(&self, upload: Upload) -> Result<Receipt> {
        let opened = self.ready()?;
        match opened.journal.publish(&upload.event).await {
            Ok(Published { n, duplicate: false }) => self.answer(n, &upload).await,
            Ok(Published { n, duplicate: true }) => self.answer_duplicate(opened, n, &upload).await,
            Err(error @ (PublishError::Full { .. } | PublishError::Rejected { .. })) => {
                discard(&opened.nodes, &upload).await;
                Err(stopped(&error))
            }
            // The event may be in the journal, and then the object is all there is of the file.
            Err(
                error @ (PublishError::Unknown { .. } | PublishError::Diverged { .. } | PublishError::Unsafe { .. }),
            ) => Err(stopped(&error)),
        }
    }

    /// Answers a request whose id was decided before: the first outcome, if it was the same request.
    pub(super) async fn answer_again(&self, first: ReceiptRow, fingerprint: Fingerprint) -> Result<Receipt> {
        if first.fingerprint != Some(fingerprint) {
            return Err(reused());
        }
        self.receipt(first.event_id, None).await
    }

    /// The event was there before this call, or an earlier attempt of this call stored it.
    async fn answer_duplicate(&self, opened: &Opened, n: u64, upload: &Upload) -> Result<Receipt> {
        let first = match opened.journal.read(n).await {
            Ok(Some(recorded)) => recorded.decode().map_err(Error::internal)?,
            Ok(None) => {
                return Err(Error::diverged(format!("event {n} was acknowledged as a duplicate and is not there")));
            }
            Err(error) => {
                // Whether the object is named by the first event is not known: it stays.
                let reason = error.to_string();
                return Err(stopped(&PublishError::Unknown { reason }));
            }
        };
        let Fact::FileUploaded(first_uploaded) = &first.fact else {
            discard(&opened.nodes, upload).await;
            return Err(reused());
        };
        if first_uploaded.blob_id == upload.uploaded.blob_id {
            return self.answer(n, upload).await;
        }
        discard(&opened.nodes, upload).await;
        if first.fingerprint != Some(upload.fingerprint) {
            return Err(reused());
        }
        self.decided(n, first_uploaded, upload).await
    }

    async fn answer(&self, n: u64, upload: &Upload) -> Result<Receipt> {
        self.decided(n, &upload.uploaded, upload).await
    }

    /// Waits for the catalog's decision on the event at `n`: not for long, if it is one that the fold never rejects.
    async fn decided(&self, n: u64, uploaded: &FileUploaded, upload: &Upload) -> Result<Receipt> {
        let (at, event_id, fingerprint) = (self.sequence(n)?, upload.event.id, upload.fingerprint);
        let unknown = |why: catalog::Error| outcome_pending(at, event_id).because(why.to_string());
        let limits = self.limits();
        let wait = if upload.may_be_rejected { limits.outcome_wait } else { limits.projection_wait };
        let behind = match self.catalog().wait_for(at, wait).await {
            Ok(()) => None,
            Err(behind @ catalog::Error::Behind { .. }) => Some(behind),
            Err(error) => return Err(unknown(error)),
        };
        // Also asked when the catalog is behind: one that does not answer at all is no catalog that is behind.
        let row = match (self.catalog().receipt(event_id).await.map_err(unknown)?, behind) {
            (Some(row), _) => row,
            (None, None) => return self.undecided(n, event_id).await,
            (None, Some(behind)) if upload.may_be_rejected || self.is_old(uploaded) => return Err(unknown(behind)),
            (None, Some(behind)) => {
                debug!(event.id = %event_id, seq = n, "answering before the catalog shows event {n}: {behind}");
                return Ok(Receipt::pending(event_id, at, uploaded));
            }
        };
        if row.seq == n {
            // A rejected upload has no content: its bytes are nobody's.
            let content = row.version_id.map(|_| Content::uploaded(uploaded));
            return Ok(Receipt::decided(row, at, content));
        }
        // The id was decided long ago, before the journal's memory of ids began. The object stays: event `n` names it.
        warn!(event.id = %event_id, seq = n, "event {n} repeats event {}, which decided its id", row.seq);
        self.answer_again(row, fingerprint).await
    }

    /// Whether the object of an upload is so old that it may have been condemned as an orphan: a blob's id has the time
    /// at which its upload began.
    fn is_old(&self, uploaded: &FileUploaded) -> bool {
        let now = self.inner().process.clock.now();
        uploaded.blob_id.began_at().is_some_and(|began| now - began > self.limits().erase_grace / 2)
    }

    /// The catalog is past the sequence and has no receipt: it was folded from another journal. Or a switch to another
    /// generation came between the two reads, so that is ruled out first.
    pub(super) async fn undecided(&self, n: u64, event_id: EventId) -> Result<Receipt> {
        self.catalog().wait_for(self.sequence(n)?, self.limits().projection_wait).await?;
        if let Some(row) = self.catalog().receipt(event_id).await? {
            return self.receipt(row.event_id, None).await;
        }
        let opened = self.ready()?;
        let reason =
            format!("the catalog is past event {n} and has no receipt of {event_id}, which the journal put there");
        opened.journal.report_diverged(reason.clone());
        Err(Error::diverged(reason))
    }
}

pub(super) fn reused() -> Error {
    Error::new(Code::RequestIdReused, "the request id was used before, for another request")
}

async fn discard(nodes: &Nodes, upload: &Upload) {
    nodes.discard(upload.uploaded.blob_id, &upload.written).await;
}
