//! FolderDeleted: one name less. What is in the folder stays under it, so that this costs as little for a million files
//! as for none, and so that undeleting brings all of it back.

use proto::{FolderDeleted, Item};

use super::Decision;
use crate::rows::FolderRow;
use crate::stop::Stop;
use crate::{View, tree};

pub(super) fn decide(view: &mut View, n: u64, deleted: &FolderDeleted) -> Result<Decision, Stop> {
    let named = tree::named(view, deleted.space_id, &deleted.path, Item::Folder(deleted.folder_id))?;
    let Some(folder) = view.folder(deleted.folder_id)?.cloned() else { return Err(Stop::Rejected("moved")) };
    if folder.entries > 0 && !deleted.recursive {
        return Err(Stop::Rejected("folder_not_empty"));
    }
    view.close_name(n, named.parent, &named.name);
    view.folders.put(deleted.folder_id, FolderRow { deleted_seq: Some(n), ..folder });
    Ok(Decision { space: Some(named.space), path: Some(deleted.path.clone()), ..Decision::default() })
}
