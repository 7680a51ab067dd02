//! VersionRestored: the content of an earlier version becomes the newest one, without copying a byte.

use proto::{Event, Item, VersionRestored};

use super::Decision;
use crate::rows::VersionKind;
use crate::stop::Stop;
use crate::{View, tree, versions};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, restored: &VersionRestored) -> Result<Decision, Stop> {
    let file_id = restored.file_id;
    let named = tree::named(view, restored.space_id, &restored.path, Item::File(file_id))?;
    let Some(file) = view.file(file_id)?.cloned() else { return Err(Stop::Rejected("moved")) };
    if restored.if_version.is_some_and(|wanted| wanted != file.version_id) {
        return Err(Stop::Rejected("version_changed"));
    }
    let source = versions::source(view, file_id, restored.version_id)?;
    let row = versions::again(n, event, file_id, VersionKind::Restore, source);
    let (version_id, blob_id) = (Some(row.version_id), row.blob_id);
    versions::add(view, n, file.space_id, Some(file), row);
    Ok(Decision {
        space: Some(named.space),
        path: Some(restored.path.clone()),
        file_id: Some(file_id),
        version_id,
        blob_id,
        ..Decision::default()
    })
}
