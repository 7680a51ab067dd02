//! FileUploaded: a new version of a file, or a new file.

use proto::{Event, FileUploaded};

use super::Decision;
use crate::place::{Place, Spot, find};
use crate::rows::{FileRow, FolderRow, NameRow, Outcome, SpaceRow, Target, VersionRow};
use crate::{Missing, View, replicas};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, uploaded: &FileUploaded) -> Result<Decision, Missing> {
    let place = find(view, event, uploaded)?;
    let created_seq = match &place {
        Place::At(spot) if !spot.new_file => view.file(spot.file_id)?.map_or(n, |row| row.created_seq),
        Place::At(_) | Place::Nowhere(_) => n,
    };
    // Nothing is changed before this line; registering is the last thing that can lack rows, and it looks first.
    replicas::register(view, n, event, uploaded)?;
    let blob_ids = vec![uploaded.blob_id];
    let spot = match place {
        Place::At(spot) => spot,
        Place::Nowhere(reason) => return Ok(Decision { blob_ids, ..Decision::rejected(reason) }),
    };
    make_folders(view, n, &spot);
    let version_id = event.id.version_id();
    if spot.new_file {
        let target = Target::File(spot.file_id);
        let row = NameRow { parent: spot.parent, name: spot.name.clone(), from_seq: n, target };
        view.names.put((spot.parent, spot.name), row);
    }
    let file = FileRow { file_id: spot.file_id, space_id: spot.space_id, version_id, created_seq, changed_seq: n };
    view.files.put(spot.file_id, file);
    view.add_version(VersionRow {
        version_id,
        file_id: spot.file_id,
        blob_id: uploaded.blob_id,
        seq: n,
        event_id: event.id,
        content_type: uploaded.content_type.clone(),
        modified_at: uploaded.modified_at,
        created_at: event.time,
        actor: event.actor.clone(),
    });
    Ok(Decision {
        outcome: Some(if spot.conflict.is_some() { Outcome::ConflictedCopy } else { Outcome::Applied }),
        reason: spot.conflict,
        space: Some(spot.space),
        path: Some(spot.path),
        file_id: Some(spot.file_id),
        version_id: Some(version_id),
        blob_ids,
    })
}

fn make_folders(view: &mut View, n: u64, spot: &Spot) {
    if spot.new_space {
        view.put_space(SpaceRow { space_id: spot.space_id, name: spot.space.clone(), created_seq: n });
    }
    for (parent, name, folder_id) in &spot.new_folders {
        view.add_folder(FolderRow { folder_id: *folder_id, space_id: spot.space_id, created_seq: n });
        let target = Target::Folder(*folder_id);
        let row = NameRow { parent: *parent, name: name.clone(), from_seq: n, target };
        view.names.put((*parent, name.clone()), row);
    }
}
