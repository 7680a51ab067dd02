//! Which space a request for a change means: names of spaces change, and what a request id stands for does not.
//!
//! The id of an event is made of a space's id, and a request names the space. Who asks again after the space was renamed or
//! deleted still says the old name: then the request is looked for in the spaces that had this name before.

use journal::BucketName;
use proto::{EventId, Fingerprint, SpaceId, SpaceName};

use super::request::Author;
use super::upload::is_content_gone;
use super::{Files, publish, space_not_found};
use crate::error::Result;

/// What a request leaves behind in its space.
#[derive(Debug, Clone, Copy)]
enum Trace {
    /// A receipt.
    Receipt,
    /// A receipt, other than one that only says that its content is gone.
    Upload,
    /// A receipt, or at which sequence it was looked into.
    Looked,
}

/// The spaces that a name may mean.
struct Named {
    /// The one that has it now.
    present: Option<SpaceId>,
    /// That one and those that had it before, in the order in which they are looked at; none when there is nothing to
    /// choose from.
    choice: Vec<SpaceId>,
}

impl Files {
    /// The space that a change is asked for in: the one that has the name now, unless the request id was decided in one that
    /// had it before, and not in this one.
    pub(super) async fn space_of(&self, name: &SpaceName, author: &Author) -> Result<SpaceId> {
        self.space_with(name, author, Trace::Receipt).await
    }

    /// As [`Files::space_of`], for an upload: one that only found its content gone is not decided.
    pub(super) async fn space_of_upload(&self, name: &SpaceName, author: &Author) -> Result<SpaceId> {
        self.space_with(name, author, Trace::Upload).await
    }

    /// As [`Files::space_of`], for a request that may have left nothing behind but at which sequence it was looked into.
    pub(super) async fn space_looked_into(&self, name: &SpaceName, author: &Author) -> Result<SpaceId> {
        self.space_with(name, author, Trace::Looked).await
    }

    /// As [`Files::space_of`], for requests whose ids are not a space's own: `fingerprint` says what they are in a space.
    pub(super) async fn space_of_series(
        &self,
        name: &SpaceName,
        author: &Author,
        fingerprint: fn(SpaceId) -> Fingerprint,
    ) -> Result<SpaceId> {
        let Some(request_id) = &author.request_id else { return self.space(name).await };
        let Named { present, choice } = self.named(name).await?;
        let first = EventId::of_request(author.actor.as_str(), SpaceId::NONE, request_id.as_str());
        let decided = if choice.is_empty() { None } else { self.catalog().receipt(first).await? };
        let Some(decided) = decided else { return present.ok_or_else(|| space_not_found(name)) };
        let same = choice.into_iter().find(|space_id| decided.fingerprint == Some(fingerprint(*space_id)));
        same.ok_or_else(publish::reused)
    }

    async fn space_with(&self, name: &SpaceName, author: &Author, trace: Trace) -> Result<SpaceId> {
        let Some(request_id) = &author.request_id else { return self.space(name).await };
        let Named { present, choice } = self.named(name).await?;
        for space_id in choice {
            let first = EventId::of_request(author.actor.as_str(), space_id, request_id.as_str());
            if self.has_left(trace, first).await? {
                return Ok(space_id);
            }
        }
        present.ok_or_else(|| space_not_found(name))
    }

    async fn named(&self, name: &SpaceName) -> Result<Named> {
        let (mut present, mut former) = self.of_name(name).await?;
        if former.is_empty() {
            return Ok(Named { present, choice: Vec::new() });
        }
        // An attempt before this one may just have published what the catalog does not show yet.
        self.reach_head().await?;
        (present, former) = self.of_name(name).await?;
        Ok(Named { present, choice: present.into_iter().chain(former).collect() })
    }

    /// The space that has a name, and those that had it before, the last one first.
    async fn of_name(&self, name: &SpaceName) -> Result<(Option<SpaceId>, Vec<SpaceId>)> {
        Ok((self.catalog().space(name).await?, self.catalog().former_spaces(name).await?))
    }

    /// Whether the request whose first event has this id was made before.
    async fn has_left(&self, trace: Trace, first: EventId) -> Result<bool> {
        let mut event_id = first;
        while let Some(row) = self.catalog().receipt(event_id).await? {
            if !matches!(trace, Trace::Upload) || !is_content_gone(&row) {
                return Ok(true);
            }
            event_id = event_id.second_try();
        }
        if !matches!(trace, Trace::Looked) {
            return Ok(false);
        }
        let bucket = self.ready()?.journal.bucket(BucketName::Requests).await?;
        Ok(bucket.entry(&first.to_string()).await?.is_some())
    }
}
