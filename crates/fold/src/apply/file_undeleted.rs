//! FileUndeleted: a file or a folder comes back from the trash, a folder with all that is in it.

use proto::{Event, FileId, FileUndeleted, FolderId, Item};

use super::Decision;
use crate::place::{self, Spot};
use crate::rows::{FileRow, FolderRow, VersionKind};
use crate::stop::Stop;
use crate::tree::{self, Root};
use crate::{View, versions};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, undeleted: &FileUndeleted) -> Result<Decision, Stop> {
    match undeleted.item {
        Item::File(id) => file(view, n, event, undeleted, id),
        Item::Folder(id) => folder(view, n, event, undeleted, id),
    }
}

fn file(view: &mut View, n: u64, event: &Event, undeleted: &FileUndeleted, file_id: FileId) -> Result<Decision, Stop> {
    tree::space(view, undeleted.space_id)?;
    let file = view.file(file_id)?.filter(|row| row.space_id == undeleted.space_id);
    let Some(file) = file.cloned() else { return Err(Stop::Rejected("not_found")) };
    if file.deleted_seq.is_none() {
        return Err(Stop::Rejected("not_deleted"));
    }
    let version_id = match undeleted.version_id {
        Some(id) => id,
        None => last_content(view, &file)?,
    };
    let source = versions::source(view, file_id, version_id)?;
    let spot = find(view, event, undeleted)?;
    place::take(view, n, event, &spot, undeleted.item);
    let row = versions::again(n, event, file_id, VersionKind::Undelete, source);
    let (version_id, blob_id) = (Some(row.version_id), row.blob_id);
    versions::add(view, n, file.space_id, Some(file), row);
    Ok(Decision { file_id: Some(file_id), version_id, blob_id, ..Decision::at(spot) })
}

fn folder(
    view: &mut View,
    n: u64,
    event: &Event,
    undeleted: &FileUndeleted,
    folder_id: FolderId,
) -> Result<Decision, Stop> {
    tree::space(view, undeleted.space_id)?;
    let folder = view.folder(folder_id)?.filter(|row| row.space_id == undeleted.space_id);
    let Some(folder) = folder.cloned() else { return Err(Stop::Rejected("not_found")) };
    if folder.deleted_seq.is_none() {
        return Err(Stop::Rejected("not_deleted"));
    }
    let spot = find(view, event, undeleted)?;
    place::take(view, n, event, &spot, undeleted.item);
    view.folders.put(folder_id, FolderRow { deleted_seq: None, ..folder });
    Ok(Decision::at(spot))
}

/// The version that was current when the file was deleted: its tombstone knows it.
fn last_content(view: &View, file: &FileRow) -> Result<proto::VersionId, Stop> {
    let tombstone = view.version(file.version_id)?;
    tombstone.and_then(|row| row.source_version).ok_or(Stop::Rejected("version_unknown"))
}

fn find(view: &View, event: &Event, undeleted: &FileUndeleted) -> Result<Spot, Stop> {
    let root = Root::of(tree::space(view, undeleted.space_id)?);
    place::of_item(view, event, root, &undeleted.path, undeleted.item, undeleted.on_conflict)
}
