//! VersionsPruned: versions that are not kept any more let go of their blobs. Each is judged by itself: one that was
//! touched since the list was made is skipped, the others go.

use std::collections::BTreeSet;

use proto::{Event, PrunedVersion, Trash, VersionsPruned};

use super::Decision;
use crate::key::of_pruned;
use crate::rows::{FileRow, VersionRow};
use crate::stop::Stop;
use crate::{Key, Missing, View};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, pruned: &VersionsPruned) -> Result<Decision, Stop> {
    view.need(pruned.versions.iter().flat_map(of_pruned))?;
    view.need(pruned.versions.iter().flat_map(|one| second_keys(view, one)))?;
    let space = view.space(pruned.space_id)?.map(|row| row.name.clone());
    let mut seen = BTreeSet::new();
    let mut accepted = Vec::with_capacity(pruned.versions.len());
    for one in &pruned.versions {
        if let Some(row) = judge(view, pruned, one)?
            && seen.insert(one.version_id)
        {
            accepted.push(VersionRow { pruned_seq: Some(n), ..row.clone() });
        }
    }
    if accepted.is_empty() {
        return Err(Stop::Rejected("nothing_to_prune"));
    }
    let blob_ids = accepted.iter().filter_map(|row| row.blob_id).collect();
    for row in accepted {
        if let Some(blob_id) = row.blob_id {
            view.release(blob_id, event.time);
        }
        view.versions.put(row.version_id, row);
    }
    Ok(Decision { space, blob_ids, ..Decision::default() })
}

/// What only the version and its file tell: the blob, and the tombstone of a deleted file.
fn second_keys(view: &View, one: &PrunedVersion) -> impl Iterator<Item = Key> + use<> {
    let blob = view.version(one.version_id).ok().flatten().and_then(|row| row.blob_id);
    let tombstone = view.file(one.file_id).ok().flatten().filter(|row| row.deleted_seq.is_some());
    let tombstone = tombstone.map(|row| Key::Version(row.version_id));
    blob.map(Key::Blob).into_iter().chain(tombstone)
}

/// The version, if it can go.
fn judge<'a>(view: &'a View, pruned: &VersionsPruned, one: &PrunedVersion) -> Result<Option<&'a VersionRow>, Missing> {
    let Some(version) = view.version(one.version_id)?.filter(|row| row.pruned_seq.is_none()) else { return Ok(None) };
    let file = view.file(one.file_id)?.filter(|row| row.space_id == pruned.space_id);
    let Some(file) = file.filter(|row| row.file_id == version.file_id) else { return Ok(None) };
    if file.changed_seq > pruned.evaluated_at {
        return Ok(None);
    }
    let can_go = match one.trash {
        Some(trash) => is_trash(view, pruned, file, trash)?,
        None => !is_newest(view, file, version)?,
    };
    Ok(can_go.then_some(version))
}

/// Whether the file is in the trash with what is named, and was so when the list was made. That the file is below the
/// folder was the publisher's to find out: below a deleted folder nothing changes.
fn is_trash(view: &View, pruned: &VersionsPruned, file: &FileRow, trash: Trash) -> Result<bool, Missing> {
    let deleted_seq = match trash {
        Trash::File(id) if id == file.file_id => file.deleted_seq,
        Trash::Folder(id) => {
            view.folder(id)?.filter(|row| row.space_id == file.space_id).and_then(|row| row.deleted_seq)
        }
        Trash::Space(id) if id == file.space_id => view.space(id)?.and_then(|row| row.deleted_seq),
        Trash::File(_) | Trash::Space(_) => None,
    };
    Ok(deleted_seq.is_some_and(|seq| seq <= pruned.evaluated_at))
}

/// Whether it is what the file is now or, when that is deleted, what undeleting brings back.
fn is_newest(view: &View, file: &FileRow, version: &VersionRow) -> Result<bool, Missing> {
    if file.version_id == version.version_id {
        return Ok(true);
    }
    if file.deleted_seq.is_none() {
        return Ok(false);
    }
    let tombstone = view.version(file.version_id)?;
    Ok(tombstone.is_some_and(|row| row.source_version == Some(version.version_id)))
}
