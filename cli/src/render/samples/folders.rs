use proto::v1;

use super::{at, receipt, sequence};

const FOLDER_ID: &str = "1c8b4f1f-35d2-5b66-8e4c-6b1f2d3e4f50";

pub(in crate::render) fn entries() -> Vec<v1::Entry> {
    let receipt = receipt();
    let file = v1::Entry {
        name: "a.txt".to_owned(),
        kind: v1::EntryKind::File.into(),
        file_id: receipt.file_id,
        folder_id: String::new(),
        version_id: receipt.version_id,
        size_bytes: receipt.size_bytes,
        sha256: receipt.sha256,
        modified_at: Some(at(17)),
        replicas_stored: 1,
        replicas_wanted: 3,
        entries: 0,
        sequence: receipt.sequence,
    };
    let folder = v1::Entry {
        name: "old\x1b[2J".to_owned(),
        kind: v1::EntryKind::Folder.into(),
        folder_id: FOLDER_ID.to_owned(),
        modified_at: Some(at(3)),
        entries: 12,
        sequence: sequence(3),
        ..v1::Entry::default()
    };
    vec![file, folder]
}

pub(in crate::render) fn usage() -> v1::GetUsageResponse {
    v1::GetUsageResponse { files: 1, folders: 3, bytes: 209_715_200 }
}

pub(in crate::render) fn trash() -> Vec<v1::TrashEntry> {
    let receipt = receipt();
    let file = v1::TrashEntry {
        path: "docs/a.txt".to_owned(),
        kind: v1::EntryKind::File.into(),
        file_id: receipt.file_id,
        folder_id: String::new(),
        deleted_at: Some(at(60)),
        deleted_by: "bob".to_owned(),
        sequence: sequence(19),
        size_bytes: receipt.size_bytes,
    };
    let folder = v1::TrashEntry {
        path: "docs/old".to_owned(),
        kind: v1::EntryKind::Folder.into(),
        file_id: String::new(),
        folder_id: FOLDER_ID.to_owned(),
        size_bytes: 0,
        sequence: sequence(18),
        ..file.clone()
    };
    vec![file, folder]
}
