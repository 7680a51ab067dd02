//! Folders and the trash.

use proto::v1;
use serde::Serialize;

use super::{line, rfc3339};
use crate::render::entry_kind;

/// A name in a folder.
pub(crate) fn entry(entry: &v1::Entry) -> String {
    line(&Entry {
        name: &entry.name,
        kind: entry_kind(entry.kind),
        file_id: &entry.file_id,
        folder_id: &entry.folder_id,
        version_id: &entry.version_id,
        size_bytes: entry.size_bytes,
        sha256: hex::encode(&entry.sha256),
        modified_at: rfc3339(entry.modified_at.as_ref()),
        replicas_stored: entry.replicas_stored,
        replicas_wanted: entry.replicas_wanted,
        entries: entry.entries,
        sequence: &entry.sequence,
    })
}

/// What is below a folder.
pub(crate) fn usage(usage: v1::GetUsageResponse) -> String {
    let v1::GetUsageResponse { files, folders, bytes } = usage;
    line(&Usage { files, folders, bytes })
}

/// What was deleted.
pub(crate) fn deleted(entry: &v1::TrashEntry) -> String {
    line(&TrashEntry {
        path: &entry.path,
        kind: entry_kind(entry.kind),
        file_id: &entry.file_id,
        folder_id: &entry.folder_id,
        deleted_at: rfc3339(entry.deleted_at.as_ref()),
        deleted_by: &entry.deleted_by,
        sequence: &entry.sequence,
        size_bytes: entry.size_bytes,
    })
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    kind: String,
    file_id: &'a str,
    folder_id: &'a str,
    version_id: &'a str,
    size_bytes: u64,
    sha256: String,
    modified_at: Option<String>,
    replicas_stored: u32,
    replicas_wanted: u32,
    entries: u64,
    sequence: &'a str,
}

#[derive(Serialize)]
struct Usage {
    files: u64,
    folders: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TrashEntry<'a> {
    path: &'a str,
    kind: String,
    file_id: &'a str,
    folder_id: &'a str,
    deleted_at: Option<String>,
    deleted_by: &'a str,
    sequence: &'a str,
    size_bytes: u64,
}
