//! Requests that are several changes, each an event of its own: to undo what somebody did, to prune a space.
//!
//! The first event has the id that is made of the client's request id, the others have ids made of that one, so that the
//! same request finds again what it has done. Each carries the fingerprint of the whole request, and in the place of the
//! client's id a note: what must be known to go on, or to tell the first outcome, is in the journal and nowhere else.

use catalog::ReceiptRow;
use proto::{EventId, Fact, Fingerprint, RequestId, SpaceId};

use super::change::Asked;
use super::request::Author;
use super::{Files, Receipt, publish};
use crate::error::{Error, Result};

/// One such request.
pub(super) struct Series {
    author: Author,
    fingerprint: Fingerprint,
    /// The id of its first event.
    pub(super) first: EventId,
}

/// An event of the request that is there.
pub(super) struct Found {
    pub(super) row: ReceiptRow,
    pub(super) fact: Fact,
    /// What it says to whoever asks again.
    pub(super) note: String,
}

impl Files {
    /// Begins a request in a namespace: a space, or [`SpaceId::NONE`].
    pub(super) fn series(&self, author: &Author, namespace: SpaceId, fingerprint: Fingerprint) -> Series {
        let first = match &author.request_id {
            None => EventId::new(self.inner().process.ids.v7()),
            Some(id) => EventId::of_request(author.actor.as_str(), namespace, id.as_str()),
        };
        Series { author: author.clone(), fingerprint, first }
    }

    /// The receipt of an event of the request, when it was decided before.
    pub(super) async fn receipt_of(&self, series: &Series, event_id: EventId) -> Result<Option<ReceiptRow>> {
        if !series.is_named() {
            return Ok(None);
        }
        match self.catalog().receipt(event_id).await? {
            Some(row) if row.fingerprint != Some(series.fingerprint) => Err(publish::reused()),
            row => Ok(row),
        }
    }

    /// An event of the request, when it was decided before.
    pub(super) async fn found(&self, series: &Series, event_id: EventId) -> Result<Option<Found>> {
        let Some(row) = self.receipt_of(series, event_id).await? else { return Ok(None) };
        let recorded = self.ready()?.journal.read(row.seq).await?;
        let recorded = recorded.ok_or_else(|| Error::diverged(format!("event {} is not there any more", row.seq)))?;
        let event = recorded.decode().map_err(Error::internal)?;
        let text = event.request_id.map(String::from).unwrap_or_default();
        let note = text.strip_prefix(&format!("{}/", series.first)).unwrap_or_default().to_owned();
        Ok(Some(Found { row, fact: event.fact, note }))
    }

    /// Publishes an event of the request and answers what became of it: of the first with this id.
    pub(super) async fn add(&self, series: &Series, event_id: EventId, note: &str, fact: Fact) -> Result<Receipt> {
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let author = Author { actor: series.author.actor.clone(), request_id: series.noted(note)? };
        self.change_as(Asked { event_id, author }, fact, Some(series.fingerprint)).await
    }
}

// === impl Series ===

impl Series {
    /// Whether the client can ask for it again.
    pub(super) const fn is_named(&self) -> bool {
        self.author.request_id.is_some()
    }

    /// The client's id may be as long as an id can be, so the id that is made of it takes its place.
    fn noted(&self, note: &str) -> Result<Option<RequestId>> {
        let text = self.is_named().then(|| format!("{}/{note}", self.first));
        text.map(|text| text.parse().map_err(Error::internal)).transpose()
    }
}
