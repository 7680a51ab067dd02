//! FileMoved: a file or a folder gets another name; ids, versions and what is in a folder stay as they are.

use proto::{Event, FileMoved, Item};

use super::Decision;
use crate::View;
use crate::place;
use crate::rows::FileRow;
use crate::stop::Stop;
use crate::tree::{self, Root};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, moved: &FileMoved) -> Result<Decision, Stop> {
    let named = tree::named(view, moved.space_id, &moved.from, moved.item)?;
    let file = match moved.item {
        Item::File(id) => view.file(id)?.cloned(),
        Item::Folder(_) => None,
    };
    if moved.if_version.is_some() && moved.if_version != file.as_ref().map(|row| row.version_id) {
        return Err(Stop::Rejected("version_changed"));
    }
    if moved.to == moved.from {
        return Err(Stop::Rejected("same_path"));
    }
    let root = Root::of(tree::space(view, moved.space_id)?);
    let spot = place::of_item(view, event, root, &moved.to, moved.item, moved.on_conflict)?;
    view.close_name(n, named.parent, &named.name);
    place::take(view, n, event, &spot, moved.item);
    let file_id = file.as_ref().map(|row| row.file_id);
    if let Some(row) = file {
        view.files.put(row.file_id, FileRow { changed_seq: n, ..row });
    }
    Ok(Decision { file_id, ..Decision::at(spot) })
}
