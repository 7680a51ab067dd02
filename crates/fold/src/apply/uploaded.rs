//! FileUploaded: a new version of a file, or a new file.

use proto::{Event, FileUploaded, Segment};

use super::Decision;
use crate::place::{self, Content, Spot, Wish};
use crate::rows::{BlobState, ReplicaRow, ReplicaState, VersionKind, VersionRow};
use crate::stop::Stop;
use crate::tree::{self, Root};
use crate::{Missing, View, replicas, versions};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, uploaded: &FileUploaded) -> Result<Decision, Stop> {
    let found = match check_blob(view, uploaded).and_then(|()| find(view, event, uploaded)) {
        Ok(spot) => Ok(spot),
        Err(Stop::Rejected(reason)) => Err(reason),
        Err(Stop::Missing(missing)) => return Err(missing.into()),
    };
    // Nothing is changed before this line; registering is the last thing that can lack rows, and it looks first.
    if !uploaded.instant {
        let space_id = found.as_ref().map_or(uploaded.space_id, |spot| spot.root.space_id);
        replicas::register(view, n, event, uploaded, space_id)?;
    }
    let blob_id = Some(uploaded.blob_id);
    let spot = match found {
        Ok(spot) => spot,
        Err(reason) => return Ok(Decision { blob_id, ..Decision::rejected(reason) }),
    };
    let file_id = spot.file.as_ref().map_or(event.id.file_id(), |row| row.file_id);
    let version = VersionRow {
        blob_id,
        content_type: uploaded.content_type.clone(),
        modified_at: uploaded.modified_at,
        ..versions::empty(n, event, file_id, VersionKind::Upload)
    };
    let version_id = Some(version.version_id);
    versions::add_at(view, n, &spot, version);
    Ok(Decision { file_id: Some(file_id), version_id, blob_id, ..Decision::at(spot) })
}

/// New bytes are not known, or known from an event before this one. An instant upload names what the space has: one
/// that could name any blob would hand over the content of other spaces. And a node must hold it, or an acknowledged
/// upload could not be read.
fn check_blob(view: &View, uploaded: &FileUploaded) -> Result<(), Stop> {
    let blob = view.blob(uploaded.blob_id)?;
    if uploaded.instant {
        tree::space(view, uploaded.space_id)?;
        let same = |size_bytes, sha256| size_bytes == uploaded.size_bytes && sha256 == uploaded.sha256;
        if blob.is_none_or(|row| row.space_id != uploaded.space_id || !same(row.size_bytes, row.sha256)) {
            return Err(Stop::Rejected("blob_unknown"));
        }
    }
    if blob.is_some_and(|row| row.state != BlobState::Live) {
        return Err(Stop::Rejected("blob_condemned"));
    }
    if uploaded.instant && !is_stored(view, uploaded)? {
        return Err(Stop::Rejected("blob_lost"));
    }
    Ok(())
}

/// Whether any node holds the blob. The one that the event names mostly does, and is looked at first.
fn is_stored(view: &View, uploaded: &FileUploaded) -> Result<bool, Missing> {
    let stored = |row: &ReplicaRow| row.state == ReplicaState::Stored;
    let (blob_id, node) = (uploaded.blob_id, &uploaded.node);
    if view.nodes()?.contains_key(node) && view.replica(blob_id, node)?.is_some_and(stored) {
        return Ok(true);
    }
    replicas::need_all(view, &[blob_id])?;
    Ok(replicas::of(view, blob_id)?.iter().any(stored))
}

fn find(view: &View, event: &Event, uploaded: &FileUploaded) -> Result<Spot, Stop> {
    let (if_version, on_conflict) = (uploaded.if_version, uploaded.on_conflict);
    let wish = Wish { if_version, on_conflict, content: Content::Uploaded };
    let mut segments: Vec<Segment> = uploaded.path.segments().collect();
    match tree::space(view, uploaded.space_id) {
        Ok(space) => place::of_version(view, event, Root::of(space), &segments, wish),
        Err(Stop::Missing(missing)) => Err(missing.into()),
        Err(Stop::Rejected(gone)) if !wish.is_placed_anyway() => Err(Stop::Rejected(gone)),
        // An acknowledged upload is never lost: it goes to the space for such cases.
        Err(Stop::Rejected(gone)) => {
            let root = Root::recovered(view, event.id)?;
            segments.insert(0, uploaded.space.as_str().parse().expect("a space name is one path segment"));
            let spot = place::of_version(view, event, root, &segments, wish)?;
            let conflict = if spot.way.blocked { spot.conflict } else { Some(gone) };
            Ok(Spot { conflict, ..spot })
        }
    }
}
