//! What was recovered.

use proto::v1::{RecoverSummary, RecoveredBlob};
use serde::Serialize;

use super::{line, rfc3339};
use crate::render::recover_state;

/// What became of a blob.
pub(crate) fn recovered(blob: &RecoveredBlob) -> String {
    line(&Blob {
        blob_id: &blob.blob_id,
        state: recover_state(blob.state),
        size_bytes: blob.size_bytes,
        uploaded_at: rfc3339(blob.uploaded_at.as_ref()),
        nodes: &blob.nodes,
        space: given(&blob.space),
        path: given(&blob.path),
        version_id: given(&blob.version_id),
        sequence: given(&blob.sequence),
        reason: given(&blob.reason),
        detail: given(&blob.detail),
    })
}

/// How much it was.
pub(crate) fn recovery(summary: &RecoverSummary) -> String {
    line(&Summary {
        sequence: &summary.sequence,
        objects: summary.objects,
        offered: summary.offered,
        recovered: summary.recovered,
        erased: summary.erased,
        refused: summary.refused,
        left_out: summary.left_out,
    })
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[derive(Serialize)]
struct Blob<'a> {
    blob_id: &'a str,
    state: String,
    size_bytes: u64,
    uploaded_at: Option<String>,
    nodes: &'a [String],
    space: Option<&'a str>,
    path: Option<&'a str>,
    version_id: Option<&'a str>,
    sequence: Option<&'a str>,
    reason: Option<&'a str>,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary<'a> {
    sequence: &'a str,
    objects: u64,
    offered: u64,
    recovered: u64,
    erased: u64,
    refused: u64,
    left_out: u64,
}
