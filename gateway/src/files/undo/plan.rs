//! What undoes each change, as things are at a sequence and will be after the steps before.

use catalog::{ChangeRow, VersionKind, VersionRow};
use proto::{
    Event, EventId, Fact, FileDeleted, FileId, FileMoved, FileUndeleted, FolderDeleted, FolderId, Item, OnConflict,
    Path, SpaceId, SpaceName, VersionRestored,
};

use super::ahead::{Ahead, Trashed};
use crate::error::Result;
use crate::files::Files;

/// One step: a change, and what undoes it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) change: ChangeRow,
    /// A sentence: what is done, or why nothing is.
    pub(super) action: String,
    pub(super) by: Option<By>,
}

/// An event that does the opposite.
#[derive(Debug)]
pub(super) struct By {
    pub(super) event_id: EventId,
    pub(super) fact: Fact,
}

/// How one change is undone.
enum Opposite {
    /// By this.
    By(Box<Deed>),
    /// Not at all, for this reason.
    Not(String),
}

/// What is done.
struct Deed {
    fact: Fact,
    action: String,
    /// The version that the file is like then.
    like: Option<VersionRow>,
    /// How its folder is in the trash then.
    trashed: Option<(FolderId, Trashed)>,
}

/// A plan under way.
struct Plan<'a> {
    files: &'a Files,
    space_id: SpaceId,
    space: &'a SpaceName,
    at: u64,
    ahead: Ahead<'a>,
    /// The id of the first event; those of the others are made of it.
    first: EventId,
    /// Whether there is one.
    has_begun: bool,
    planned: Vec<Planned>,
}

impl Files {
    /// What undoes these changes, which come newest first, as things are at a sequence: the same for ever.
    pub(super) async fn plan_undo(
        &self,
        space_id: SpaceId,
        space: &SpaceName,
        changes: &[(ChangeRow, Event)],
        at: u64,
        first: EventId,
    ) -> Result<Vec<Planned>> {
        let (ahead, planned) = (Ahead::new(self, space_id, at), Vec::with_capacity(changes.len()));
        let mut plan = Plan { files: self, space_id, space, at, ahead, first, has_begun: false, planned };
        for (change, event) in changes {
            let opposite = plan.opposite(change, event).await?;
            let is_undone = matches!(opposite, Opposite::By(_));
            plan.add(change, opposite, first.step(change.seq));
            if is_undone && let Some(opposite) = plan.give_back(change, event).await? {
                plan.add(change, opposite, first.step(change.seq).step(0));
            }
        }
        Ok(plan.planned)
    }
}

impl Plan<'_> {
    fn add(&mut self, change: &ChangeRow, opposite: Opposite, event_id: EventId) {
        let (action, by) = match opposite {
            Opposite::Not(action) => (action, None),
            Opposite::By(deed) => {
                let event_id = if self.has_begun { event_id } else { self.first };
                self.has_begun = true;
                let Deed { fact, action, like, trashed } = *deed;
                self.ahead.note(change.seq, event_id, &fact, like.map(|row| row.version_id));
                if let Some((folder_id, trashed)) = trashed {
                    self.ahead.note_trashed(folder_id, trashed);
                }
                (action, Some(By { event_id, fact }))
            }
        };
        self.planned.push(Planned { change: change.clone(), action, by });
    }

    /// What undoes a change.
    async fn opposite(&self, change: &ChangeRow, event: &Event) -> Result<Opposite> {
        match &event.fact {
            Fact::FileUploaded(_) | Fact::FileCopied(_) | Fact::VersionRestored(_) => {
                self.without_version(change, event, "").await
            }
            Fact::FileDeleted(deleted) => self.bring_file_back(change, event, deleted.file_id).await,
            Fact::FolderDeleted(deleted) => self.bring_folder_back(change, deleted.folder_id).await,
            Fact::FolderCreated(_) => self.without_folder(change, event).await,
            Fact::FileUndeleted(undeleted) => match undeleted.item {
                Item::File(_) => self.without_version(change, event, " again").await,
                Item::Folder(folder_id) => self.delete_folder_again(change, folder_id).await,
            },
            Fact::FileMoved(moved) => self.move_back(change, moved).await,
            Fact::SpaceCreated(_) | Fact::SpaceRenamed(_) | Fact::SpaceDeleted(_) | Fact::RetentionSet(_) => {
                Ok(not("changes of spaces are not undone"))
            }
            Fact::VersionsPruned(_) => Ok(not("content that was pruned is gone")),
            Fact::NodeJoined(_)
            | Fact::BlobCondemned(_)
            | Fact::BlobErasureOrdered(_)
            | Fact::BlobErased(_)
            | Fact::ReplicaStored(_)
            | Fact::ReplicationParked(_)
            | Fact::NodeWiped(_)
            | Fact::NodeRetired(_)
            | Fact::PlacementChanged(_)
            | Fact::ReplicaLost(_)
            | Fact::ReplicationRedriven(_)
            | Fact::JournalRestored(_) => Ok(not("it is no user's change")),
        }
    }

    /// A version is undone by restoring the one before it, or by deleting the file that it made.
    async fn without_version(&self, change: &ChangeRow, event: &Event, again: &str) -> Result<Opposite> {
        let (Some(path), Some(file_id)) = (change.path.clone(), change.file_id) else {
            return Ok(not("it made no version"));
        };
        if self.ahead.item(&path).await? != Some(Item::File(file_id)) {
            return Ok(gone(&path));
        }
        let Some(stand) = self.ahead.stand(file_id).await? else { return Ok(gone(&path)) };
        if stand.like != Some(event.id.version_id()) {
            return Ok(changed(&path));
        }
        let (made, like) = self.made_and_before(file_id, change.seq).await?;
        if made.is_none_or(|made| made.version_id != event.id.version_id()) {
            return Ok(not(format!("the version of {} that it made is not known", path.as_str())));
        }
        let (space_id, space, if_version) = (self.space_id, self.space.clone(), Some(stand.newest));
        let Some(before) = like.clone().filter(|before| before.kind != VersionKind::Tombstone) else {
            let action = format!("delete {}{again}", path.as_str());
            let fact = Fact::FileDeleted(FileDeleted { space_id, space, path, file_id, if_version });
            return Ok(by(Deed { like, ..Deed::new(fact, action) }));
        };
        if self.is_pruned(&before) {
            return Ok(not("the content before it was pruned"));
        }
        let version_id = before.version_id;
        let action = format!("restore version {version_id} of {}", path.as_str());
        let restored = VersionRestored { space_id, space, path, file_id, version_id, if_version };
        Ok(by(Deed { like, ..Deed::new(Fact::VersionRestored(restored), action) }))
    }

    async fn bring_file_back(&self, change: &ChangeRow, event: &Event, file_id: FileId) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it has no path")) };
        match self.ahead.stand(file_id).await? {
            Some(stand) if stand.is_deleted && stand.like == Some(event.id.version_id()) => {}
            Some(stand) if stand.is_deleted => return Ok(deleted_again()),
            Some(_) | None => return Ok(not("it is not in the trash any more")),
        }
        let action = format!("bring {} back", path.as_str());
        self.undelete_file(change.seq, path, file_id, action).await
    }

    /// A file that a moved or undeleted one has replaced went into the trash: it comes back once its place is free again.
    async fn give_back(&self, change: &ChangeRow, event: &Event) -> Result<Option<Opposite>> {
        let (on_conflict, item) = match &event.fact {
            Fact::FileMoved(moved) => (moved.on_conflict, moved.item),
            Fact::FileUndeleted(undeleted) => (undeleted.on_conflict, undeleted.item),
            _ => return Ok(None),
        };
        let (OnConflict::Overwrite, Item::File(_), Some(path)) = (on_conflict, item, change.path.clone()) else {
            return Ok(None);
        };
        let there = self.ahead.past(path.as_str(), change.seq.saturating_sub(1)).await?;
        let Some(Item::File(file_id)) = there.filter(|there| *there != item) else { return Ok(None) };
        let tombstone = event.id.replaced_version_id();
        let (buried, _) = self.made_and_before(file_id, change.seq).await?;
        if buried.is_none_or(|buried| buried.version_id != tombstone) {
            return Ok(None);
        }
        let stand = self.ahead.stand(file_id).await?;
        if stand.is_none_or(|stand| stand.like != Some(tombstone)) {
            let reason = format!("the file that it replaced at {} was brought back since", path.as_str());
            return Ok(Some(not(reason)));
        }
        let action = format!("bring back the file that it replaced at {}", path.as_str());
        self.undelete_file(change.seq, path, file_id, action).await.map(Some)
    }

    /// Brings back what a file was before the event at `seq` put it into the trash.
    async fn undelete_file(&self, seq: u64, path: Path, file_id: FileId, action: String) -> Result<Opposite> {
        let (_, like) = self.made_and_before(file_id, seq).await?;
        let Some(before) = like.clone().filter(|row| row.blob_id.is_some() && !self.is_pruned(row)) else {
            return Ok(not("its content was pruned"));
        };
        if let Some(obstacle) = self.ahead.obstacle(&path).await? {
            return Ok(not(obstacle));
        }
        let (item, version_id) = (Item::File(file_id), Some(before.version_id));
        let (space_id, space, on_conflict) = (self.space_id, self.space.clone(), OnConflict::Fail);
        let undeleted = FileUndeleted { space_id, space, path, item, version_id, on_conflict };
        Ok(by(Deed { like, ..Deed::new(Fact::FileUndeleted(undeleted), action) }))
    }

    async fn bring_folder_back(&self, change: &ChangeRow, folder_id: FolderId) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it has no path")) };
        match self.ahead.trashed(folder_id).await? {
            Trashed::Since(seq) if seq == change.seq => {}
            Trashed::Since(_) | Trashed::Unmade => return Ok(deleted_again()),
            Trashed::No => return Ok(not("it is not in the trash any more")),
        }
        if let Some(obstacle) = self.ahead.obstacle(&path).await? {
            return Ok(not(obstacle));
        }
        let action = format!("bring {} back", path.as_str());
        let (space_id, space, on_conflict) = (self.space_id, self.space.clone(), OnConflict::Fail);
        let (item, version_id) = (Item::Folder(folder_id), None);
        let undeleted = FileUndeleted { space_id, space, path, item, version_id, on_conflict };
        Ok(by(Deed::new(Fact::FileUndeleted(undeleted), action)))
    }

    async fn without_folder(&self, change: &ChangeRow, event: &Event) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it made no folder")) };
        let depth = u32::try_from(path.segments().count() - 1).unwrap_or(u32::MAX);
        let folder_id = event.id.folder_id(depth);
        if self.ahead.item(&path).await? != Some(Item::Folder(folder_id)) {
            return Ok(gone(&path));
        }
        if !self.ahead.is_empty(&path).await? {
            return Ok(not(format!("the folder {} is not empty", path.as_str())));
        }
        let action = format!("delete the folder {}", path.as_str());
        let (space_id, space) = (self.space_id, self.space.clone());
        let deleted = FolderDeleted { space_id, space, path, folder_id, recursive: false };
        let trashed = Some((folder_id, Trashed::Unmade));
        Ok(by(Deed { trashed, ..Deed::new(Fact::FolderDeleted(deleted), action) }))
    }

    async fn delete_folder_again(&self, change: &ChangeRow, folder_id: FolderId) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it has no path")) };
        if self.ahead.item(&path).await? != Some(Item::Folder(folder_id)) {
            return Ok(gone(&path));
        }
        let before = change.seq.saturating_sub(1);
        let since = self.files.catalog().unnamed_since(Item::Folder(folder_id), before).await?;
        let trashed = Some((folder_id, since.map_or(Trashed::Unmade, Trashed::Since)));
        let action = format!("delete the folder {} again, with all that is in it", path.as_str());
        let (space_id, space) = (self.space_id, self.space.clone());
        let deleted = FolderDeleted { space_id, space, path, folder_id, recursive: true };
        Ok(by(Deed { trashed, ..Deed::new(Fact::FolderDeleted(deleted), action) }))
    }

    async fn move_back(&self, change: &ChangeRow, moved: &FileMoved) -> Result<Opposite> {
        let Some(now) = change.path.clone() else { return Ok(not("it has no path")) };
        if self.ahead.item(&now).await? != Some(moved.item) {
            return Ok(gone(&now));
        }
        if let Some(obstacle) = self.ahead.obstacle(&moved.from).await? {
            return Ok(not(obstacle));
        }
        let action = format!("move {} back to {}", now.as_str(), moved.from.as_str());
        let (space_id, space) = (self.space_id, self.space.clone());
        let (to, item, on_conflict) = (moved.from.clone(), moved.item, OnConflict::Fail);
        let back = FileMoved { space_id, space, from: now, to, item, if_version: None, on_conflict };
        Ok(by(Deed::new(Fact::FileMoved(back), action)))
    }

    /// The version of a file that the event at `seq` made, or another one if it made none, and the one before.
    async fn made_and_before(&self, file_id: FileId, seq: u64) -> Result<(Option<VersionRow>, Option<VersionRow>)> {
        let catalog = self.files.catalog();
        let made = catalog.version_up_to(file_id, seq).await?;
        Ok((made, catalog.version_up_to(file_id, seq.saturating_sub(1)).await?))
    }

    /// Whether a version's content had been given up at the plan's sequence.
    fn is_pruned(&self, row: &VersionRow) -> bool {
        row.pruned_seq.is_some_and(|seq| seq <= self.at)
    }
}

// === impl Deed ===

impl Deed {
    fn new(fact: Fact, action: String) -> Self {
        Self { fact, action, like: None, trashed: None }
    }
}

fn by(deed: Deed) -> Opposite {
    Opposite::By(Box::new(deed))
}

fn not(reason: impl Into<String>) -> Opposite {
    Opposite::Not(reason.into())
}

fn gone(path: &Path) -> Opposite {
    not(format!("{} does not name it any more", path.as_str()))
}

fn changed(path: &Path) -> Opposite {
    not(format!("{} was changed again since", path.as_str()))
}

fn deleted_again() -> Opposite {
    not("it was brought back and deleted again since")
}
