//! BlobCondemned: the first step of erasing, a proposal. A blob that a version names again by now is skipped.

use proto::BlobCondemned;

use super::Decision;
use crate::rows::{BlobRow, BlobState};
use crate::stop::Stop;
use crate::{Key, View};

pub(super) fn decide(view: &mut View, n: u64, condemned: &BlobCondemned) -> Result<Decision, Stop> {
    view.need(condemned.blob_ids.iter().copied().map(Key::Blob))?;
    let mut accepted = Vec::with_capacity(condemned.blob_ids.len());
    for &blob_id in &condemned.blob_ids {
        if let Some(row) = view.blob(blob_id)?.filter(|row| row.state == BlobState::Live && row.refs == 0) {
            accepted.push(BlobRow { state: BlobState::Condemned, state_seq: n, ..row.clone() });
        }
    }
    let blob_ids = condemned.blob_ids.clone();
    if accepted.is_empty() {
        return Ok(Decision { blob_ids, ..Decision::rejected("blob_in_use") });
    }
    for row in accepted {
        view.blobs.put(row.blob_id, row);
    }
    Ok(Decision { blob_ids, ..Decision::default() })
}
