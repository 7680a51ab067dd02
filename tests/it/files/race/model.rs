//! The rules once more, in the plainest way: a tree in memory that takes the journal's events one after the other. It
//! knows nothing of the fold, of the catalog, and of what anybody was answered.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};

use anyhow::{Context as _, bail, ensure};
use proto::v1::{self, Outcome};
use proto::{
    Event, EventId, Fact, FileDeleted, FileId, FileMoved, FileUploaded, FolderDeleted, FolderId, Item, OnConflict,
    Sha256Digest, SpaceId, VersionId,
};

/// What a name stands for: a file, with its present version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file_id: FileId,
    pub(super) version_id: VersionId,
}

#[derive(Debug)]
pub(super) struct Model {
    root: Folder,
    pub(super) files: HashMap<FileId, File>,
    pub(super) deleted_folders: HashSet<FolderId>,
    /// Versions that were swapped for another one.
    swapped: HashSet<VersionId>,
}

/// A file, wherever it is.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Oldest first.
    pub(super) versions: Vec<Version>,
    /// It is in the trash by itself.
    pub(super) is_deleted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: VersionId,
    /// None of a tombstone.
    pub(super) content: Option<Sha256Digest>,
}

/// What must become of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) reason: &'static str,
    pub(super) path: String,
    pub(super) file_id: Option<FileId>,
    pub(super) version_id: Option<VersionId>,
}

#[derive(Debug)]
struct Folder {
    id: FolderId,
    names: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    File(FileId),
    Folder(Folder),
}

// === impl Model ===

impl Model {
    pub(super) fn new(space_id: SpaceId) -> Self {
        let root = Folder { id: space_id.root(), names: BTreeMap::new() };
        Self { root, files: HashMap::new(), deleted_folders: HashSet::new(), swapped: HashSet::new() }
    }

    /// Decides one event. An error is something that these operations cannot bring about.
    pub(super) fn apply(&mut self, event: &Event) -> anyhow::Result<Verdict> {
        match &event.fact {
            Fact::FileUploaded(uploaded) => self.upload(event.id, uploaded),
            Fact::FileDeleted(deleted) => self.delete(event.id, deleted),
            Fact::FileMoved(moved) => self.move_item(event.id, moved),
            Fact::FolderDeleted(deleted) => self.delete_folder(deleted),
            other => bail!("nobody asked for {other:?}"),
        }
    }

    /// What a path stands for, if it is a file.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        match self.root.get(path) {
            Some(Entry::File(file_id)) => Some(self.place_of(*file_id)),
            Some(Entry::Folder(_)) | None => None,
        }
    }

    /// All files that have a name, by their paths.
    pub(super) fn listing(&self) -> BTreeMap<String, Place> {
        let mut all = BTreeMap::new();
        self.root.walk("", &mut |path, file_id| {
            all.insert(path, self.place_of(file_id));
        });
        all
    }

    fn place_of(&self, file_id: FileId) -> Place {
        let version = self.files[&file_id].versions.last().expect("a file has a version");
        Place { file_id, version_id: version.id }
    }

    fn upload(&mut self, id: EventId, uploaded: &FileUploaded) -> anyhow::Result<Verdict> {
        let path = uploaded.path.as_str();
        ensure!(!uploaded.instant, "no two contents are equal: {uploaded:?}");
        ensure!(!matches!(self.root.get(path), Some(Entry::Folder(_))), "a folder is where only files go: {path}");
        let current = self.place(path);
        match uploaded.if_version {
            Some(base) if current.is_none_or(|place| place.version_id != base) => {
                return Ok(Verdict::rejected("version_changed", path));
            }
            Some(base) => ensure!(self.swapped.insert(base), "{base} was swapped twice"),
            None if current.is_some() && uploaded.on_conflict == OnConflict::Fail => {
                return Ok(Verdict::rejected("file_exists", path));
            }
            None => {}
        }
        let file_id = current.map_or_else(|| id.file_id(), |place| place.file_id);
        let (folder, name) = self.root.make_way(id, path)?;
        folder.names.insert(name, Entry::File(file_id));
        let version = Version { id: id.version_id(), content: Some(uploaded.sha256) };
        self.files.entry(file_id).or_default().versions.push(version);
        Ok(Verdict { file_id: Some(file_id), version_id: Some(version.id), ..Verdict::applied(path) })
    }

    fn delete(&mut self, id: EventId, deleted: &FileDeleted) -> anyhow::Result<Verdict> {
        let path = deleted.path.as_str();
        if !self.root.names(path, Item::File(deleted.file_id)) {
            return Ok(Verdict::rejected("moved", path));
        }
        self.root.take(path).context("it was just there")?;
        self.bury(deleted.file_id, id.version_id())?;
        let (file_id, version_id) = (Some(deleted.file_id), Some(id.version_id()));
        Ok(Verdict { file_id, version_id, ..Verdict::applied(path) })
    }

    fn delete_folder(&mut self, deleted: &FolderDeleted) -> anyhow::Result<Verdict> {
        let path = deleted.path.as_str();
        if !self.root.names(path, Item::Folder(deleted.folder_id)) {
            return Ok(Verdict::rejected("moved", path));
        }
        // What is in it goes with it, and is not deleted by itself.
        self.root.take(path).context("it was just there")?;
        self.deleted_folders.insert(deleted.folder_id);
        Ok(Verdict::applied(path))
    }

    fn move_item(&mut self, id: EventId, moved: &FileMoved) -> anyhow::Result<Verdict> {
        let (from, to) = (moved.from.as_str(), moved.to.as_str());
        let rejected = |reason| Ok(Verdict::rejected(reason, to));
        if !self.root.names(from, moved.item) {
            return rejected("moved");
        }
        if from == to {
            return rejected("same_path");
        }
        if matches!(moved.item, Item::Folder(_)) && to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return rejected("into_itself");
        }
        let replaced = match (self.root.get(to), moved.item) {
            (None, _) => None,
            (Some(Entry::File(there)), Item::File(_)) if moved.on_conflict == OnConflict::Overwrite => Some(*there),
            (Some(Entry::File(_)), _) => return rejected("file_exists"),
            (Some(Entry::Folder(_)), _) => return rejected("name_taken_by_folder"),
        };
        let entry = self.root.take(from).context("it was just there")?;
        let (folder, name) = self.root.make_way(id, to)?;
        folder.names.insert(name, entry);
        if let Some(replaced) = replaced {
            self.bury(replaced, id.replaced_version_id())?;
        }
        let file_id = match moved.item {
            Item::File(file_id) => Some(file_id),
            Item::Folder(_) => None,
        };
        Ok(Verdict { file_id, ..Verdict::applied(to) })
    }

    fn bury(&mut self, file_id: FileId, tombstone: VersionId) -> anyhow::Result<()> {
        let file = self.files.get_mut(&file_id).context("a name without a file")?;
        ensure!(!file.is_deleted, "{file_id} was deleted twice");
        file.is_deleted = true;
        file.versions.push(Version { id: tombstone, content: None });
        Ok(())
    }
}

// === impl Folder ===

impl Folder {
    fn get(&self, path: &str) -> Option<&Entry> {
        match path.split_once('/') {
            None => self.names.get(path),
            Some((first, rest)) => match self.names.get(first)? {
                Entry::Folder(folder) => folder.get(rest),
                Entry::File(_) => None,
            },
        }
    }

    fn names(&self, path: &str, item: Item) -> bool {
        match self.get(path) {
            Some(Entry::File(id)) => item == Item::File(*id),
            Some(Entry::Folder(folder)) => item == Item::Folder(folder.id),
            None => false,
        }
    }

    fn take(&mut self, path: &str) -> Option<Entry> {
        match path.split_once('/') {
            None => self.names.remove(path),
            Some((first, rest)) => match self.names.get_mut(first)? {
                Entry::Folder(folder) => folder.take(rest),
                Entry::File(_) => None,
            },
        }
    }

    /// The folder that a path is in, made if need be, and the path's last name.
    fn make_way(&mut self, id: EventId, path: &str) -> anyhow::Result<(&mut Self, String)> {
        let (mut folder, mut rest, mut depth) = (self, path, 0);
        while let Some((first, below)) = rest.split_once('/') {
            let new = || Entry::Folder(Self { id: id.folder_id(depth), names: BTreeMap::new() });
            folder = match folder.names.entry(first.to_owned()).or_insert_with(new) {
                Entry::Folder(folder) => folder,
                Entry::File(_) => bail!("a file is where only folders go: {path}"),
            };
            (rest, depth) = (below, depth + 1);
        }
        Ok((folder, rest.to_owned()))
    }

    fn walk(&self, prefix: &str, tell: &mut impl FnMut(String, FileId)) {
        for (name, entry) in &self.names {
            match entry {
                Entry::File(id) => tell(format!("{prefix}{name}"), *id),
                Entry::Folder(folder) => folder.walk(&format!("{prefix}{name}/"), tell),
            }
        }
    }
}

// === impl Verdict ===

impl Verdict {
    fn applied(path: &str) -> Self {
        Self { outcome: Outcome::Applied, reason: "", path: path.to_owned(), file_id: None, version_id: None }
    }

    fn rejected(reason: &'static str, path: &str) -> Self {
        Self { outcome: Outcome::Rejected, reason, ..Self::applied(path) }
    }
}

// === impl Place ===

impl Place {
    pub(super) fn of(file: &v1::File) -> anyhow::Result<Self> {
        let version = file.version.as_ref().context("a file without a version")?;
        Ok(Self { file_id: file.file_id.parse()?, version_id: version.version_id.parse()? })
    }
}

/// Stands for all files with their paths and versions, in order.
pub(super) fn listing_of<'a>(files: impl Iterator<Item = (&'a str, Place)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, place) in files {
        (path, place.file_id.uuid(), place.version_id.uuid()).hash(&mut hasher);
    }
    hasher.finish()
}

/// As [`listing_of`], of a listing that a gateway answered.
pub(super) fn listing_of_files(files: &[v1::File]) -> anyhow::Result<u64> {
    let places: Vec<(&str, Place)> =
        files.iter().map(|file| Ok((file.path.as_str(), Place::of(file)?))).collect::<anyhow::Result<_>>()?;
    Ok(listing_of(places.into_iter()))
}
