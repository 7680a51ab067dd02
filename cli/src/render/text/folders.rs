//! Folders and the trash.

use proto::v1;

use super::{count, moment};
use crate::render::{plain, size};

/// A line of `ls`: a folder ends in a slash and has the number of names in it instead of a size.
pub(crate) fn entry(entry: &v1::Entry) -> String {
    let at = moment(entry.modified_at.as_ref());
    let (name, version) = (plain(&entry.name), &entry.version_id);
    let (size, copies, slash) = if is_folder(entry.kind) {
        (count(entry.entries, "name", "names"), String::new(), "/")
    } else {
        (size(entry.size_bytes), format!("{}/{}", entry.replicas_stored, entry.replicas_wanted), "")
    };
    format!("{size:>11}  {copies:>5}  {at:<20}  {version:<36}  {name}{slash}\n")
}

/// What is below a folder.
pub(crate) fn usage(usage: &v1::GetUsageResponse) -> String {
    let files = count(usage.files, "file", "files");
    let folders = count(usage.folders, "folder", "folders");
    let bytes = super::exact_size(usage.bytes);
    format!("{files} in {folders}: {bytes}\n")
}

/// A line of `trash ls`.
pub(crate) fn deleted(entry: &v1::TrashEntry) -> String {
    let at = moment(entry.deleted_at.as_ref());
    let (by, path) = (plain(&entry.deleted_by), plain(&entry.path));
    let (size, id, slash) = if is_folder(entry.kind) {
        ("-".to_owned(), &entry.folder_id, "/")
    } else {
        (size(entry.size_bytes), &entry.file_id, "")
    };
    format!("{size:>11}  {at:<20}  {by:<12}  {id:<36}  {path}{slash}\n")
}

/// Which of the deleted ones is meant.
pub(crate) fn found_in_trash(entry: &v1::TrashEntry) -> String {
    let at = moment(entry.deleted_at.as_ref());
    let (by, path, sequence) = (plain(&entry.deleted_by), plain(&entry.path), &entry.sequence);
    let (what, id) = if is_folder(entry.kind) { ("folder", &entry.folder_id) } else { ("file", &entry.file_id) };
    format!("bringing back the {what} {path}, deleted {at} by {by} (at {sequence}), {what} id {id}")
}

fn is_folder(kind: i32) -> bool {
    kind == i32::from(v1::EntryKind::Folder)
}
