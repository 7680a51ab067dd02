//! Writing a blob to one node over many calls, processes and days.
//!
//! The life of such an upload:
//!
//! 1. [`Nodes::start_resumable`] chooses the node, and gives the [`UploadState`]; its caller keeps it where other
//!    processes find it.
//! 2. [`Nodes::resume`] takes the state, and [`Resumable::write`] the bytes from its offset on. Each slice that is safe
//!    on the node comes out of [`Resumable::progress`] as a [`PartRecord`], with the state after it. The caller keeps
//!    first the records, then the state, each as one small entry; a crash between the two costs a slice that is sent
//!    again. The state is written with compare and set, so that of two streams only one goes on: the other has
//!    sent the same bytes once more, or, if they were others, the end notices that they do not fit.
//! 3. When the bytes stop coming, whatever the reason, [`Resumable::settle`] waits for what is under way, and a last
//!    [`Resumable::progress`] says how far it got. A slice that is not full is kept only if it ends the blob.
//! 4. [`Nodes::finish_resumable`] makes the blob of the state and the records, or [`Nodes::abort_resumable`] throws it
//!    away.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use proto::{BlobId, SLICE_BYTES, Sha256Digest};
use tokio::sync::oneshot;

use crate::blob::MAX_PARTS;
use crate::checksum::Algorithm;
use crate::hash::{Hasher, Mark};
use crate::multipart::{Multipart, Part};
use crate::place::begin;
use crate::sends::Sends;
use crate::slice::SliceBuffer;
use crate::{Error, NodeFault, Nodes, ObjectMeta};

pub use state::{PartRecord, UploadState};

use state::Place;

mod finish;
mod state;

/// A stretch of an upload on its way to its node: takes the bytes from the state's offset on, in bounded memory as
/// [`crate::Upload`] does. Dropped, it loses what was not told by [`Resumable::progress`], nothing else.
#[derive(Debug)]
pub struct Resumable {
    /// As told by `progress`.
    state: UploadState,
    /// Where the next byte goes.
    position: u64,
    slice: SliceBuffer,
    hasher: Hasher,
    /// None for an empty blob.
    sends: Option<Sends>,
    /// The hashes at the end of each part that was sent and not told, in order.
    marks: VecDeque<oneshot::Receiver<Mark>>,
    /// Parts that the node has and that were not told, since one before them is under way.
    sent: HashMap<i32, Part>,
    /// Bytes are missing: none may follow.
    is_broken: bool,
}

/// What became safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The upload as it is now; to be kept after `parts`.
    pub state: UploadState,
    /// The parts since the last time, in order.
    pub parts: Vec<PartRecord>,
}

// === impl Nodes ===

impl Nodes {
    /// Begins an upload of `size_bytes`, whose SHA-256 must be `sha256` if that is given, on the best node that takes it.
    /// [`Error::TooLong`] beyond 10,000 slices, [`Error::NoNode`] when no node takes it now.
    pub async fn start_resumable(
        &self,
        blob: BlobId,
        meta: ObjectMeta,
        size_bytes: u64,
        sha256: Option<Sha256Digest>,
    ) -> Result<UploadState, Error> {
        let max_bytes = MAX_PARTS * SLICE_BYTES;
        if size_bytes > max_bytes {
            return Err(Error::TooLong { max_bytes });
        }
        let place = if size_bytes == 0 {
            None
        } else {
            let (multipart, marker_id) = begin(self, blob, &meta).await?;
            Some(Place { node: multipart.node.id().clone(), marker_id, multipart_id: multipart.id })
        };
        Ok(UploadState::new(blob, meta, size_bytes, sha256, place))
    }

    /// Goes on with an upload at `offset`, which must be that of `state`: otherwise [`Error::WrongOffset`].
    ///
    /// [`Error::MustRestart`] when the node is not configured any more, or has another marker than at the start: what it
    /// had is out of reach. A node that only does not answer is an [`Error::Node`]: the upload goes on when it is back.
    pub async fn resume(&self, state: UploadState, offset: u64) -> Result<Resumable, Error> {
        if offset != state.offset {
            return Err(Error::WrongOffset { offset, expected: state.offset });
        }
        let sends = match &state.place {
            None => None,
            Some(place) => {
                let multipart = self.multipart(&state, place).await?;
                Some(Sends::new(self.clone(), multipart, state.next_number()))
            }
        };
        Ok(Resumable {
            position: offset,
            slice: SliceBuffer::new(self.blocks()),
            hasher: Hasher::resume(self.config().hash_queue, offset, &state.hash),
            sends,
            marks: VecDeque::new(),
            sent: HashMap::new(),
            is_broken: false,
            state,
        })
    }

    /// Throws an upload away, so far as it is not a blob yet: an object that was made is left alone, since an event may
    /// name it. Harmless when done again. A node that is not there any more, or is another one now, has nothing of it.
    pub async fn abort_resumable(&self, state: &UploadState) -> Result<(), Error> {
        let Some(place) = &state.place else { return Ok(()) };
        let multipart = match self.multipart(state, place).await {
            Ok(multipart) => multipart,
            Err(Error::MustRestart { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match multipart.abort().await {
            Ok(()) => Ok(()),
            Err(error) => match gone(state, &multipart, 1, &error).await {
                Some(_) => Ok(()),
                None => Err(error),
            },
        }
    }

    /// The multipart upload of `state`, if its node is the one on which it was begun.
    async fn multipart(&self, state: &UploadState, place: &Place) -> Result<Multipart, Error> {
        let id = &place.node;
        let Some(node) = self.get(id) else {
            return Err(state.must_restart(format!("node {id}, which has its bytes, is not configured any more")));
        };
        match node.admit().await {
            Ok(marker_id) if marker_id == place.marker_id => {
                let key = state.blob_id.key();
                let id = place.multipart_id.clone();
                Ok(Multipart::resume(node, &key, id, Algorithm::Crc32c, Some(state.blob_id)))
            }
            Ok(_) => Err(state.must_restart(format!("node {id}, which had its bytes, has another marker now"))),
            Err(error @ Error::Node { fault: NodeFault::WrongMarker, .. }) => {
                Err(state.must_restart(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

// === impl Resumable ===

impl Resumable {
    /// Adds bytes. Waits while the node, the hash or the send budget cannot keep up.
    ///
    /// [`Error::Mismatch`] when there are more than was announced: nothing of `chunk` is taken.
    /// [`Error::MustRestart`] when the node has lost the upload. Any other error says that a part cannot be sent now.
    /// After an error go on with [`Self::settle`]: parts before the one that failed may be safe.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::NoNode { reason: "a write before this one failed".to_owned() });
        }
        // Stays so when this write fails, or is dropped before its end.
        self.is_broken = true;
        self.take(chunk).await?;
        self.is_broken = false;
        Ok(())
    }

    /// What is safe on the node since the last time; `None` when nothing is. Does not wait for the parts under way.
    pub async fn progress(&mut self) -> Option<Progress> {
        let sent = self.sends.as_mut().map(Sends::take_sent).unwrap_or_default();
        self.sent.extend(sent.into_iter().map(|part| (part.number, part)));
        let mut parts = Vec::new();
        while let Some(part) = self.sent.remove(&self.state.next_number()) {
            let mark = self.marks.pop_front().expect("each part that was sent has its mark");
            // The bytes are hashed before they are sent, or soon after.
            let mark = mark.await.expect("the hash goes on until it is dropped");
            parts.push(self.state.advance(part, mark));
        }
        (!parts.is_empty()).then(|| Progress { state: self.state.clone(), parts })
    }

    /// Waits for the parts under way; the first error if any of them, or one before, could not be sent. What is safe
    /// nevertheless is told by [`Self::progress`] afterwards.
    pub async fn settle(&mut self) -> Result<(), Error> {
        let Some(sends) = &mut self.sends else { return Ok(()) };
        match sends.settle().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.verdict(error).await),
        }
    }

    async fn take(&mut self, chunk: Bytes) -> Result<(), Error> {
        let (mut chunk, size_bytes) = (chunk, self.state.size_bytes);
        if chunk.len() as u64 > size_bytes.saturating_sub(self.position) {
            let reason = format!("the upload has more than the {size_bytes} bytes that were announced");
            return Err(Error::Mismatch { reason });
        }
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(self.slice.room()));
            self.position += piece.len() as u64;
            self.slice.push(piece);
            let is_part = self.slice.room() == 0 || self.position == size_bytes;
            if is_part {
                self.slice.seal();
            }
            self.hasher.update_from(&mut self.slice).await;
            if is_part {
                self.send_slice().await?;
            }
        }
        Ok(())
    }

    async fn send_slice(&mut self) -> Result<(), Error> {
        let slice = self.slice.take();
        let Some(sends) = &mut self.sends else { return Ok(()) };
        self.marks.push_back(self.hasher.mark().await);
        match sends.send(slice).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.verdict(error).await),
        }
    }

    /// What a part that could not be sent means for the upload.
    async fn verdict(&self, error: Error) -> Error {
        let Some(sends) = &self.sends else { return error };
        let known = usize::try_from(self.state.next_number() - 1).unwrap_or_default();
        gone(&self.state, &sends.multipart, known, &error).await.unwrap_or(error)
    }
}

/// What to say when `error` means that the node has lost the upload, of which it had `known` parts; `None` when it may
/// have it still.
async fn gone(state: &UploadState, multipart: &Multipart, known: usize, error: &Error) -> Option<Error> {
    let id = multipart.node.id();
    let is_gone = match error {
        Error::NotFound { .. } => true,
        // Somebody else does the same at this moment.
        Error::Refused { status: 409, .. } => return None,
        // The same request will be refused again.
        Error::Refused { .. } | Error::Unreadable { .. } => return Some(state.must_restart(error.to_string())),
        // Some servers deny access to an upload that they do not know.
        Error::Node { fault: NodeFault::Denied, .. } => match multipart.parts().await {
            Ok(None) => true,
            Ok(Some(parts)) => parts.len() < known,
            Err(_) => false,
        },
        _ => false,
    };
    is_gone.then(|| state.must_restart(format!("node {id} has lost what it had of it")))
}
