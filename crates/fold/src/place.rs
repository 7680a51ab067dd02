//! Finding the place of a new version: the fold decides where an upload goes, and never fails to find a place.

use proto::{Event, EventId, FileId, FileUploaded, FolderId, OnConflict, Path, Segment, SpaceId, SpaceName, VersionId};

use crate::rows::Target;
use crate::{Missing, RECOVERED_SPACE, View, conflict};

/// The derived ids of an upload: the file's (`EventId::version_id` is 1), the recovered space's, and the folders' from here on.
const FILE_ID: u32 = 0;
const RECOVERED_SPACE_ID: u32 = 2;
const FIRST_FOLDER_ID: u32 = 16;

/// Where an upload goes.
#[derive(Debug)]
pub(crate) enum Place {
    /// It makes a version.
    At(Spot),
    /// It is rejected, for this reason.
    Nowhere(&'static str),
}

/// The place of a new version, with what must be made for it.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) space_id: SpaceId,
    pub(crate) space: SpaceName,
    /// The space does not exist yet.
    pub(crate) new_space: bool,
    pub(crate) path: Path,
    /// Folders to make: parent, name, id.
    pub(crate) new_folders: Vec<(FolderId, Segment, FolderId)>,
    /// The folder that the file is in.
    pub(crate) parent: FolderId,
    pub(crate) name: Segment,
    pub(crate) file_id: FileId,
    pub(crate) new_file: bool,
    /// Why it is not where the upload asked for it to be.
    pub(crate) conflict: Option<&'static str>,
}

/// Finds the place for an upload.
pub(crate) fn find(view: &View, event: &Event, uploaded: &FileUploaded) -> Result<Place, Missing> {
    if let Some(space) = view.space(uploaded.space_id)? {
        let root = Root { space_id: space.space_id, space: space.name.clone(), new_space: false, conflict: None };
        return in_space(view, event, uploaded, root, &uploaded.path.segments().collect::<Vec<_>>());
    }
    // The space is gone. An acknowledged upload is never lost: it goes to the space for such cases.
    let name: SpaceName = RECOVERED_SPACE.parse().expect("the constant is a space name");
    let found = view.space_named(&name)?;
    let root = Root {
        space_id: found.unwrap_or_else(|| SpaceId::new(event.id.derive(RECOVERED_SPACE_ID))),
        space: name,
        new_space: found.is_none(),
        conflict: Some("space_gone"),
    };
    let top: Segment = uploaded.space.as_str().parse().expect("a space name is one path segment");
    let segments: Vec<Segment> = std::iter::once(top).chain(uploaded.path.segments()).collect();
    in_space(view, event, uploaded, root, &segments)
}

struct Root {
    space_id: SpaceId,
    space: SpaceName,
    new_space: bool,
    conflict: Option<&'static str>,
}

fn in_space(
    view: &View,
    event: &Event,
    uploaded: &FileUploaded,
    root: Root,
    segments: &[Segment],
) -> Result<Place, Missing> {
    let (name, parents) = segments.split_last().expect("a path has at least one name");
    let mut folder = root.space_id.root();
    let mut fresh = root.new_space;
    let mut new_folders = Vec::new();
    let mut conflict = root.conflict;
    let mut taken: Vec<Segment> = Vec::with_capacity(segments.len());
    for (depth, segment) in (0..).zip(parents) {
        let child = if fresh { None } else { view.child(folder, segment)?.map(|row| row.target) };
        match child {
            Some(Target::Folder(id)) => folder = id,
            None => {
                let id = FolderId::new(event.id.derive(FIRST_FOLDER_ID + depth));
                new_folders.push((folder, segment.clone(), id));
                folder = id;
                fresh = true;
            }
            Some(Target::File(_)) => {
                conflict = Some("parent_is_a_file");
                break;
            }
        }
        taken.push(segment.clone());
    }
    let chosen = if conflict == Some("parent_is_a_file") {
        Choice::Copy
    } else {
        let child = if fresh { None } else { view.child(folder, name)?.map(|row| row.target) };
        choose(view, event, uploaded, child)?
    };
    let (name, file_id, new_file) = match chosen {
        Choice::Reject(reason) => return Ok(Place::Nowhere(reason)),
        Choice::New => (name.clone(), new_file_id(event.id), true),
        Choice::Version(id) => (name.clone(), id, false),
        Choice::Copy => (free_name(view, event, folder, name)?, new_file_id(event.id), true),
        Choice::CopyBecause(reason) => {
            conflict = conflict.or(Some(reason));
            (free_name(view, event, folder, name)?, new_file_id(event.id), true)
        }
    };
    taken.push(name.clone());
    let path = Path::from_segments(&taken).expect("there is at least the file's own name");
    let Root { space_id, space, new_space, .. } = root;
    Ok(Place::At(Spot {
        space_id,
        space,
        new_space,
        path,
        new_folders,
        parent: folder,
        name,
        file_id,
        new_file,
        conflict,
    }))
}

enum Choice {
    New,
    Version(FileId),
    Copy,
    CopyBecause(&'static str),
    Reject(&'static str),
}

fn choose(view: &View, _event: &Event, uploaded: &FileUploaded, child: Option<Target>) -> Result<Choice, Missing> {
    let current: Option<(FileId, VersionId)> = match child {
        Some(Target::Folder(_)) => {
            return Ok(match uploaded.on_conflict {
                OnConflict::Fail => Choice::Reject("name_taken_by_folder"),
                OnConflict::Overwrite | OnConflict::KeepBoth => Choice::CopyBecause("name_taken_by_folder"),
            });
        }
        Some(Target::File(id)) => view.file(id)?.map(|row| (id, row.version_id)),
        None => None,
    };
    if let Some(wanted) = uploaded.if_version
        && current.is_none_or(|(_, version)| version != wanted)
    {
        return Ok(match uploaded.on_conflict {
            OnConflict::KeepBoth if current.is_some() => Choice::CopyBecause("version_changed"),
            OnConflict::KeepBoth => Choice::New,
            OnConflict::Overwrite | OnConflict::Fail => Choice::Reject("version_changed"),
        });
    }
    Ok(match (current, uploaded.on_conflict) {
        (None, _) => Choice::New,
        (Some((id, _)), OnConflict::Overwrite) => Choice::Version(id),
        (Some((id, _)), OnConflict::Fail | OnConflict::KeepBoth) if uploaded.if_version.is_some() => {
            Choice::Version(id)
        }
        (Some(_), OnConflict::Fail) => Choice::Reject("file_exists"),
        (Some(_), OnConflict::KeepBoth) => Choice::CopyBecause("file_exists"),
    })
}

fn free_name(view: &View, event: &Event, folder: FolderId, name: &Segment) -> Result<Segment, Missing> {
    let mut attempt = 1;
    loop {
        let candidate = conflict::copy_name(name, event, attempt);
        if view.child(folder, &candidate)?.is_none() {
            return Ok(candidate);
        }
        attempt += 1;
    }
}

fn new_file_id(event: EventId) -> FileId {
    FileId::new(event.derive(FILE_ID))
}
