//! Requests that are several changes, each an event of its own: to undo what somebody did, to prune a space; and those of
//! operations, which do what they find to be done.
//!
//! The first event has the id that is made of the client's request id, the others have ids made of that one, so that the
//! same request finds again what it has done. Each carries the fingerprint of the whole request, and in the place of the
//! client's id a note: what must be known to go on, or to tell the first outcome, is in the journal.
//!
//! A request that finds nothing to do leaves no event behind. At which sequence it was looked into is no fact either, so it
//! is in a bucket, before the first event: who asks again finds what was found then, whatever has happened since.

use catalog::ReceiptRow;
use journal::BucketName;
use proto::{EventId, Fact, Fingerprint, RequestId, SpaceId};
use serde::{Deserialize, Serialize};

use super::change::Asked;
use super::request::Author;
use super::{Files, Receipt, publish};
use crate::error::{Error, Result};

/// One such request.
pub(super) struct Series {
    author: Author,
    pub(super) fingerprint: Fingerprint,
    /// The id of its first event.
    pub(super) first: EventId,
}

/// What is remembered of a request in [`BucketName::Requests`].
#[derive(Debug, Serialize, Deserialize)]
struct Looked {
    fingerprint: String,
    /// In the journal.
    at: u64,
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

    /// The sequence at which the request was looked into first; none when it was not.
    pub(super) async fn looked_into(&self, series: &Series) -> Result<Option<u64>> {
        if !series.is_named() {
            return Ok(None);
        }
        let bucket = self.ready()?.journal.bucket(BucketName::Requests).await?;
        let Some(entry) = bucket.entry(&series.first.to_string()).await? else { return Ok(None) };
        let looked: Looked = serde_json::from_slice(&entry.value).map_err(Error::internal)?;
        if looked.fingerprint != series.fingerprint.to_string() {
            return Err(publish::reused());
        }
        Ok(Some(looked.at))
    }

    /// Remembers at which sequence the request is looked into, and answers at which it was first: of two attempts at once,
    /// one is the first.
    pub(super) async fn look_into(&self, series: &Series, at: u64) -> Result<u64> {
        if !series.is_named() {
            return Ok(at);
        }
        let bucket = self.ready()?.journal.bucket(BucketName::Requests).await?;
        let looked = Looked { fingerprint: series.fingerprint.to_string(), at };
        let value = serde_json::to_vec(&looked).map_err(Error::internal)?;
        if bucket.create(&series.first.to_string(), value.into()).await?.is_some() {
            return Ok(at);
        }
        let first = self.looked_into(series).await?;
        first.ok_or_else(|| Error::internal(format!("what was remembered of {} is gone", series.first)))
    }

    /// As [`Files::look_into`], for a request whose first event has that sequence as its note: also when the bucket was lost.
    pub(super) async fn evaluate_at(&self, series: &Series, now: u64) -> Result<u64> {
        let Some(first) = self.found(series, series.first).await? else { return self.look_into(series, now).await };
        first.note.parse().map_err(|_| Error::internal(format!("{:?} is no sequence number", first.note)))
    }

    /// Publishes an event of the request and answers what became of it: of the first with this id.
    pub(super) async fn add(&self, series: &Series, event_id: EventId, note: &str, fact: Fact) -> Result<Receipt> {
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        self.change_as(Asked { event_id, author: series.noting(note)? }, fact, Some(series.fingerprint)).await
    }
}

// === impl Series ===

impl Series {
    /// Whether the client can ask for it again.
    pub(super) const fn is_named(&self) -> bool {
        self.author.request_id.is_some()
    }

    /// Who asks, with a note in the place of the client's id: that may be as long as an id can be, so the id that is made of
    /// it is in the note.
    pub(super) fn noting(&self, note: &str) -> Result<Author> {
        let text = self.is_named().then(|| format!("{}/{note}", self.first));
        let request_id: Option<RequestId> = text.map(|text| text.parse().map_err(Error::internal)).transpose()?;
        Ok(Author { actor: self.author.actor.clone(), request_id })
    }
}
