//! What was recovered.

use proto::v1::{RecoverState, RecoverSummary, RecoveredBlob};

use super::{count, moment, number};
use crate::render::{plain, recover_state, size};

/// What became of a blob, in one line.
pub(crate) fn recovered(blob: &RecoveredBlob) -> String {
    let state = recover_state(blob.state).to_uppercase();
    let (bytes, at) = (size(blob.size_bytes), moment(blob.uploaded_at.as_ref()));
    let nodes = if blob.nodes.is_empty() { "no node".to_owned() } else { blob.nodes.join(", ") };
    let place = format!("{}:{}", plain(&blob.space), plain(&blob.path));
    let fate = match blob.state() {
        RecoverState::Offered => format!("can be {place}"),
        RecoverState::Recovered => format!("is {place} by event {}", number(&blob.sequence)),
        RecoverState::Erased => format!("had been erased, and event {} has it erased again", number(&blob.sequence)),
        RecoverState::Refused | RecoverState::Unspecified => plain(&blob.detail).into_owned(),
    };
    format!("{state:<9}  {}  {bytes:>11}  {at:<20}  on {}: {fate}\n", plain(&blob.blob_id), plain(&nodes))
}

/// How much it was.
pub(crate) fn recovery(summary: &RecoverSummary) -> String {
    let RecoverSummary { objects, offered, recovered, erased, refused, left_out, .. } = *summary;
    let mut parts = Vec::new();
    if offered > 0 {
        parts.push(format!("{offered} can be recovered: name them, or say --all"));
    }
    if recovered > 0 {
        parts.push(format!("{recovered} recovered"));
    }
    if erased > 0 {
        parts.push(format!("{erased} erased again"));
    }
    if refused > 0 {
        parts.push(format!("{refused} not recovered"));
    }
    if parts.is_empty() {
        parts.push("nothing to recover".to_owned());
    }
    if left_out > 0 {
        parts.push(format!("{left_out} left out, whose events may still come"));
    }
    let listed = if objects > 0 { format!("{} listed: ", count(objects, "object", "objects")) } else { String::new() };
    format!("{listed}{}\n", parts.join(", "))
}
