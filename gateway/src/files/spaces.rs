//! Spaces: made, listed, renamed, deleted, and how long they keep old content.

use catalog::{DeletedSpace, SpaceRow};
use proto::{Fact, RetentionSet, Sequence, SpaceCreated, SpaceDeleted, SpaceId, SpaceName, SpaceRenamed};

use super::request::Author;
use super::{Files, Receipt, publish};
use crate::error::Result;

/// How long a space keeps old content; see `highwater.v1.Retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retention {
    /// So many newest versions of each file are kept.
    pub(crate) keep_versions: Option<u32>,
    /// Old versions and the trash are kept for so many days.
    pub(crate) keep_days: Option<u32>,
}

impl Files {
    /// All spaces, by name.
    pub(crate) async fn spaces(&self, at_least: Option<Sequence>) -> Result<Vec<SpaceRow>> {
        self.reach(at_least).await?;
        Ok(self.catalog().spaces().await?)
    }

    /// The spaces that were deleted, the newest deletion first.
    pub(crate) async fn deleted_spaces(&self) -> Result<Vec<DeletedSpace>> {
        Ok(self.catalog().deleted_spaces().await?)
    }

    /// Makes a space.
    pub(crate) async fn create_space(&self, name: SpaceName, author: Author) -> Result<Receipt> {
        let fact = Fact::SpaceCreated(SpaceCreated { name });
        let (asked, first) = self.ask(author, SpaceId::NONE).await?;
        match first {
            Some(first) => self.answer_first(first, &[fact]).await,
            None => self.change(asked, fact).await,
        }
    }

    /// Gives a space another name.
    pub(crate) async fn rename_space(&self, space: SpaceName, name: SpaceName, author: Author) -> Result<Receipt> {
        // Not in the space's own namespace: after the first time the old name no longer leads to the space.
        let answer = async |first| match self.first_fact(&first).await? {
            Fact::SpaceRenamed(done) if done.space == space && done.name == name => self.decided_receipt(first).await,
            _ => Err(publish::reused()),
        };
        let (asked, first) = self.ask(author, SpaceId::NONE).await?;
        if let Some(first) = first {
            return answer(first).await;
        }
        let space_id = match self.space(&space).await {
            Ok(space_id) => space_id,
            Err(not_found) => return self.unless_decided(&asked, not_found, answer).await,
        };
        self.change(asked, Fact::SpaceRenamed(SpaceRenamed { space_id, space, name })).await
    }

    /// Deletes a space that is empty, or any.
    pub(crate) async fn delete_space(&self, space: SpaceName, force: bool, author: Author) -> Result<Receipt> {
        let answer = async |first| match self.first_fact(&first).await? {
            Fact::SpaceDeleted(done) if done.space == space && done.force == force => self.decided_receipt(first).await,
            _ => Err(publish::reused()),
        };
        let (asked, first) = self.ask(author, SpaceId::NONE).await?;
        if let Some(first) = first {
            return answer(first).await;
        }
        let space_id = match self.space(&space).await {
            Ok(space_id) => space_id,
            Err(not_found) => return self.unless_decided(&asked, not_found, answer).await,
        };
        let keep_days = Some(self.limits().deleted_space_days);
        self.change(asked, Fact::SpaceDeleted(SpaceDeleted { space_id, space, force, keep_days })).await
    }

    /// Says how long a space keeps old content; what is older is pruned at the next `duties.prune_interval`.
    pub(crate) async fn set_retention(&self, space: SpaceName, keep: Retention, author: Author) -> Result<Receipt> {
        let space_id = self.space_of(&space, &author).await?;
        let Retention { keep_versions, keep_days } = keep;
        let fact = Fact::RetentionSet(RetentionSet { space_id, space, keep_versions, keep_days });
        let (asked, first) = self.ask(author, space_id).await?;
        match first {
            Some(first) => self.answer_first(first, &[fact]).await,
            None => self.change(asked, fact).await,
        }
    }
}
