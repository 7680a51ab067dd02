//! Walking a space's folders.

use proto::{EventId, FolderId, Item, Path, Segment, SpaceId, SpaceName};

use crate::rows::{FolderRow, SpaceRow, Target};
use crate::stop::Stop;
use crate::{Missing, View};

/// The derived id of the recovered space. Others are in `proto`, where who reads the journal finds them too.
const RECOVERED_SPACE_ID: u32 = 2;

/// A space in which something shall be put.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) space_id: SpaceId,
    pub(crate) space: SpaceName,
    /// The space does not exist yet.
    pub(crate) new: bool,
}

/// A current name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) space: SpaceName,
    pub(crate) parent: FolderId,
    pub(crate) name: Segment,
}

/// The way down to the folder in which something shall be put.
#[derive(Debug)]
pub(crate) struct Way {
    /// The folder at its end.
    pub(crate) folder: FolderId,
    /// Folders to make: parent, name, id.
    pub(crate) new_folders: Vec<(FolderId, Segment, FolderId)>,
    /// The names on the way.
    pub(crate) names: Vec<Segment>,
    /// The folders on the way that exist, without the root.
    pub(crate) passed: Vec<FolderId>,
    /// A file has a name on the way: the way ends above it.
    pub(crate) blocked: bool,
    /// The folder at its end does not exist yet, so that it is empty.
    pub(crate) fresh: bool,
}

/// The space, if it is there to be changed.
pub(crate) fn space(view: &View, id: SpaceId) -> Result<&SpaceRow, Stop> {
    view.space(id)?.filter(|row| row.deleted_seq.is_none()).ok_or(Stop::Rejected("space_gone"))
}

/// The name at `path`, provided that it still stands for `item`.
pub(crate) fn named(view: &View, space_id: SpaceId, path: &Path, item: Item) -> Result<Named, Stop> {
    let space = space(view, space_id)?.name.clone();
    let mut parent = space_id.root();
    let mut segments = path.segments().peekable();
    while let Some(name) = segments.next() {
        let target = view.child(parent, &name)?.map(|row| row.target);
        match target {
            Some(target) if segments.peek().is_none() && target == item => {
                // Its entries are counted when the name is closed.
                view.folder(parent)?;
                return Ok(Named { space, parent, name });
            }
            Some(Target::Folder(id)) => parent = id,
            Some(Target::File(_)) | None => break,
        }
    }
    Err(Stop::Rejected("moved"))
}

// === impl Root ===

impl Root {
    /// A space that is there.
    pub(crate) fn of(space: &SpaceRow) -> Self {
        Self { space_id: space.space_id, space: space.name.clone(), new: false }
    }

    /// The space for acknowledged uploads whose own space is gone.
    pub(crate) fn recovered(view: &View, event: EventId) -> Result<Self, Missing> {
        let space: SpaceName = crate::RECOVERED_SPACE.parse().expect("the constant is a space name");
        let found = view.space_named(&space)?;
        let space_id = found.unwrap_or_else(|| SpaceId::new(event.derive(RECOVERED_SPACE_ID)));
        Ok(Self { space_id, space, new: found.is_none() })
    }
}

// === impl Way ===

impl Way {
    /// Walks down the names of `parents`; folders that are not there are to be made by `event`.
    pub(crate) fn find(view: &View, event: EventId, root: &Root, parents: &[Segment]) -> Result<Self, Missing> {
        let mut way = Self {
            folder: root.space_id.root(),
            new_folders: Vec::new(),
            names: Vec::with_capacity(parents.len() + 1),
            passed: Vec::new(),
            blocked: false,
            fresh: root.new,
        };
        for (depth, segment) in (0..).zip(parents) {
            let target = if way.fresh { None } else { view.child(way.folder, segment)?.map(|row| row.target) };
            match target {
                Some(Target::Folder(id)) => {
                    way.folder = id;
                    way.passed.push(id);
                }
                None => way.add_folder(segment, event.folder_id(depth)),
                Some(Target::File(_)) => {
                    way.blocked = true;
                    break;
                }
            }
            way.names.push(segment.clone());
        }
        if !root.new {
            // The last folder that exists gets an entry.
            view.folder(way.passed.last().copied().unwrap_or(root.space_id.root()))?;
        }
        Ok(way)
    }

    /// What the way's folder has under this name.
    pub(crate) fn child(&self, view: &View, name: &Segment) -> Result<Option<Target>, Missing> {
        if self.fresh { Ok(None) } else { Ok(view.child(self.folder, name)?.map(|row| row.target)) }
    }

    /// Goes one name further down, to a folder to be made.
    pub(crate) fn add_folder(&mut self, name: &Segment, id: FolderId) {
        self.new_folders.push((self.folder, name.clone(), id));
        self.folder = id;
        self.fresh = true;
    }

    /// The path of a name in the way's folder.
    pub(crate) fn path(&self, name: &Segment) -> Path {
        let names: Vec<Segment> = self.names.iter().chain([name]).cloned().collect();
        Path::from_segments(&names).expect("there is at least the last name")
    }

    /// Makes what is missing on the way.
    pub(crate) fn make(&self, view: &mut View, n: u64, root: &Root) {
        if root.new {
            view.put_space(None, SpaceRow::new(root.space_id, root.space.clone(), n));
        }
        for (parent, name, folder_id) in &self.new_folders {
            view.add_folder(FolderRow::new(*folder_id, root.space_id, n));
            view.open_name(n, *parent, name.clone(), Target::Folder(*folder_id));
        }
    }
}
