//! Versions, changes and what undoes them.
#![expect(clippy::struct_field_names, reason = "the .proto files name the fields")]

use proto::v1;
use serde::Serialize;

use super::receipts::{self, Receipt};
use super::{line, rfc3339};
use crate::render::{outcome, version_kind};

/// A version, as `versions` answers it.
pub(crate) fn listed_version(version: &v1::Version) -> String {
    line(&self::version(version))
}

/// A change, as `watch` answers it.
pub(crate) fn change(change: &v1::Change) -> String {
    line(&inner(change))
}

/// A change with what was done about it.
pub(crate) fn undo_step(step: &v1::UndoStep) -> String {
    line(&UndoStep {
        change: step.change.as_ref().map(inner),
        action: &step.action,
        undone: step.undone,
        receipt: step.receipt.as_ref().map(receipts::inner),
    })
}

/// Which nodes hold the bytes that were waited for.
pub(crate) fn waited(answer: &v1::WaitReplicatedResponse) -> String {
    line(&Waited { replicas_stored: answer.replicas_stored, nodes: &answer.nodes })
}

pub(super) fn version(version: &v1::Version) -> Version<'_> {
    Version {
        version_id: &version.version_id,
        blob_id: &version.blob_id,
        size_bytes: version.size_bytes,
        sha256: hex::encode(&version.sha256),
        content_type: &version.content_type,
        modified_at: rfc3339(version.modified_at.as_ref()),
        created_at: rfc3339(version.created_at.as_ref()),
        actor: &version.actor,
        event_id: &version.event_id,
        sequence: &version.sequence,
        kind: version_kind(version.kind),
        source_version_id: &version.source_version_id,
        pruned: version.pruned,
    }
}

fn inner(change: &v1::Change) -> Change<'_> {
    Change {
        sequence: &change.sequence,
        event_id: &change.event_id,
        event_type: &change.r#type,
        time: rfc3339(change.time.as_ref()),
        actor: &change.actor,
        outcome: outcome(change.outcome),
        reason: &change.reason,
        path: &change.path,
        from_path: &change.from_path,
        file_id: &change.file_id,
        folder_id: &change.folder_id,
        version_id: &change.version_id,
    }
}

#[derive(Serialize)]
pub(super) struct Version<'a> {
    version_id: &'a str,
    blob_id: &'a str,
    size_bytes: u64,
    sha256: String,
    content_type: &'a str,
    modified_at: Option<String>,
    created_at: Option<String>,
    actor: &'a str,
    event_id: &'a str,
    sequence: &'a str,
    kind: String,
    source_version_id: &'a str,
    pruned: bool,
}

#[derive(Serialize)]
struct Change<'a> {
    sequence: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    time: Option<String>,
    actor: &'a str,
    outcome: String,
    reason: &'a str,
    path: &'a str,
    from_path: &'a str,
    file_id: &'a str,
    folder_id: &'a str,
    version_id: &'a str,
}

#[derive(Serialize)]
struct UndoStep<'a> {
    change: Option<Change<'a>>,
    action: &'a str,
    undone: bool,
    receipt: Option<Receipt<'a>>,
}

#[derive(Serialize)]
struct Waited<'a> {
    replicas_stored: u32,
    nodes: &'a [String],
}
