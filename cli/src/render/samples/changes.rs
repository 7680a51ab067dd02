use proto::v1;

use super::{at, receipt, sequence, version};

pub(in crate::render) fn versions() -> Vec<v1::Version> {
    let tombstone = v1::Version {
        version_id: "d2e3f405-1627-5839-94a5-b6c7d8e9f0a1".to_owned(),
        blob_id: String::new(),
        size_bytes: 0,
        sha256: Vec::new().into(),
        content_type: String::new(),
        created_at: Some(at(60)),
        actor: "bob".to_owned(),
        sequence: sequence(19),
        kind: v1::VersionKind::Tombstone.into(),
        ..version()
    };
    let restored = v1::Version {
        version_id: "e3f40516-2738-594a-95b6-c7d8e9f0a1b2".to_owned(),
        created_at: Some(at(120)),
        sequence: sequence(20),
        kind: v1::VersionKind::Restore.into(),
        source_version_id: version().version_id,
        ..version()
    };
    vec![restored, tombstone, v1::Version { pruned: true, ..version() }]
}

pub(in crate::render) fn change() -> v1::Change {
    let receipt = receipt();
    v1::Change {
        sequence: receipt.sequence,
        event_id: receipt.event_id,
        r#type: "highwater.file.uploaded.v1".to_owned(),
        time: Some(at(17)),
        actor: "alice".to_owned(),
        outcome: v1::Outcome::Applied.into(),
        reason: String::new(),
        path: receipt.path,
        from_path: String::new(),
        file_id: receipt.file_id,
        folder_id: String::new(),
        version_id: receipt.version_id,
    }
}

pub(in crate::render) fn moved() -> v1::Change {
    v1::Change {
        sequence: sequence(18),
        r#type: "highwater.file.moved.v1".to_owned(),
        outcome: v1::Outcome::Rejected.into(),
        reason: "name_taken".to_owned(),
        from_path: "docs/a.txt".to_owned(),
        path: "docs/b\n.txt".to_owned(),
        version_id: String::new(),
        ..change()
    }
}

pub(in crate::render) fn undo() -> v1::UndoResponse {
    let undone = v1::UndoStep {
        change: Some(change()),
        action: "docs/a.txt is deleted".to_owned(),
        undone: true,
        receipt: Some(v1::Receipt { sequence: sequence(30), ..receipt() }),
    };
    let left = v1::UndoStep {
        change: Some(moved()),
        action: "it was rejected, so there is nothing to undo".to_owned(),
        undone: false,
        receipt: None,
    };
    v1::UndoResponse { steps: vec![left, undone] }
}

pub(in crate::render) fn waited() -> v1::WaitReplicatedResponse {
    v1::WaitReplicatedResponse { replicas_stored: 2, nodes: vec!["node-a".to_owned(), "node-b".to_owned()] }
}
