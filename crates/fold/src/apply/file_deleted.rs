//! FileDeleted: the file loses its name and gets a tombstone; its versions stay until they are pruned.

use proto::{Event, FileDeleted, Item};

use super::Decision;
use crate::stop::Stop;
use crate::{View, tree, versions};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, deleted: &FileDeleted) -> Result<Decision, Stop> {
    let named = tree::named(view, deleted.space_id, &deleted.path, Item::File(deleted.file_id))?;
    let Some(file) = view.file(deleted.file_id)?.cloned() else { return Err(Stop::Rejected("moved")) };
    if deleted.if_version.is_some_and(|wanted| wanted != file.version_id) {
        return Err(Stop::Rejected("version_changed"));
    }
    view.close_name(n, named.parent, &named.name);
    let tombstone = event.id.version_id();
    versions::bury(view, n, event, &file, tombstone);
    Ok(Decision {
        space: Some(named.space),
        path: Some(deleted.path.clone()),
        file_id: Some(deleted.file_id),
        version_id: Some(tombstone),
        ..Decision::default()
    })
}
