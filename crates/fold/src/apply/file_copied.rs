//! FileCopied: a version's content at another path, without copying a byte.

use proto::{Event, FileCopied, Item, Segment};

use super::Decision;
use crate::place::{self, Content, Wish};
use crate::rows::VersionKind;
use crate::stop::Stop;
use crate::tree::{self, Root};
use crate::{View, versions};

pub(super) fn decide(view: &mut View, n: u64, event: &Event, copied: &FileCopied) -> Result<Decision, Stop> {
    tree::named(view, copied.space_id, &copied.from, Item::File(copied.file_id))?;
    let source = versions::source(view, copied.file_id, copied.version_id)?;
    let root = Root::of(tree::space(view, copied.space_id)?);
    let segments: Vec<Segment> = copied.to.segments().collect();
    let wish = Wish { if_version: copied.if_version, on_conflict: copied.on_conflict, content: Content::Known };
    let spot = place::of_version(view, event, root, &segments, wish)?;
    let file_id = spot.file.as_ref().map_or(event.id.file_id(), |row| row.file_id);
    let row = versions::again(n, event, file_id, VersionKind::Copy, source);
    let (version_id, blob_id) = (Some(row.version_id), row.blob_id);
    versions::add_at(view, n, &spot, row);
    Ok(Decision { file_id: Some(file_id), version_id, blob_id, ..Decision::at(spot) })
}
