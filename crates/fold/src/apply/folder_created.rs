//! FolderCreated: an empty folder, with the parents that it lacks.

use proto::{Event, FolderCreated, Segment};

use super::Decision;
use crate::View;
use crate::rows::Target;
use crate::stop::Stop;
use crate::tree::{self, Root, Way};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, created: &FolderCreated) -> Result<Decision, Stop> {
    let root = Root::of(tree::space(view, created.space_id)?);
    let segments: Vec<Segment> = created.path.segments().collect();
    let (name, parents) = segments.split_last().expect("a path has at least one name");
    let mut way = Way::find(view, event.id, &root, parents)?;
    if way.blocked {
        return Err(Stop::Rejected("parent_is_a_file"));
    }
    match way.child(view, name)? {
        None => {}
        Some(Target::Folder(_)) => return Err(Stop::Rejected("folder_exists")),
        Some(Target::File(_)) => return Err(Stop::Rejected("file_exists")),
    }
    let depth = u32::try_from(parents.len()).expect("a path has some thousand names at most");
    way.add_folder(name, event.id.folder_id(depth));
    way.make(view, n, &root);
    Ok(Decision { space: Some(root.space), path: Some(created.path.clone()), ..Decision::default() })
}
