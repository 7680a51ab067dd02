//! The end of an upload that can be resumed.

use crate::commit::{complete, put_whole, remove};
use crate::resumable::{PartRecord, UploadState, gone};
use crate::slice::SliceBuffer;
use crate::{Error, Expected, Nodes, Written};

impl Nodes {
    /// Makes the blob of `state`, all of whose bytes are there, with the records of its parts in any order. It can be
    /// done again, by any process: once the object is there, that is found and told as at the first time. So the caller
    /// publishes what it gets, and forgets the state only after that.
    ///
    /// - [`Error::Mismatch`]: bytes are missing yet, or it is not what was announced. With a wrong SHA-256 the upload is
    ///   thrown away: no object ever existed, and each further try says the same.
    /// - [`Error::MustRestart`]: the parts are lost, or the records are not theirs. [`Nodes::abort_resumable`] is what
    ///   is left to do.
    /// - Everything else says that the node cannot do it now: the upload can be finished later.
    pub async fn finish_resumable(&self, state: &UploadState, records: &[PartRecord]) -> Result<Written, Error> {
        let (parts, digests) = state.sum_up(records)?;
        let (blob, meta) = (state.blob_id, &state.meta);
        let expected = Expected { size_bytes: Some(state.size_bytes), sha256: state.sha256 };
        if let Err(mismatch) = expected.check(digests.size_bytes, digests.sha256) {
            if let Err(error) = self.abort_resumable(state).await {
                tracing::warn!(
                    blob.id = %blob,
                    "the wrong bytes of blob {blob} cannot be thrown away, they are left to the sweep: {error}"
                );
            }
            return Err(mismatch);
        }
        let Some(place) = &state.place else {
            return put_whole(self, blob, meta, SliceBuffer::new(self.blocks()), &digests).await;
        };
        // The marker as it is now: a disk that was changed since must not be told as the one that has the bytes.
        if let Some(node) = self.get(&place.node) {
            node.look().await?;
        }
        let multipart = self.multipart(state, place).await?;
        let count = parts.len();
        let error = match complete(&multipart, place.marker_id, parts, &digests, blob, meta).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        let Some(lost) = gone(state, &multipart, count, &error).await else { return Err(error) };
        if digests.slices.is_some() {
            remove(&multipart.node, blob, &[blob.parts_key()]).await;
        }
        Err(lost)
    }
}
