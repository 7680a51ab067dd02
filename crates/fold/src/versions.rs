//! Making versions.

use proto::{BlobId, Event, FileId, SpaceId, VersionId};

use crate::View;
use crate::place::Spot;
use crate::rows::{BlobState, FileRow, Target, VersionKind, VersionRow};
use crate::stop::Stop;

/// A version whose content can be named again.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) version: VersionRow,
    pub(crate) blob_id: BlobId,
}

/// Looks up a version of the file for its content.
pub(crate) fn source(view: &View, file: FileId, version: VersionId) -> Result<Source, Stop> {
    let known = view.version(version)?.filter(|row| row.file_id == file);
    let Some((row, blob_id)) = known.and_then(|row| Some((row, row.blob_id?))) else {
        return Err(Stop::Rejected("version_unknown"));
    };
    if row.pruned_seq.is_some() {
        return Err(Stop::Rejected("version_pruned"));
    }
    // A blob that an unpruned version names is always live; asked all the same, since nothing may ever name another.
    if view.blob(blob_id)?.is_none_or(|blob| blob.state != BlobState::Live) {
        return Err(Stop::Rejected("blob_condemned"));
    }
    Ok(Source { version: row.clone(), blob_id })
}

/// A version made by `event`, without content so far.
pub(crate) fn empty(n: u64, event: &Event, file_id: FileId, kind: VersionKind) -> VersionRow {
    VersionRow {
        version_id: event.id.version_id(),
        file_id,
        kind,
        blob_id: None,
        source_version: None,
        seq: n,
        event_id: event.id,
        content_type: String::new(),
        modified_at: None,
        created_at: event.time,
        actor: event.actor.clone(),
        pruned_seq: None,
    }
}

/// A version made by `event` with the content of another.
pub(crate) fn again(n: u64, event: &Event, file_id: FileId, kind: VersionKind, source: Source) -> VersionRow {
    let Source { version, blob_id } = source;
    VersionRow {
        blob_id: Some(blob_id),
        source_version: Some(version.version_id),
        content_type: version.content_type,
        modified_at: version.modified_at,
        ..empty(n, event, file_id, kind)
    }
}

/// Adds a version that has content, and makes it the newest of its file: of `file`, or of a new one.
pub(crate) fn add(view: &mut View, n: u64, space_id: SpaceId, file: Option<FileRow>, row: VersionRow) {
    let (file_id, version_id) = (row.file_id, row.version_id);
    let file = match file {
        Some(file) => FileRow { version_id, changed_seq: n, deleted_seq: None, ..file },
        None => FileRow { file_id, space_id, version_id, created_seq: n, changed_seq: n, deleted_seq: None },
    };
    view.files.put(file_id, file);
    if let Some(blob_id) = row.blob_id {
        view.refer(blob_id);
    }
    view.versions.put(version_id, row);
}

/// Adds a version at a spot that was found for it, with the name and folders that it lacks there.
pub(crate) fn add_at(view: &mut View, n: u64, spot: &Spot, row: VersionRow) {
    spot.way.make(view, n, &spot.root);
    if spot.file.is_none() {
        view.open_name(n, spot.parent(), spot.name.clone(), Target::File(row.file_id));
    }
    add(view, n, spot.root.space_id, spot.file.clone(), row);
}

/// Puts a file whose name was closed into the trash, with a tombstone of this id.
pub(crate) fn bury(view: &mut View, n: u64, event: &Event, file: &FileRow, tombstone: VersionId) {
    let row = VersionRow {
        version_id: tombstone,
        source_version: Some(file.version_id),
        ..empty(n, event, file.file_id, VersionKind::Tombstone)
    };
    view.versions.put(tombstone, row);
    let file = FileRow { version_id: tombstone, changed_seq: n, deleted_seq: Some(n), ..file.clone() };
    view.files.put(file.file_id, file);
}
