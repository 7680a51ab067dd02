//! Undoing what one actor did: newest first, each change by an event that does the opposite.
//!
//! A change is undone only when nothing came after it: what others built on it since is theirs. Each opposite is an
//! ordinary change with its own request id, so that an undo that was cut can be asked for again.

use std::collections::{HashMap, HashSet};

use catalog::{ChangeRow, Lookup, Outcome, VersionKind};
use proto::{
    Actor, Event, Fact, FileDeleted, FileId, FileMoved, FileUndeleted, FolderDeleted, Item, OnConflict, Path,
    RequestId, Sequence, SpaceId, SpaceName, VersionId, VersionRestored,
};

use super::request::Author;
use super::{Files, Receipt};
use crate::error::{Code, Error, Result};

/// Most changes of the space that one undo looks at.
const MAX_CHANGES: u64 = 100_000;

/// What is asked to be undone.
#[derive(Debug, Clone)]
pub(crate) struct Undo {
    pub(crate) space: SpaceName,
    /// Whose changes.
    pub(crate) of: Actor,
    /// The first and the last sequence to look at.
    pub(crate) from: Sequence,
    pub(crate) to: Sequence,
    pub(crate) dry_run: bool,
}

/// One change, and what became of undoing it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) change: ChangeRow,
    /// A sentence.
    pub(crate) action: String,
    /// Whether it is, or would be, undone.
    pub(crate) undone: bool,
    pub(crate) receipt: Option<Receipt>,
}

/// How one change is undone.
enum Opposite {
    /// By this.
    By(Box<Fact>, String),
    /// Not at all, for this reason.
    Not(String),
}

/// What the steps before have undone, or would have: the next ones go on from there.
#[derive(Debug, Default)]
struct Undone {
    /// The version that a file has the content of again.
    versions: HashMap<FileId, VersionId>,
    /// Where something is again.
    paths: HashMap<Item, Path>,
    /// What is in the trash again.
    deleted: HashSet<Item>,
}

impl Files {
    /// Undoes one actor's changes in a range, or says what that would do.
    pub(crate) async fn undo(&self, wanted: &Undo, author: &Author) -> Result<Vec<Step>> {
        self.reach(Some(wanted.from)).await?;
        self.reach(Some(wanted.to)).await?;
        if wanted.from.n > wanted.to.n {
            return Err(Error::new(Code::UndoRange, "the range ends before it begins"));
        }
        let space_id = self.space(&wanted.space).await?;
        let mut changes = self.changes_of(space_id, wanted).await?;
        changes.reverse();
        let mut steps = Vec::with_capacity(changes.len());
        let mut undone = Undone::default();
        for (change, event) in changes {
            let place = Spot { space_id, space: &wanted.space, undone: &undone };
            let opposite = self.opposite(place, &change, &event).await?;
            if let Opposite::By(fact, _) = &opposite {
                undone.note(fact);
            }
            let step = match opposite {
                Opposite::Not(action) => Step { change, action, undone: false, receipt: None },
                Opposite::By(_, action) if wanted.dry_run => Step { change, action, undone: true, receipt: None },
                Opposite::By(fact, action) => {
                    let author = step_author(author, change.seq)?;
                    let (asked, first) = self.ask(author, space_id).await?;
                    let receipt = match first {
                        Some(first) => self.decided_receipt(first).await?,
                        None => self.change(asked, *fact).await?,
                    };
                    let undone = receipt.decision != super::Decision::Rejected;
                    Step { change, action, undone, receipt: Some(receipt) }
                }
            };
            steps.push(step);
        }
        Ok(steps)
    }

    /// The actor's changes in the range that took effect, oldest first.
    async fn changes_of(&self, space_id: SpaceId, wanted: &Undo) -> Result<Vec<(ChangeRow, Event)>> {
        let (page, mut after) = (self.limits().page_size, wanted.from.n.saturating_sub(1));
        let (mut found, mut looked_at) = (Vec::new(), 0);
        loop {
            let (changes, _) = self.catalog().changes(space_id, after, page).await?;
            let is_last = changes.len() < page as usize;
            for change in changes {
                if change.seq > wanted.to.n {
                    return Ok(found);
                }
                (after, looked_at) = (change.seq, looked_at + 1);
                if looked_at > MAX_CHANGES {
                    let problem = format!("the range has more than {MAX_CHANGES} changes; undo it in parts");
                    return Err(Error::new(Code::UndoRange, problem));
                }
                if matches!(change.outcome, Outcome::Rejected | Outcome::Repeated) {
                    continue;
                }
                if let Ok(event) = Event::decode(&change.raw)
                    && event.actor == wanted.of
                {
                    found.push((change, event));
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// What undoes a change, as things are now.
    async fn opposite(&self, spot: Spot<'_>, change: &ChangeRow, event: &Event) -> Result<Opposite> {
        match &event.fact {
            Fact::FileUploaded(_) | Fact::FileCopied(_) | Fact::VersionRestored(_) => {
                self.without_version(spot, change, event).await
            }
            Fact::FileDeleted(deleted) => self.bring_back(spot, change, Item::File(deleted.file_id)).await,
            Fact::FolderDeleted(deleted) => self.bring_back(spot, change, Item::Folder(deleted.folder_id)).await,
            Fact::FolderCreated(_) => self.without_folder(spot, change, event).await,
            Fact::FileUndeleted(undeleted) => self.delete_again(spot, change, event, undeleted.item).await,
            Fact::FileMoved(moved) => self.move_back(spot, change, moved).await,
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
            | Fact::ReplicationRedriven(_) => Ok(not("it is no user's change")),
        }
    }

    /// A version is undone by restoring the one before it, or by deleting the file that it made.
    async fn without_version(&self, spot: Spot<'_>, change: &ChangeRow, event: &Event) -> Result<Opposite> {
        let (Some(path), Some(file_id)) = (change.path.clone(), change.file_id) else {
            return Ok(not("it made no version"));
        };
        if self.item_there(spot, &path, Item::File(file_id)).await?.is_none() {
            return Ok(gone(&path));
        }
        let versions = self.versions(file_id, self.limits().page_size, "").await?.versions;
        let Some(newest) = versions.first() else { return Ok(gone(&path)) };
        let made = event.id.version_id();
        if spot.undone.versions.get(&file_id).copied().unwrap_or(newest.row.version_id) != made {
            return Ok(changed(&path));
        }
        let (space_id, space) = (spot.space_id, spot.space.clone());
        let if_version = Some(newest.row.version_id);
        let before = versions.iter().skip_while(|version| version.row.version_id != made).nth(1);
        let Some(before) = before.filter(|before| before.row.kind != VersionKind::Tombstone) else {
            let action = format!("delete {}", path.as_str());
            return Ok(by(Fact::FileDeleted(FileDeleted { space_id, space, path, file_id, if_version }), action));
        };
        if before.row.pruned_seq.is_some() {
            return Ok(not("the content before it was pruned"));
        }
        let version_id = before.row.version_id;
        let action = format!("restore version {version_id} of {}", path.as_str());
        let restored = VersionRestored { space_id, space, path, file_id, version_id, if_version };
        Ok(by(Fact::VersionRestored(restored), action))
    }

    async fn bring_back(&self, spot: Spot<'_>, change: &ChangeRow, item: Item) -> Result<Opposite> {
        let Some(trashed) = self.catalog().trashed(spot.space_id, item).await? else {
            return Ok(not("it is not in the trash any more"));
        };
        if trashed.deleted_seq != change.seq && !spot.undone.deleted.contains(&item) {
            return Ok(not("it was brought back and deleted again since"));
        }
        let version_id = match (item, &trashed.content) {
            (Item::Folder(_), _) => None,
            (Item::File(_), Some(content)) => Some(content.row.version_id),
            (Item::File(_), None) => return Ok(not("its content was pruned")),
        };
        let Some(path) = change.path.clone() else { return Ok(not("it has no path")) };
        let action = format!("bring {} back", path.as_str());
        let (space_id, space, on_conflict) = (spot.space_id, spot.space.clone(), OnConflict::Fail);
        Ok(by(Fact::FileUndeleted(FileUndeleted { space_id, space, path, item, version_id, on_conflict }), action))
    }

    async fn without_folder(&self, spot: Spot<'_>, change: &ChangeRow, event: &Event) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it made no folder")) };
        let depth = u32::try_from(path.segments().count() - 1).unwrap_or(u32::MAX);
        let folder_id = event.id.folder_id(depth);
        let Lookup::Folder(folder) = self.catalog().file(spot.space, &path, None, None).await? else {
            return Ok(gone(&path));
        };
        if folder.folder_id != folder_id {
            return Ok(gone(&path));
        }
        if folder.entries > 0 {
            return Ok(not(format!("the folder {} is not empty", path.as_str())));
        }
        let action = format!("delete the folder {}", path.as_str());
        let (space_id, space) = (spot.space_id, spot.space.clone());
        let deleted = FolderDeleted { space_id, space, path, folder_id, recursive: false };
        Ok(by(Fact::FolderDeleted(deleted), action))
    }

    async fn delete_again(&self, spot: Spot<'_>, change: &ChangeRow, event: &Event, item: Item) -> Result<Opposite> {
        let Some(path) = change.path.clone() else { return Ok(not("it has no path")) };
        let Some(current) = self.item_there(spot, &path, item).await? else { return Ok(gone(&path)) };
        let action = format!("delete {} again", path.as_str());
        let (space_id, space) = (spot.space_id, spot.space.clone());
        let fact = match item {
            Item::File(file_id) => {
                let made = event.id.version_id();
                if spot.undone.versions.get(&file_id).copied().or(current) != Some(made) {
                    return Ok(changed(&path));
                }
                Fact::FileDeleted(FileDeleted { space_id, space, path, file_id, if_version: current })
            }
            Item::Folder(folder_id) => {
                Fact::FolderDeleted(FolderDeleted { space_id, space, path, folder_id, recursive: true })
            }
        };
        Ok(by(fact, action))
    }

    async fn move_back(&self, spot: Spot<'_>, change: &ChangeRow, moved: &FileMoved) -> Result<Opposite> {
        let Some(now) = change.path.clone() else { return Ok(not("it has no path")) };
        if self.item_there(spot, &now, moved.item).await?.is_none() {
            return Ok(gone(&now));
        }
        let action = format!("move {} back to {}", now.as_str(), moved.from.as_str());
        let (space_id, space) = (spot.space_id, spot.space.clone());
        let (to, item, on_conflict) = (moved.from.clone(), moved.item, OnConflict::Fail);
        let back = FileMoved { space_id, space, from: now, to, item, if_version: None, on_conflict };
        Ok(by(Fact::FileMoved(back), action))
    }

    /// Whether the item is at the path, and for a file its newest version. In a dry run it may be there only once the
    /// steps before were done.
    async fn item_there(&self, spot: Spot<'_>, path: &Path, item: Item) -> Result<Option<Option<VersionId>>> {
        match self.catalog().file(spot.space, path, None, None).await? {
            Lookup::File(file) if Item::File(file.file_id) == item => Ok(Some(Some(file.version.row.version_id))),
            Lookup::Folder(folder) if Item::Folder(folder.folder_id) == item => Ok(Some(None)),
            _ if spot.undone.paths.get(&item) == Some(path) => match item {
                Item::File(file_id) => {
                    let newest = self.versions(file_id, 1, "").await?.versions.pop();
                    Ok(newest.map(|newest| Some(newest.row.version_id)))
                }
                Item::Folder(_) => Ok(Some(None)),
            },
            _ => Ok(None),
        }
    }
}

/// Where the changes were made, and what was undone of them already.
#[derive(Debug, Clone, Copy)]
struct Spot<'a> {
    space_id: SpaceId,
    space: &'a SpaceName,
    undone: &'a Undone,
}

// === impl Undone ===

impl Undone {
    /// Takes note of a step.
    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::VersionRestored(restored) => {
                self.versions.insert(restored.file_id, restored.version_id);
            }
            Fact::FileDeleted(deleted) => {
                self.deleted.insert(Item::File(deleted.file_id));
            }
            Fact::FolderDeleted(deleted) => {
                self.deleted.insert(Item::Folder(deleted.folder_id));
            }
            Fact::FileUndeleted(undeleted) => {
                self.paths.insert(undeleted.item, undeleted.path.clone());
                if let (Item::File(file_id), Some(version_id)) = (undeleted.item, undeleted.version_id) {
                    self.versions.insert(file_id, version_id);
                }
            }
            Fact::FileMoved(moved) => {
                self.paths.insert(moved.item, moved.to.clone());
            }
            _ => {}
        }
    }
}

fn by(fact: Fact, action: String) -> Opposite {
    Opposite::By(Box::new(fact), action)
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

/// Who undoes one change: the same request id again undoes nothing twice.
fn step_author(author: &Author, seq: u64) -> Result<Author> {
    let request_id = author.request_id.as_ref().map(|id| format!("{id}/{seq}").parse::<RequestId>()).transpose();
    let request_id = request_id.map_err(|invalid| Error::invalid(Code::RequestIdInvalid, &invalid))?;
    Ok(Author { actor: author.actor.clone(), request_id })
}
