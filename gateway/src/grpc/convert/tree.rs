//! Spaces, folders, versions, the trash, and changes.

use catalog::{
    BlobRow, ChangeRow, DeletedSpace, Entry, EntryTarget, Outcome, SpaceRow, Trashed, VersionKind, VersionRow,
    Versioned,
};
use proto::{Event, Incarnation, Item, v1};

use super::{sequence, text, timestamp};

/// A space.
pub(crate) fn space(row: &SpaceRow, incarnation: Incarnation) -> v1::Space {
    v1::Space {
        space_id: row.space_id.to_string(),
        name: row.name.to_string(),
        created_sequence: sequence(row.created_seq, incarnation),
        retention: Some(v1::Retention { keep_versions: row.keep_versions, keep_days: row.keep_days }),
        deleted_sequence: row.deleted_seq.map(|seq| sequence(seq, incarnation)).unwrap_or_default(),
        deleted_at: None,
        deleted_by: String::new(),
    }
}

/// A space that was deleted.
pub(crate) fn deleted_space(deleted: &DeletedSpace, incarnation: Incarnation) -> v1::Space {
    v1::Space {
        deleted_at: Some(timestamp(deleted.deleted_at)),
        deleted_by: deleted.deleted_by.to_string(),
        ..space(&deleted.space, incarnation)
    }
}

/// The names in a folder.
pub(crate) fn entries(entries: &[Entry], incarnation: Incarnation) -> Vec<v1::Entry> {
    entries.iter().map(|one| entry(one, incarnation)).collect()
}

fn entry(entry: &Entry, incarnation: Incarnation) -> v1::Entry {
    let name = entry.name.to_string();
    match &entry.target {
        EntryTarget::File { version, blob, replicas_stored, replicas_wanted } => v1::Entry {
            name,
            kind: v1::EntryKind::File.into(),
            file_id: version.file_id.to_string(),
            version_id: version.version_id.to_string(),
            size_bytes: blob.size_bytes,
            sha256: blob.sha256.as_bytes().to_vec().into(),
            modified_at: Some(timestamp(version.modified_at.unwrap_or(version.created_at))),
            replicas_stored: *replicas_stored,
            replicas_wanted: *replicas_wanted,
            sequence: sequence(version.seq, incarnation),
            ..v1::Entry::default()
        },
        EntryTarget::Folder(folder) => v1::Entry {
            name,
            kind: v1::EntryKind::Folder.into(),
            folder_id: folder.folder_id.to_string(),
            entries: folder.entries,
            sequence: sequence(folder.created_seq, incarnation),
            ..v1::Entry::default()
        },
    }
}

/// Versions of a file.
pub(crate) fn versions(versions: &[Versioned], incarnation: Incarnation) -> Vec<v1::Version> {
    versions.iter().map(|one| version(&one.row, one.blob.as_ref(), incarnation)).collect()
}

/// A version.
pub(crate) fn version(row: &VersionRow, blob: Option<&BlobRow>, incarnation: Incarnation) -> v1::Version {
    let kind = match row.kind {
        VersionKind::Upload => v1::VersionKind::Upload,
        VersionKind::Copy => v1::VersionKind::Copy,
        VersionKind::Restore => v1::VersionKind::Restore,
        VersionKind::Undelete => v1::VersionKind::Undelete,
        VersionKind::Tombstone => v1::VersionKind::Tombstone,
    };
    v1::Version {
        version_id: row.version_id.to_string(),
        blob_id: text(row.blob_id),
        size_bytes: blob.map_or(0, |blob| blob.size_bytes),
        sha256: blob.map(|blob| blob.sha256.as_bytes().to_vec()).unwrap_or_default().into(),
        content_type: row.content_type.clone(),
        modified_at: row.modified_at.map(timestamp),
        created_at: Some(timestamp(row.created_at)),
        actor: row.actor.to_string(),
        event_id: row.event_id.to_string(),
        sequence: sequence(row.seq, incarnation),
        kind: kind.into(),
        source_version_id: text(row.source_version),
        pruned: row.pruned_seq.is_some(),
    }
}

/// What is in the trash.
pub(crate) fn trash(trashed: &[Trashed], incarnation: Incarnation) -> Vec<v1::TrashEntry> {
    trashed.iter().map(|one| trash_entry(one, incarnation)).collect()
}

fn trash_entry(trashed: &Trashed, incarnation: Incarnation) -> v1::TrashEntry {
    let (kind, file_id, folder_id) = match trashed.item {
        Item::File(id) => (v1::EntryKind::File, id.to_string(), String::new()),
        Item::Folder(id) => (v1::EntryKind::Folder, String::new(), id.to_string()),
    };
    let blob = trashed.content.as_ref().and_then(|content| content.blob.as_ref());
    v1::TrashEntry {
        path: trashed.path.to_string(),
        kind: kind.into(),
        file_id,
        folder_id,
        deleted_at: Some(timestamp(trashed.deleted_at)),
        deleted_by: trashed.deleted_by.to_string(),
        sequence: sequence(trashed.deleted_seq, incarnation),
        size_bytes: blob.map_or(0, |blob| blob.size_bytes),
    }
}

/// A change of a space.
pub(crate) fn change(row: &ChangeRow, incarnation: Incarnation) -> v1::Change {
    // What no version can decode has no actor and no time.
    let event = Event::decode(&row.raw).ok();
    let folder_id = event.as_ref().and_then(|event| folder_of(&event.fact));
    v1::Change {
        sequence: sequence(row.seq, incarnation),
        event_id: text(row.event_id),
        r#type: row.kind.clone(),
        time: event.as_ref().map(|event| timestamp(event.time)),
        actor: event.as_ref().map(|event| event.actor.to_string()).unwrap_or_default(),
        outcome: match row.outcome {
            Outcome::Applied => v1::Outcome::Applied,
            Outcome::ConflictedCopy => v1::Outcome::ConflictedCopy,
            Outcome::Rejected | Outcome::Repeated => v1::Outcome::Rejected,
        }
        .into(),
        reason: row.reason.clone().unwrap_or_default(),
        path: text(row.path.as_ref()),
        from_path: text(row.from_path.as_ref()),
        file_id: text(row.file_id),
        folder_id: folder_id.unwrap_or_default(),
        version_id: text(row.version_id),
    }
}

fn folder_of(fact: &proto::Fact) -> Option<String> {
    use proto::Fact;
    match fact {
        Fact::FolderDeleted(deleted) => Some(deleted.folder_id.to_string()),
        Fact::FileMoved(proto::FileMoved { item: Item::Folder(id), .. })
        | Fact::FileUndeleted(proto::FileUndeleted { item: Item::Folder(id), .. }) => Some(id.to_string()),
        _ => None,
    }
}
