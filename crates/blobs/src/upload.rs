//! Writing a blob to one node, in bounded memory.

use bytes::Bytes;
use proto::{BlobId, MarkerId, SLICE_BYTES};

use crate::blob::MAX_PARTS;
use crate::commit::{complete, put_whole, remove};
use crate::hash::Hasher;
use crate::place::begin;
use crate::sends::Sends;
use crate::slice::SliceBuffer;
use crate::{Error, Expected, Nodes, ObjectMeta, Written};

/// A blob on its way to one node.
///
/// It holds the slice being filled, and what it has in flight counts against the process's send budget. A blob of one
/// slice is sent whole from memory, so every node can be tried; a longer one goes to the node that took its first slice,
/// part by part. Ends with [`Upload::finish`] or [`Upload::abort`]; one that is dropped leaves its parts to the sweep
/// ([`Nodes::sweep`]). One that must survive this process is a [`crate::Resumable`].
#[derive(Debug)]
pub struct Upload {
    nodes: Nodes,
    blob: BlobId,
    meta: ObjectMeta,
    size_bytes: u64,
    slice: SliceBuffer,
    hasher: Hasher,
    large: Option<Large>,
}

/// The part of an upload that is longer than one slice.
#[derive(Debug)]
struct Large {
    sends: Sends,
    marker_id: MarkerId,
    /// Whether objects may be there already.
    is_committing: bool,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new(nodes: Nodes, blob: BlobId, meta: ObjectMeta) -> Self {
        let (slice, hasher) = (SliceBuffer::new(nodes.blocks()), Hasher::new(nodes.config().hash_queue));
        Self { nodes, blob, meta, size_bytes: 0, slice, hasher, large: None }
    }

    /// How much was written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Adds bytes. Waits while the node, the hash or the send budget cannot keep up. After an error only
    /// [`Upload::abort`] makes sense.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        let mut chunk = chunk;
        self.size_bytes += chunk.len() as u64;
        let max_bytes = MAX_PARTS * SLICE_BYTES;
        if self.size_bytes > max_bytes {
            return Err(Error::TooLong { max_bytes });
        }
        while !chunk.is_empty() {
            // A full slice is sent only when more comes: a blob of exactly one slice is sent whole.
            if self.slice.room() == 0 {
                self.send_slice().await?;
            }
            let piece = chunk.split_to(chunk.len().min(self.slice.room()));
            self.slice.push(piece);
            if self.slice.room() == 0 {
                self.slice.seal();
            }
            self.hasher.update_from(&mut self.slice).await;
        }
        Ok(())
    }

    /// Writes the rest and makes the blob. On an error nothing is left behind, as far as the node can be reached.
    pub async fn finish(self) -> Result<Written, Error> {
        self.finish_if(Expected::default()).await
    }

    /// As [`Upload::finish`], but only if the blob is what its client announced; otherwise `Error::Mismatch`, and no
    /// object ever existed.
    pub async fn finish_if(mut self, expected: Expected) -> Result<Written, Error> {
        if let Err(mismatch) = expected.check_size(self.size_bytes) {
            self.abort().await;
            return Err(mismatch);
        }
        self.slice.seal();
        self.hasher.update_from(&mut self.slice).await;
        let sent = if self.large.is_some() { self.send_slice().await } else { Ok(()) };
        let Self { nodes, blob, meta, slice, hasher, large, .. } = self;
        let Some(mut large) = large else {
            let digests = hasher.finish().await;
            expected.check(digests.size_bytes, digests.sha256)?;
            return put_whole(&nodes, blob, &meta, slice, &digests).await;
        };
        let committed = match sent {
            Ok(()) => large.commit(hasher, blob, &meta, expected).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(written) => Ok(written),
            Err(error) => {
                large.abort().await;
                large.remove(blob).await;
                Err(temporary(error))
            }
        }
    }

    /// Lets go of everything: sends under way end, and what the node has of the blob is thrown away.
    pub async fn abort(self) {
        if let Some(mut large) = self.large {
            large.abort().await;
        }
    }

    /// Sends the slice being filled as a part, in the background.
    async fn send_slice(&mut self) -> Result<(), Error> {
        let slice = self.slice.take();
        let large = if let Some(large) = &mut self.large {
            large
        } else {
            let (multipart, marker_id) = begin(&self.nodes, self.blob, &self.meta).await?;
            let sends = Sends::new(self.nodes.clone(), multipart, 1);
            self.large.insert(Large { sends, marker_id, is_committing: false })
        };
        large.sends.send(slice).await.map_err(temporary)
    }
}

// === impl Large ===

impl Large {
    /// Waits for all parts, checks what the client announced, and makes the object.
    async fn commit(
        &mut self,
        hasher: Hasher,
        blob: BlobId,
        meta: &ObjectMeta,
        expected: Expected,
    ) -> Result<Written, Error> {
        self.sends.wait_below(1).await?;
        let digests = hasher.finish().await;
        expected.check(digests.size_bytes, digests.sha256)?;
        let parts = self.sends.take_sent();
        self.is_committing = true;
        complete(&self.sends.multipart, self.marker_id, parts, &digests, blob, meta).await
    }

    async fn abort(&mut self) {
        self.sends.stop().await;
        self.sends.multipart.give_up().await;
    }

    /// Deletes what a failed commit may have made: nobody will ever hear of it.
    async fn remove(&self, blob: BlobId) {
        if self.is_committing {
            remove(&self.sends.multipart.node, blob, &[blob.key(), blob.parts_key()]).await;
        }
    }
}

/// A large upload that failed can be made again, on this node or another, whatever this one said.
fn temporary(error: Error) -> Error {
    match error {
        Error::Refused { .. } | Error::NotFound { .. } | Error::Setup { .. } | Error::Unreadable { .. } => {
            Error::NoNode { reason: error.to_string() }
        }
        other => other,
    }
}
