//! What stands where once the steps before are done: the catalog at a past sequence, and what was planned on top of it.
//!
//! A planned step on a folder moves all that is below it, so a path is followed backwards, through one such step after the
//! other, to what it was at the sequence; files are simply remembered.

use std::collections::HashMap;

use catalog::VersionKind;
use proto::{EventId, Fact, FileId, FolderId, Item, Path, SpaceId, VersionId};

use crate::error::Result;
use crate::files::Files;

/// The space as it will be.
pub(super) struct Ahead<'a> {
    files: &'a Files,
    space_id: SpaceId,
    /// The sequence.
    at: u64,
    /// What was done to folders, in order.
    shifts: Vec<Shift>,
    /// Files that came to a path, or left it, after so many shifts.
    leaves: HashMap<(usize, String), Option<FileId>>,
    /// Everything that came to a path, after so many shifts.
    placed: Vec<(usize, String)>,
    stands: HashMap<FileId, Stand>,
    folders: HashMap<FolderId, Trashed>,
    /// Where folders were that steps deleted, and after how many shifts.
    buried: HashMap<FolderId, (String, usize)>,
}

/// How a file stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand {
    /// Its newest version.
    pub(super) newest: VersionId,
    /// The version that it is like, of those that were there at the sequence: none when it is as it was before it had any.
    pub(super) like: Option<VersionId>,
    pub(super) is_deleted: bool,
}

/// Whether a folder is in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trashed {
    No,
    /// As after this event.
    Since(u64),
    /// As if it had never been made.
    Unmade,
}

/// A step that concerns a folder.
enum Shift {
    Moved { from: String, to: String },
    Deleted { path: String },
    Back { path: String, origin: Origin },
}

/// What a path was before some steps.
#[derive(Debug, Clone)]
enum Origin {
    /// This path, at a sequence.
    Past(String, u64),
    /// This path, after so many shifts.
    Step(String, usize),
}

/// What a path leads to.
enum Way {
    Nothing,
    File(FileId),
    /// What was at this path at a sequence.
    Past(String, u64),
}

impl<'a> Ahead<'a> {
    pub(super) fn new(files: &'a Files, space_id: SpaceId, at: u64) -> Self {
        Self {
            files,
            space_id,
            at,
            shifts: Vec::new(),
            leaves: HashMap::new(),
            placed: Vec::new(),
            stands: HashMap::new(),
            folders: HashMap::new(),
            buried: HashMap::new(),
        }
    }

    /// What a path names.
    pub(super) async fn item(&self, path: &Path) -> Result<Option<Item>> {
        match self.way(path.as_str()) {
            Way::Nothing => Ok(None),
            Way::File(id) => Ok(Some(Item::File(id))),
            Way::Past(path, at) => self.past(&path, at).await,
        }
    }

    /// Whether something can be put at a path; why not, as a sentence.
    pub(super) async fn obstacle(&self, path: &Path) -> Result<Option<String>> {
        if self.item(path).await?.is_some() {
            return Ok(Some(format!("{} is the name of something else by now", path.as_str())));
        }
        // What is missing on the way is made.
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.item(&folder).await? {
                None => above = folder.parent(),
                Some(Item::Folder(_)) => return Ok(None),
                Some(Item::File(_)) => return Ok(Some(format!("{} is a file by now", folder.as_str()))),
            }
        }
        Ok(None)
    }

    /// How a file stands; none when it was not there.
    pub(super) async fn stand(&self, file_id: FileId) -> Result<Option<Stand>> {
        if let Some(stand) = self.stands.get(&file_id) {
            return Ok(Some(*stand));
        }
        let newest = self.files.catalog().version_up_to(file_id, self.at).await?;
        Ok(newest.map(|row| Stand {
            newest: row.version_id,
            like: Some(row.version_id),
            is_deleted: row.kind == VersionKind::Tombstone,
        }))
    }

    /// Whether a folder is in the trash itself.
    pub(super) async fn trashed(&self, folder_id: FolderId) -> Result<Trashed> {
        if let Some(trashed) = self.folders.get(&folder_id) {
            return Ok(*trashed);
        }
        let since = self.files.catalog().unnamed_since(Item::Folder(folder_id), self.at).await?;
        Ok(since.map_or(Trashed::No, Trashed::Since))
    }

    /// Whether nothing is in a folder.
    pub(super) async fn is_empty(&self, folder: &Path) -> Result<bool> {
        let is_there = |name: &str| !matches!(self.way(&format!("{}/{name}", folder.as_str())), Way::Nothing);
        for (epoch, path) in &self.placed {
            let Some((parent, name)) = path.rsplit_once('/') else { continue };
            if self.back_to(folder.as_str(), *epoch).is_some_and(|then| then == parent) && is_there(name) {
                return Ok(false);
            }
        }
        let Way::Past(path, at) = self.way(folder.as_str()) else { return Ok(true) };
        let Ok(path) = path.parse::<Path>() else { return Ok(true) };
        let catalog = self.files.catalog();
        let Some(Item::Folder(folder_id)) = catalog.item_at(self.space_id, &path, at).await? else { return Ok(true) };
        let mut after = String::new();
        loop {
            let names = catalog.names_at(folder_id, at, &after).await?;
            if names.iter().any(|name| is_there(name)) {
                return Ok(false);
            }
            let Some(last) = names.into_iter().next_back() else { return Ok(true) };
            after = last;
        }
    }

    /// What a path named at a sequence.
    pub(super) async fn past(&self, path: &str, at: u64) -> Result<Option<Item>> {
        let Ok(path) = path.parse::<Path>() else { return Ok(None) };
        Ok(self.files.catalog().item_at(self.space_id, &path, at).await?)
    }

    /// Takes note of a step that undoes the event at `seq`. `like` is the version that its file is like then.
    pub(super) fn note(&mut self, seq: u64, event_id: EventId, fact: &Fact, like: Option<VersionId>) {
        let mut stands = |file_id, is_deleted| {
            self.stands.insert(file_id, Stand { newest: event_id.version_id(), like, is_deleted });
        };
        match fact {
            Fact::VersionRestored(restored) => stands(restored.file_id, false),
            Fact::FileDeleted(deleted) => {
                stands(deleted.file_id, true);
                self.leave(deleted.path.as_str());
            }
            Fact::FileUndeleted(undeleted) => match undeleted.item {
                Item::File(file_id) => {
                    stands(file_id, false);
                    self.put(undeleted.path.as_str(), file_id);
                }
                Item::Folder(folder_id) => {
                    let path = undeleted.path.to_string();
                    // Nothing changes in what is in the trash: it is as it was just before.
                    let past = || Origin::Past(path.clone(), seq.saturating_sub(1));
                    let origin = self.buried.remove(&folder_id).map_or_else(past, |(at, n)| Origin::Step(at, n));
                    self.folders.insert(folder_id, Trashed::No);
                    self.shifts.push(Shift::Back { path: path.clone(), origin });
                    self.placed.push((self.shifts.len(), path));
                }
            },
            Fact::FolderDeleted(deleted) => {
                let path = deleted.path.to_string();
                self.buried.insert(deleted.folder_id, (path.clone(), self.shifts.len()));
                self.shifts.push(Shift::Deleted { path });
            }
            Fact::FileMoved(moved) => match moved.item {
                Item::File(file_id) => {
                    self.leave(moved.from.as_str());
                    self.put(moved.to.as_str(), file_id);
                }
                Item::Folder(_) => {
                    let (from, to) = (moved.from.to_string(), moved.to.to_string());
                    self.shifts.push(Shift::Moved { from, to: to.clone() });
                    self.placed.push((self.shifts.len(), to));
                }
            },
            _ => {}
        }
    }

    /// Takes note that a folder is in the trash.
    pub(super) fn note_trashed(&mut self, folder_id: FolderId, trashed: Trashed) {
        self.folders.insert(folder_id, trashed);
    }

    fn leave(&mut self, path: &str) {
        self.leaves.insert((self.shifts.len(), path.to_owned()), None);
    }

    fn put(&mut self, path: &str, file_id: FileId) {
        self.leaves.insert((self.shifts.len(), path.to_owned()), Some(file_id));
        self.placed.push((self.shifts.len(), path.to_owned()));
    }

    /// Follows a path backwards through the steps.
    fn way(&self, path: &str) -> Way {
        let (mut path, mut epoch) = (path.to_owned(), self.shifts.len());
        loop {
            if let Some(leaf) = self.leaves.get(&(epoch, path.clone())) {
                return leaf.map_or(Way::Nothing, Way::File);
            }
            if epoch == 0 {
                return Way::Past(path, self.at);
            }
            epoch -= 1;
            match before(&self.shifts[epoch], path, epoch) {
                None => return Way::Nothing,
                Some(Origin::Past(path, at)) => return Way::Past(path, at),
                Some(Origin::Step(then, at)) => (path, epoch) = (then, at),
            }
        }
    }

    /// The path that the same thing had after fewer shifts; none when it was nowhere then.
    fn back_to(&self, path: &str, epoch: usize) -> Option<String> {
        let (mut path, mut now) = (path.to_owned(), self.shifts.len());
        while now > epoch {
            now -= 1;
            match before(&self.shifts[now], path, now)? {
                Origin::Past(..) => return None,
                Origin::Step(then, at) => (path, now) = (then, at),
            }
        }
        (now == epoch).then_some(path)
    }
}

/// What a path was before a shift, which is the one after `epoch` others; none when nothing is there after it.
fn before(shift: &Shift, path: String, epoch: usize) -> Option<Origin> {
    match shift {
        Shift::Moved { from, to } => match (below(&path, to), below(&path, from)) {
            (Some(rest), _) => Some(Origin::Step(format!("{from}{rest}"), epoch)),
            (None, Some(_)) => None,
            (None, None) => Some(Origin::Step(path, epoch)),
        },
        Shift::Deleted { path: gone } => below(&path, gone).is_none().then_some(Origin::Step(path, epoch)),
        Shift::Back { path: to, origin } => Some(match (below(&path, to), origin) {
            (Some(rest), Origin::Past(then, at)) => Origin::Past(format!("{then}{rest}"), *at),
            (Some(rest), Origin::Step(then, at)) => Origin::Step(format!("{then}{rest}"), *at),
            (None, _) => Origin::Step(path, epoch),
        }),
    }
}

/// What follows a folder's path in a path: empty for itself.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
