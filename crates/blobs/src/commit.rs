//! Making the object of an upload, in one request or of its parts.

use bytes::Bytes;
use proto::{BlobId, MarkerId, SLICE_BYTES, Sha256Digest, SliceDigests};
use runtime::retry;
use tokio_util::sync::CancellationToken;

use crate::body::Pieces;
use crate::checksum::{Algorithm, Checksum};
use crate::hash::Digests;
use crate::multipart::{Multipart, Part};
use crate::node::Object;
use crate::place::{Refusals, candidates};
use crate::sends::Sending;
use crate::slice::SliceBuffer;
use crate::verify::{read_back, read_back_parts};
use crate::{BlobRef, Error, Node, Nodes, ObjectMeta, Written};

/// Refuses to make an object of less than all bytes: a write failed before.
fn whole(sent_bytes: u64, digests: &Digests) -> Result<(), Error> {
    if sent_bytes == digests.size_bytes {
        return Ok(());
    }
    let reason = format!("only {sent_bytes} of {} bytes were taken", digests.size_bytes);
    Err(Error::NoNode { reason })
}

/// Sends a blob of one slice to the best node that takes it.
pub(crate) async fn put_whole(
    nodes: &Nodes,
    blob: BlobId,
    meta: &ObjectMeta,
    slice: SliceBuffer,
    digests: &Digests,
) -> Result<Written, Error> {
    whole(slice.len() as u64, digests)?;
    let sending = Sending::new(nodes, slice).await;
    let mut refusals = Refusals::of(blob);
    for node in candidates(nodes, blob) {
        match put_whole_on(&node, blob, meta, &sending, digests).await {
            Ok(written) => return Ok(written),
            Err(error) => refusals.note(&node, &error),
        }
    }
    Err(refusals.into_error())
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
    let written = written(node, marker_id, digests);
    if !verifies.object(Algorithm::Crc32c) {
        read_back(node, &BlobRef::written(blob, &written), None).await?;
    }
    Ok(written)
}

/// Makes the object of `parts`, which are all of them: with the digests of its slices beside it, when it has more than
/// one. Once the object is there, doing it again finds that and succeeds.
pub(crate) async fn complete(
    multipart: &Multipart,
    marker_id: MarkerId,
    parts: Vec<Part>,
    digests: &Digests,
    blob: BlobId,
    meta: &ObjectMeta,
) -> Result<Written, Error> {
    whole(parts.iter().map(|part| part.size_bytes).sum(), digests)?;
    let node = &multipart.node;
    let written = written(node, marker_id, digests);
    let reference = BlobRef::written(blob, &written);
    let verifies = node.verifies().await?;
    if let Some(slices) = &digests.slices {
        put_parts(node, &reference, meta, slices).await?;
    }
    multipart.complete(parts, digests.size_bytes).await?;
    if !verifies.part(Algorithm::Crc32c) {
        read_back(node, &reference, digests.slices.as_ref()).await?;
    }
    Ok(written)
}

/// Deletes objects of a blob that nobody will ever hear of; best effort, logged.
pub(crate) async fn remove(node: &Node, blob: BlobId, keys: &[String]) {
    for key in keys {
        if let Err(error) = node.delete(key).await {
            let id = node.id();
            tracing::warn!(
                blob.id = %blob, node.id = %id,
                "cannot delete the unpublished {key} on node {id}, it stays as an orphan: {error}"
            );
        }
    }
}

/// Writes the digests of the slices beside the blob, and makes sure that they are right there.
pub(crate) async fn put_parts(
    node: &Node,
    blob: &BlobRef,
    meta: &ObjectMeta,
    slices: &SliceDigests,
) -> Result<(), Error> {
    let (key, meta) = (blob.blob_id.parts_key(), meta.entries(blob.blob_id));
    let list = Bytes::from(slices.to_bytes());
    let checksum = Checksum::crc32c(std::slice::from_ref(&list));
    retry::run(&node.config().retry, &CancellationToken::new(), async || {
        let body = Pieces::body(std::slice::from_ref(&list));
        node.put_object(Object { key: &key, body, len: list.len() as u64, meta: &meta, checksum: Some(checksum) }).await
    })
    .await?;
    if !node.verifies().await?.object(Algorithm::Crc32c) {
        read_back_parts(node, blob).await?;
    }
    Ok(())
}

/// What an upload of these bytes writes to the node.
pub(crate) fn written(node: &Node, marker_id: MarkerId, digests: &Digests) -> Written {
    let slices_sha256 = digests.slices.as_ref().map(|slices| Sha256Digest::of(&slices.to_bytes()));
    Written {
        size_bytes: digests.size_bytes,
        sha256: digests.sha256,
        slices_sha256,
        slice_bytes: slices_sha256.map(|_| SLICE_BYTES),
        node: node.id().clone(),
        marker_id,
    }
}
