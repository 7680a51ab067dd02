//! Spaces and what they keep.

use proto::v1;
use serde::Serialize;

use super::receipts::{self, Receipt};
use super::{line, rfc3339};

/// A space.
pub(crate) fn space(space: &v1::Space) -> String {
    line(&Space {
        space_id: &space.space_id,
        name: &space.name,
        created_sequence: &space.created_sequence,
        retention: space
            .retention
            .as_ref()
            .map(|retention| Retention { keep_versions: retention.keep_versions, keep_days: retention.keep_days }),
        deleted_sequence: &space.deleted_sequence,
        deleted_at: rfc3339(space.deleted_at.as_ref()),
        deleted_by: &space.deleted_by,
    })
}

/// What was given up, or would be.
pub(crate) fn pruned(answer: &v1::PruneResponse) -> String {
    line(&Prune {
        versions: answer.versions,
        bytes: answer.bytes,
        pruned: answer.pruned.iter().map(version).collect(),
        receipts: answer.receipts.iter().map(receipts::inner).collect(),
    })
}

fn version(version: &v1::PrunedVersion) -> PrunedVersion<'_> {
    PrunedVersion {
        path: &version.path,
        file_id: &version.file_id,
        version_id: &version.version_id,
        size_bytes: version.size_bytes,
        created_at: rfc3339(version.created_at.as_ref()),
        because: &version.because,
    }
}

#[derive(Serialize)]
struct Space<'a> {
    space_id: &'a str,
    name: &'a str,
    created_sequence: &'a str,
    retention: Option<Retention>,
    deleted_sequence: &'a str,
    deleted_at: Option<String>,
    deleted_by: &'a str,
}

#[derive(Serialize)]
struct Retention {
    keep_versions: Option<u32>,
    keep_days: Option<u32>,
}

#[derive(Serialize)]
struct Prune<'a> {
    versions: u64,
    bytes: u64,
    pruned: Vec<PrunedVersion<'a>>,
    receipts: Vec<Receipt<'a>>,
}

#[derive(Serialize)]
struct PrunedVersion<'a> {
    path: &'a str,
    file_id: &'a str,
    version_id: &'a str,
    size_bytes: u64,
    created_at: Option<String>,
    because: &'a str,
}
