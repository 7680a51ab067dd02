//! What became of changes.

use proto::v1;
use serde::Serialize;

use super::line;
use crate::render::outcome;

/// A receipt, as every change answers it.
pub(crate) fn receipt(receipt: &v1::Receipt) -> String {
    line(&inner(receipt))
}

/// A receipt, as `put` answers it.
pub(crate) fn stored(receipt: &v1::Receipt, instant: bool) -> String {
    line(&Stored { receipt: inner(receipt), instant })
}

/// What became of an upload that was given up; `upload_id` is null when nothing of it was left.
pub(crate) fn aborted(path: &str, upload_id: Option<&str>) -> String {
    line(&Aborted { path, upload_id })
}

pub(super) fn inner(receipt: &v1::Receipt) -> Receipt<'_> {
    Receipt {
        event_id: &receipt.event_id,
        sequence: &receipt.sequence,
        outcome: outcome(receipt.outcome),
        reason: &receipt.reason,
        space: &receipt.space,
        path: &receipt.path,
        file_id: &receipt.file_id,
        version_id: &receipt.version_id,
        blob_id: &receipt.blob_id,
        size_bytes: receipt.size_bytes,
        sha256: hex::encode(&receipt.sha256),
        node: &receipt.node,
        projected: receipt.projected,
    }
}

#[derive(Serialize)]
pub(super) struct Receipt<'a> {
    event_id: &'a str,
    sequence: &'a str,
    outcome: String,
    reason: &'a str,
    space: &'a str,
    path: &'a str,
    file_id: &'a str,
    version_id: &'a str,
    blob_id: &'a str,
    size_bytes: u64,
    sha256: String,
    node: &'a str,
    projected: bool,
}

#[derive(Serialize)]
struct Aborted<'a> {
    path: &'a str,
    upload_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    receipt: Receipt<'a>,
    /// Stands beside the receipt in the API.
    instant: bool,
}
