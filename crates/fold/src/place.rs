//! Finding the place where something shall be.

use proto::{Event, FolderId, Item, OnConflict, Path, Segment, VersionId};

use crate::rows::{FileRow, Target};
use crate::stop::Stop;
use crate::tree::{Root, Way};
use crate::{Key, Missing, View, conflict, versions};

/// A place, with what must be made or removed for it.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) root: Root,
    pub(crate) way: Way,
    pub(crate) name: Segment,
    pub(crate) path: Path,
    /// The file that is there: it gets the new version or, when something is moved there, is replaced.
    pub(crate) file: Option<FileRow>,
    /// Why it is not where it should have been.
    pub(crate) conflict: Option<&'static str>,
}

/// The conditions of a new version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) if_version: Option<VersionId>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) content: Content,
}

/// Where a new version's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// It was uploaded, and maybe acknowledged before: unless its own conditions may reject it, it gets a place.
    Uploaded,
    /// It is the catalog's: a place that cannot be had is no loss.
    Known,
}

enum Choice {
    New,
    Version(FileRow),
    Copy(&'static str),
}

/// How many names for a conflicted copy are looked up together, at first and at most.
const FIRST_CANDIDATES: usize = 16;
const MOST_CANDIDATES: usize = 1024;

const PARENT_IS_A_FILE: &str = "parent_is_a_file";
const FILE_EXISTS: &str = "file_exists";
const NAME_TAKEN: &str = "name_taken_by_folder";
const VERSION_CHANGED: &str = "version_changed";

/// Finds the place of a new version: in the file that is at the path, or in a new one.
pub(crate) fn of_version(
    view: &View,
    event: &Event,
    root: Root,
    segments: &[Segment],
    wish: Wish,
) -> Result<Spot, Stop> {
    let (name, parents) = segments.split_last().expect("a path has at least one name");
    let way = Way::find(view, event.id, &root, parents)?;
    let choice = match (way.blocked, wish.is_placed_anyway()) {
        (true, false) => return Err(Stop::Rejected(PARENT_IS_A_FILE)),
        (true, true) => Choice::Copy(PARENT_IS_A_FILE),
        (false, _) => choose(view, wish, way.child(view, name)?)?,
    };
    let (name, file, conflict) = match choice {
        Choice::New => (name.clone(), None, None),
        Choice::Version(row) => (name.clone(), Some(row), None),
        Choice::Copy(reason) => (free_name(view, event, &way, name)?, None, Some(reason)),
    };
    let path = way.path(&name);
    Ok(Spot { root, way, name, path, file, conflict })
}

fn choose(view: &View, wish: Wish, child: Option<Target>) -> Result<Choice, Stop> {
    let current = match child {
        Some(Target::Folder(_)) => {
            let is_kept = wish.on_conflict == OnConflict::KeepBoth || wish.is_placed_anyway();
            return if is_kept { Ok(Choice::Copy(NAME_TAKEN)) } else { Err(Stop::Rejected(NAME_TAKEN)) };
        }
        Some(Target::File(id)) => view.file(id)?.cloned(),
        None => None,
    };
    if let Some(wanted) = wish.if_version
        && current.as_ref().is_none_or(|row| row.version_id != wanted)
    {
        return match wish.on_conflict {
            OnConflict::KeepBoth if current.is_some() => Ok(Choice::Copy(VERSION_CHANGED)),
            OnConflict::KeepBoth => Ok(Choice::New),
            OnConflict::Overwrite | OnConflict::Fail => Err(Stop::Rejected(VERSION_CHANGED)),
        };
    }
    match (current, wish.on_conflict) {
        (None, _) => Ok(Choice::New),
        (Some(row), OnConflict::Overwrite) => Ok(Choice::Version(row)),
        (Some(row), OnConflict::Fail | OnConflict::KeepBoth) if wish.if_version.is_some() => Ok(Choice::Version(row)),
        (Some(_), OnConflict::Fail) => Err(Stop::Rejected(FILE_EXISTS)),
        (Some(_), OnConflict::KeepBoth) => Ok(Choice::Copy(FILE_EXISTS)),
    }
}

/// Finds the place of a file or folder that is moved, or comes back.
pub(crate) fn of_item(
    view: &View,
    event: &Event,
    root: Root,
    to: &Path,
    item: Item,
    on_conflict: OnConflict,
) -> Result<Spot, Stop> {
    let segments: Vec<Segment> = to.segments().collect();
    let (name, parents) = segments.split_last().expect("a path has at least one name");
    let way = Way::find(view, event.id, &root, parents)?;
    if way.passed.iter().any(|&folder| Item::Folder(folder) == item) {
        return Err(Stop::Rejected("into_itself"));
    }
    if way.blocked {
        return Err(Stop::Rejected(PARENT_IS_A_FILE));
    }
    let there = way.child(view, name)?;
    let taken = |target| match target {
        Target::File(_) => FILE_EXISTS,
        Target::Folder(_) => NAME_TAKEN,
    };
    let (name, file, conflict) = match (there, on_conflict, item) {
        (None, _, _) => (name.clone(), None, None),
        (Some(Target::File(id)), OnConflict::Overwrite, Item::File(_)) => (name.clone(), view.file(id)?.cloned(), None),
        (Some(target), OnConflict::Overwrite | OnConflict::Fail, _) => return Err(Stop::Rejected(taken(target))),
        (Some(target), OnConflict::KeepBoth, _) => (free_name(view, event, &way, name)?, None, Some(taken(target))),
    };
    let path = way.path(&name);
    Ok(Spot { root, way, name, path, file, conflict })
}

/// Puts a file or folder that has no name at the spot that was found for it; a file that is there goes to the trash.
pub(crate) fn take(view: &mut View, n: u64, event: &Event, spot: &Spot, item: Item) {
    spot.way.make(view, n, &spot.root);
    if let Some(replaced) = spot.file.clone() {
        view.close_name(n, spot.parent(), &spot.name);
        versions::bury(view, n, event, &replaced, event.id.replaced_version_id());
    }
    view.open_name(n, spot.parent(), spot.name.clone(), item);
}

/// The first name for a conflicted copy that nothing has. So that a thousand copies of one name do not cost a thousand round
/// trips, the candidates are looked up together, each time twice as many.
fn free_name(view: &View, event: &Event, way: &Way, name: &Segment) -> Result<Segment, Missing> {
    let mut attempts = 1..;
    let mut together = FIRST_CANDIDATES;
    loop {
        let candidates: Vec<Segment> =
            attempts.by_ref().take(together).map(|attempt| conflict::copy_name(name, event, attempt)).collect();
        if !way.fresh {
            let parent = way.folder;
            view.need(candidates.iter().map(|name| Key::Child { parent, name: name.clone() }))?;
        }
        for candidate in candidates {
            if way.child(view, &candidate)?.is_none() {
                return Ok(candidate);
            }
        }
        together = (2 * together).min(MOST_CANDIDATES);
    }
}

// === impl Spot ===

impl Spot {
    /// The folder that the place is in.
    pub(crate) const fn parent(&self) -> FolderId {
        self.way.folder
    }
}

// === impl Wish ===

impl Wish {
    /// Whether the version gets a place even if its own cannot be had: that of an upload which may be acknowledged before it
    /// is decided. One that asks to be rejected when things are not as it says is.
    pub(crate) const fn is_placed_anyway(&self) -> bool {
        match (self.content, self.on_conflict) {
            (Content::Known, _) | (Content::Uploaded, OnConflict::Fail) => false,
            (Content::Uploaded, OnConflict::Overwrite) => self.if_version.is_none(),
            (Content::Uploaded, OnConflict::KeepBoth) => true,
        }
    }
}
