//! Spaces and what they keep.

use std::fmt::Write as _;

use proto::v1;

use super::{count, moment, table};
use crate::render::{plain, size};

/// Spaces as a table.
pub(crate) fn spaces(spaces: &[v1::Space]) -> String {
    let rows = spaces.iter().map(|space| {
        let retention = limits(space.retention.as_ref());
        [plain(&space.name).into_owned(), retention, space.space_id.clone(), space.created_sequence.clone()]
    });
    table(["NAME", "RETENTION", "ID", "CREATED AT"], rows, &[])
}

/// Deleted spaces as a table.
pub(crate) fn deleted_spaces(spaces: &[v1::Space]) -> String {
    let rows = spaces.iter().map(|space| {
        let (name, by) = (plain(&space.name).into_owned(), plain(&space.deleted_by).into_owned());
        [name, moment(space.deleted_at.as_ref()), by, space.deleted_sequence.clone(), space.space_id.clone()]
    });
    table(["NAME", "DELETED", "BY", "AT", "ID"], rows, &[])
}

/// How long one space keeps old content.
pub(crate) fn retention(space: &v1::Space) -> String {
    format!("{}: {}\n", plain(&space.name), limits(space.retention.as_ref()))
}

/// What is kept, in words.
pub(crate) fn limits(retention: Option<&v1::Retention>) -> String {
    let v1::Retention { keep_versions, keep_days } = retention.copied().unwrap_or_default();
    let versions = keep_versions.map(|number| count(number.into(), "version", "versions"));
    let days = keep_days.map(|number| count(number.into(), "day", "days"));
    match (versions, days) {
        (None, None) => "keep everything".to_owned(),
        (Some(versions), None) => format!("keep {versions}, the trash for ever"),
        (None, Some(days)) => format!("keep old versions and the trash for {days}"),
        (Some(versions), Some(days)) => format!("keep {versions}, and older ones and the trash for {days}"),
    }
}

/// What was given up, or would be, and why.
pub(crate) fn pruned(answer: &v1::PruneResponse, dry_run: bool) -> String {
    if answer.versions == 0 {
        return "nothing to prune\n".to_owned();
    }
    let did = if dry_run { "would prune" } else { "pruned" };
    let versions = count(answer.versions, "version", "versions");
    let end = if answer.pruned.is_empty() { "" } else { ":" };
    let mut text = format!("{did} {versions} ({}){end}\n", size(answer.bytes));
    for version in &answer.pruned {
        let (path, id, at) = (plain(&version.path), &version.version_id, moment(version.created_at.as_ref()));
        let (size, because) = (size(version.size_bytes), plain(&version.because));
        writeln!(text, "  {path}, version {id} of {at} ({size}): {because}").expect("a String takes everything");
    }
    let more = answer.versions.saturating_sub(answer.pruned.len() as u64);
    if more > 0 && !answer.pruned.is_empty() {
        writeln!(text, "  and {more} more").expect("a String takes everything");
    }
    text
}
