//! Changes that bring no bytes: one event each, answered when the catalog has decided.
//!
//! What a path stands for is looked up first, and its id goes into the event beside the path: when the path has come to
//! name something else by the time the fold decides, the change is rejected instead of being applied to the wrong thing.

use catalog::{Lookup, ReceiptRow};
use journal::Published;
use proto::{Event, EventId, Fact, FileId, Fingerprint, Item, Path, SpaceId, SpaceName};
use uuid::Uuid;

use super::receipt::Content;
use super::request::Author;
use super::{Files, Receipt, SOURCE, publish, space_not_found};
use crate::error::{Code, Error, Result};

/// A change that is asked for and not decided yet.
pub(super) struct Asked {
    pub(super) event_id: EventId,
    pub(super) author: Author,
}

/// Stands for what a path named when a request was made first, where that is no part of the request.
pub(super) const UNKNOWN_ITEM: Item = Item::File(FileId::new(Uuid::nil()));

impl Files {
    /// Begins a change: its event's id, and the first outcome when the same request id was decided before.
    pub(super) async fn ask(&self, author: Author, space_id: SpaceId) -> Result<(Asked, Option<ReceiptRow>)> {
        let (event_id, first) = match &author.request_id {
            None => (EventId::new(self.inner().process.ids.v7()), None),
            Some(request_id) => {
                let event_id = EventId::of_request(author.actor.as_str(), space_id, request_id.as_str());
                (event_id, self.catalog().receipt(event_id).await?)
            }
        };
        if first.is_none()
            && let Some(objection) = self.objection()
        {
            return Err(objection);
        }
        Ok((Asked { event_id, author }, first))
    }

    /// Publishes a change and answers what became of it. It may take until the catalog has come to it: who gets
    /// `outcome_pending` asks again with the same request id.
    pub(super) async fn change(&self, asked: Asked, fact: Fact) -> Result<Receipt> {
        let fingerprint = Fingerprint::of_fact(&fact);
        self.change_as(asked, fact, fingerprint).await
    }

    /// As [`Files::change`], for a change that is asked for as a part of something else.
    pub(super) async fn change_as(
        &self,
        asked: Asked,
        fact: Fact,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Receipt> {
        let opened = self.ready()?;
        let Asked { event_id, author } = asked;
        let event = Event {
            id: event_id,
            source: SOURCE.to_owned(),
            time: self.inner().process.clock.now(),
            actor: author.actor,
            request_id: author.request_id,
            fingerprint,
            rules: fact.rules(),
            fact,
        };
        match opened.journal.publish(&event).await {
            Ok(Published { n, .. }) => self.outcome(n, event_id, fingerprint).await,
            Err(error) => Err(publish::stopped(&error)),
        }
    }

    /// Answers a request whose id was decided before: the first outcome, if it was the same request. `facts` are those
    /// that the request can have become.
    pub(super) async fn answer_first(&self, first: ReceiptRow, facts: &[Fact]) -> Result<Receipt> {
        if facts.iter().filter_map(Fingerprint::of_fact).any(|same| first.fingerprint == Some(same)) {
            return self.receipt(first.event_id, None).await;
        }
        Err(publish::reused())
    }

    /// What a change names was not found: because another attempt with the same request id has come first, it may be, since
    /// `ask` looked for one. Then `answer` tells its outcome.
    pub(super) async fn unless_decided(
        &self,
        asked: &Asked,
        not_found: Error,
        answer: impl AsyncFnOnce(ReceiptRow) -> Result<Receipt>,
    ) -> Result<Receipt> {
        if asked.author.request_id.is_none() {
            return Err(not_found);
        }
        match self.catalog().receipt(asked.event_id).await? {
            Some(first) => answer(first).await,
            None => Err(not_found),
        }
    }

    /// The fact of the event that decided a request id, for requests that cannot be told from their receipt alone.
    pub(super) async fn first_fact(&self, first: &ReceiptRow) -> Result<Fact> {
        let recorded = self.ready()?.journal.read(first.seq).await?;
        let recorded = recorded.ok_or_else(|| Error::diverged(format!("event {} is not there any more", first.seq)))?;
        Ok(recorded.decode().map_err(Error::internal)?.fact)
    }

    /// Waits until the catalog has decided the event at `n`.
    async fn outcome(&self, n: u64, event_id: EventId, fingerprint: Option<Fingerprint>) -> Result<Receipt> {
        let at = self.sequence(n)?;
        let pending = |why: &dyn std::fmt::Display| outcome_pending(at, event_id).because(why);
        let waited = self.catalog().wait_for(at, self.limits().outcome_wait).await;
        waited.map_err(|error| pending(&error))?;
        let row = match self.catalog().receipt(event_id).await {
            Ok(Some(row)) => row,
            Ok(None) => return self.undecided(n, event_id).await,
            Err(error) => return Err(pending(&error)),
        };
        // The same id decided another request, now or long ago.
        if row.fingerprint != fingerprint {
            return Err(publish::reused());
        }
        self.decided_receipt(row).await
    }

    /// The answer of a row, with the content of the version that it made.
    pub(super) async fn decided_receipt(&self, row: ReceiptRow) -> Result<Receipt> {
        let content = match row.version_id {
            Some(version_id) => self.catalog().version(version_id).await?.map(|version| Content::of(&version.blob)),
            None => None,
        };
        let sequence = self.sequence(row.seq)?;
        Ok(Receipt::decided(row, sequence, content))
    }

    /// What a path stands for now.
    pub(super) async fn item(&self, space: &SpaceName, path: &Path) -> Result<Item> {
        match self.catalog().file(space, path, None, None).await? {
            Lookup::File(file) => Ok(Item::File(file.file_id)),
            Lookup::Folder(folder) => Ok(Item::Folder(folder.folder_id)),
            Lookup::NoSpace => Err(space_not_found(space)),
            Lookup::NoFile | Lookup::NoVersion(_) | Lookup::Pruned(_) => Err(super::read::file_not_found(space, path)),
        }
    }
}

/// The change is safe in the journal, and what becomes of it is not known yet.
pub(super) fn outcome_pending(at: proto::Sequence, event_id: EventId) -> Error {
    let problem = format!(
        "the change is in the journal at {at} and not decided yet; ask again with the same request id, or for the receipt \
         of {event_id}"
    );
    Error::new(Code::OutcomePending, problem).fact("sequence", at).fact("event_id", event_id)
}
