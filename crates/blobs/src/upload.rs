//! Writing a blob to one node, in bounded memory.

use bytes::Bytes;
use proto::{BlobId, MarkerId, SLICE_BYTES};
use runtime::retry;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::blob::MAX_PARTS;
use crate::body::Pieces;
use crate::checksum::{Algorithm, Checksum};
use crate::hash::{Digests, Hasher};
use crate::multipart::{Multipart, Part};
use crate::node::Object;
use crate::slice::SliceBuffer;
use crate::verify::{read_back, read_back_parts};
use crate::{BlobRef, Error, Expected, Health, Node, Nodes, ObjectMeta, Written};

/// A blob on its way to one node.
///
/// It holds the slice being filled, and what it has in flight counts against the process's send budget. A blob of one
/// slice is sent whole from memory, so every node can be tried; a longer one goes to the node that took its first slice,
/// part by part. Ends with [`Upload::finish`] or [`Upload::abort`]; one that is dropped leaves its parts to the sweep
/// ([`Nodes::abort_stale_uploads`]).
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
    multipart: Multipart,
    marker_id: MarkerId,
    sends: JoinSet<Result<Part, Error>>,
    parts: Vec<Part>,
    next_number: i32,
    /// Whether objects may be there already.
    is_committing: bool,
}

/// A slice with its share of the send budget, which it gives back when it is dropped.
struct Sending {
    pieces: Vec<Bytes>,
    checksum: Checksum,
    len: u64,
    _permit: OwnedSemaphorePermit,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new(nodes: Nodes, blob: BlobId, meta: ObjectMeta) -> Self {
        let hasher = Hasher::new(nodes.config().hash_queue);
        Self { nodes, blob, meta, size_bytes: 0, slice: SliceBuffer::new(), hasher, large: None }
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
            self.hash().await;
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
        if let Some(announced) = expected.size_bytes
            && announced != self.size_bytes
        {
            let reason = format!("the upload has {} bytes, but {announced} were announced", self.size_bytes);
            self.abort().await;
            return Err(Error::Mismatch { reason });
        }
        self.slice.seal();
        self.hash().await;
        let sent = if self.large.is_some() { self.send_slice().await } else { Ok(()) };
        let Self { nodes, blob, meta, slice, hasher, large, .. } = self;
        let Some(mut large) = large else {
            let digests = hasher.finish().await;
            expected.check(digests.size_bytes, digests.sha256)?;
            return put_whole(&nodes, blob, &meta, slice, &digests).await;
        };
        let committed = match sent {
            Ok(()) => commit(&mut large, hasher, blob, &meta, expected).await,
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

    async fn hash(&mut self) {
        while let Some(piece) = self.slice.next_unhashed() {
            self.hasher.update(piece).await;
        }
    }

    /// Sends the slice being filled as a part, in the background.
    async fn send_slice(&mut self) -> Result<(), Error> {
        let slice = std::mem::replace(&mut self.slice, SliceBuffer::new());
        let parallel = self.nodes.config().upload_parallel_parts;
        let large = match &mut self.large {
            Some(large) => large,
            None => self.large.insert(begin(&self.nodes, self.blob, &self.meta).await?),
        };
        large.make_room(parallel).await.map_err(temporary)?;
        let sending = Sending::new(&self.nodes, slice).await;
        let (multipart, number) = (large.multipart.clone(), large.next_number);
        large.next_number += 1;
        large.sends.spawn(send(multipart, number, sending, self.nodes.cancel().clone()));
        Ok(())
    }
}

// === impl Large ===

impl Large {
    /// Waits until fewer than `parallel` parts are under way, and notices the ones that failed.
    async fn make_room(&mut self, parallel: usize) -> Result<(), Error> {
        while let Some(sent) = self.sends.try_join_next() {
            self.parts.push(join(sent)?);
        }
        while self.sends.len() >= parallel
            && let Some(sent) = self.sends.join_next().await
        {
            self.parts.push(join(sent)?);
        }
        Ok(())
    }

    async fn abort(&mut self) {
        self.sends.shutdown().await;
        self.multipart.give_up().await;
    }

    /// Deletes what a failed commit may have made: nobody will ever hear of it.
    async fn remove(&self, blob: BlobId) {
        let node = &self.multipart.node;
        let keys = if self.is_committing { vec![blob.key(), blob.parts_key()] } else { vec![] };
        for key in keys {
            if let Err(error) = node.delete(&key).await {
                let id = node.id();
                tracing::warn!(
                    blob.id = %blob, node.id = %id,
                    "cannot delete {key} of a failed upload on node {id}, it stays as an orphan: {error}"
                );
            }
        }
    }
}

// === impl Sending ===

impl Sending {
    /// Waits for its share of the budget. Only sends under way hold shares, and each of them ends by itself: uploads
    /// that pause in the middle of their stream cannot keep others waiting.
    async fn new(nodes: &Nodes, slice: SliceBuffer) -> Self {
        let len = slice.len();
        let share = u32::try_from(len).unwrap_or(u32::MAX);
        let permit = nodes.send_budget().clone().acquire_many_owned(share).await;
        let (pieces, checksum) = slice.finish();
        let permit = permit.expect("the semaphore is never closed");
        Self { pieces, checksum, len: len as u64, _permit: permit }
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

fn join(ended: Result<Result<Part, Error>, tokio::task::JoinError>) -> Result<Part, Error> {
    match ended {
        Ok(sent) => sent,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn send(multipart: Multipart, number: i32, sending: Sending, cancel: CancellationToken) -> Result<Part, Error> {
    let policy = &multipart.node.config().retry;
    retry::run(policy, &cancel, async || {
        multipart.put_part(number, Pieces::body(&sending.pieces), sending.len, sending.checksum).await
    })
    .await
}

/// Refuses to finish an upload of which a write failed before: bytes are missing.
fn whole(sent_bytes: u64, digests: &Digests) -> Result<(), Error> {
    if sent_bytes == digests.size_bytes {
        return Ok(());
    }
    let reason = format!("only {sent_bytes} of {} bytes were taken", digests.size_bytes);
    Err(Error::NoNode { reason })
}

/// The nodes that may take a blob, best first.
fn candidates(nodes: &Nodes, blob: BlobId) -> Vec<Node> {
    let mut candidates = nodes.ranked(blob);
    candidates.retain(|node| !matches!(node.state(), Health::WrongMarker { .. }));
    candidates
}

/// Notes that a node did not take the blob. Nothing is lost by it: the whole body is still in memory, and the next node
/// is tried.
fn refuse(refusals: &mut Vec<String>, blob: BlobId, node: &Node, error: &Error) {
    let id = node.id();
    tracing::warn!(blob.id = %blob, node.id = %id, "node {id} does not take blob {blob}: {error}");
    refusals.push(error.to_string());
}

fn nobody(refusals: &[String]) -> Error {
    let reason = if refusals.is_empty() { "every node has a wrong marker".to_owned() } else { refusals.join("; ") };
    Error::NoNode { reason }
}

async fn begin(nodes: &Nodes, blob: BlobId, meta: &ObjectMeta) -> Result<Large, Error> {
    let mut refusals = Vec::new();
    for node in candidates(nodes, blob) {
        match begin_on(&node, blob, meta).await {
            Ok(large) => return Ok(large),
            Err(error) => refuse(&mut refusals, blob, &node, &error),
        }
    }
    Err(nobody(&refusals))
}

async fn begin_on(node: &Node, blob: BlobId, meta: &ObjectMeta) -> Result<Large, Error> {
    let marker_id = node.admit().await?;
    let multipart = Multipart::begin(node, &blob.key(), Some((blob, meta)), Algorithm::Crc32c).await?;
    Ok(Large { multipart, marker_id, sends: JoinSet::new(), parts: Vec::new(), next_number: 1, is_committing: false })
}

/// Sends a blob of one slice.
async fn put_whole(
    nodes: &Nodes,
    blob: BlobId,
    meta: &ObjectMeta,
    slice: SliceBuffer,
    digests: &Digests,
) -> Result<Written, Error> {
    whole(slice.len() as u64, digests)?;
    let sending = Sending::new(nodes, slice).await;
    let mut refusals = Vec::new();
    for node in candidates(nodes, blob) {
        match put_whole_on(&node, blob, meta, &sending, digests).await {
            Ok(written) => return Ok(written),
            Err(error) => refuse(&mut refusals, blob, &node, &error),
        }
    }
    Err(nobody(&refusals))
}

async fn put_whole_on(
    node: &Node,
    blob: BlobId,
    meta: &ObjectMeta,
    sending: &Sending,
    digests: &Digests,
) -> Result<Written, Error> {
    let marker_id = node.admit().await?;
    let verifies = node.verifies().await?;
    let (key, meta) = (blob.key(), meta.entries(blob));
    let (body, checksum) = (Pieces::body(&sending.pieces), Some(sending.checksum));
    node.put_object(Object { key: &key, body, len: sending.len, meta: &meta, checksum }).await?;
    let written = Written {
        size_bytes: digests.size_bytes,
        sha256: digests.sha256,
        slices_sha256: None,
        slice_bytes: None,
        node: node.id().clone(),
        marker_id,
    };
    if !verifies.object(Algorithm::Crc32c) {
        read_back(node, &BlobRef::written(blob, &written), None).await?;
    }
    Ok(written)
}

/// Waits for all parts, checks what the client announced, and makes the object.
async fn commit(
    large: &mut Large,
    hasher: Hasher,
    blob: BlobId,
    meta: &ObjectMeta,
    expected: Expected,
) -> Result<Written, Error> {
    large.make_room(1).await?;
    let digests = hasher.finish().await;
    expected.check(digests.size_bytes, digests.sha256)?;
    whole(large.parts.iter().map(|part| part.size_bytes).sum(), &digests)?;
    large.is_committing = true;
    let node = &large.multipart.node;
    let slices = digests.slices.expect("an upload with parts is longer than one slice");
    let list = Bytes::from(slices.to_bytes());
    let written = Written {
        size_bytes: digests.size_bytes,
        sha256: digests.sha256,
        slices_sha256: Some(proto::Sha256Digest::of(&list)),
        slice_bytes: Some(SLICE_BYTES),
        node: node.id().clone(),
        marker_id: large.marker_id,
    };
    let reference = BlobRef::written(blob, &written);
    let (key, meta) = (blob.parts_key(), meta.entries(blob));
    let verifies = node.verifies().await?;
    let checksum = Checksum::crc32c(std::slice::from_ref(&list));
    retry::run(&node.config().retry, &CancellationToken::new(), async || {
        let body = Pieces::body(std::slice::from_ref(&list));
        node.put_object(Object { key: &key, body, len: list.len() as u64, meta: &meta, checksum: Some(checksum) }).await
    })
    .await?;
    if !verifies.object(Algorithm::Crc32c) {
        read_back_parts(node, &reference).await?;
    }
    large.multipart.complete(std::mem::take(&mut large.parts), digests.size_bytes).await?;
    if !verifies.part(Algorithm::Crc32c) {
        read_back(node, &reference, Some(&slices)).await?;
    }
    Ok(written)
}
