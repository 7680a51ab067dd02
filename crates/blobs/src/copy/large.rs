//! Copying a large blob: slice by slice, several at once, and from where an earlier try stopped.

use std::collections::HashMap;
use std::sync::Arc;

use proto::SliceDigests;
use tokio::task::JoinSet;

use crate::blob::Slice;
use crate::checksum::{Algorithm, Checksum};
use crate::copy::Job;
use crate::copy::relay::{self, Broken, Content};
use crate::copy::sources::Sources;
use crate::multipart::{Multipart, Part, pending};
use crate::verify::read_back;
use crate::{CopyError, Error};

/// What every part of the copy shares.
struct Shared {
    sources: Sources,
    upload: Multipart,
    /// Whether the bytes are hashed on the way, because the target does not verify parts.
    hash: bool,
}

/// Copies the blob of `job` as a multipart upload whose parts are the blob's slices, so that each part has a digest.
pub(super) async fn copy_large(job: Job<'_>, sources: &Sources, digests: &SliceDigests) -> Result<(), CopyError> {
    let (target, blob) = (job.target, job.blob);
    let at_target = |error| CopyError::at(target, error);
    let verifies = target.verifies().await.map_err(at_target)?.part(Algorithm::Sha256);
    let (upload, there) = begin(job, digests).await.map_err(at_target)?;
    let shared = Arc::new(Shared { sources: sources.clone(), upload, hash: !verifies });
    let parts = match copy_slices(job, &shared, digests, there).await {
        Ok(parts) => parts,
        Err(error) => {
            leave(&shared.upload, &error).await;
            return Err(error);
        }
    };
    shared.upload.complete(parts, blob.size_bytes).await.map_err(at_target)?;
    if verifies { Ok(()) } else { read_back(target, blob, Some(digests)).await.map_err(at_target) }
}

/// Begins the upload, or goes on with one that an earlier try left, with the parts that it has.
async fn begin(job: Job<'_>, digests: &SliceDigests) -> Result<(Multipart, HashMap<i32, Part>), Error> {
    let key = job.blob.blob_id.key();
    if !job.options.first_attempt
        && let Some(uploads) = pending(job.target, &key).await?
    {
        let mut mine: Vec<_> = uploads.into_iter().filter(|upload| upload.key == key).collect();
        mine.sort_by_key(|upload| upload.initiated_at);
        if let Some(upload) = mine.pop() {
            let upload = Multipart::resume(job.target, &key, upload.id, Algorithm::Sha256, Some(job.blob.blob_id));
            if let Some(parts) = upload.parts().await? {
                let there = usable(job, digests, parts)?;
                let (blob, node, count) = (job.blob.blob_id, job.target.id(), there.len());
                tracing::info!(
                    blob.id = %blob, node.id = %node,
                    "going on with the copy of blob {blob} to node {node}, which has {count} parts already"
                );
                return Ok((upload, there));
            }
        }
    }
    let meta = Some((job.blob.blob_id, job.meta));
    Ok((Multipart::begin(job.target, &key, meta, Algorithm::Sha256).await?, HashMap::new()))
}

/// The parts that are as long as their slice, and were not sent with another digest. Over what is wrong, only parts of
/// which the node itself says the right digest.
fn usable(job: Job<'_>, digests: &SliceDigests, parts: Vec<Part>) -> Result<HashMap<i32, Part>, Error> {
    let slices = job.blob.slices()?;
    let usable = parts.into_iter().filter_map(|part| {
        let index = usize::try_from(part.number).ok()?.checked_sub(1)?;
        let (slice, digest) = (slices.get(index)?, Checksum::Sha256(digests.get(index)?).value());
        let is_right = match &part.checksum {
            Some(sum) => *sum == digest,
            None => !job.options.overwrite,
        };
        let fits = part.size_bytes == slice.len && is_right;
        fits.then_some((part.number, Part { checksum: Some(digest), ..part }))
    });
    Ok(usable.collect())
}

async fn copy_slices(
    job: Job<'_>,
    shared: &Arc<Shared>,
    digests: &SliceDigests,
    there: HashMap<i32, Part>,
) -> Result<Vec<Part>, CopyError> {
    let parallel = job.target.config().copy_parallel_parts;
    let slices = job.blob.slices().map_err(|error| CopyError::at(job.target, error))?;
    let mut copies: JoinSet<Result<Part, CopyError>> = JoinSet::new();
    let mut parts: Vec<Part> = Vec::with_capacity(slices.count);
    for slice in slices.iter() {
        let number = i32::try_from(slice.index + 1).unwrap_or(i32::MAX);
        if let Some(part) = there.get(&number) {
            parts.push(part.clone());
            continue;
        }
        if copies.len() >= parallel
            && let Some(copied) = copies.join_next().await
        {
            parts.push(join(copied)?);
        }
        let Some(digest) = digests.get(slice.index) else {
            return Err(CopyError::Blob { reason: format!("the blob has no digest of slice {}", slice.index) });
        };
        let shared = Arc::clone(shared);
        copies.spawn(async move { copy_slice(&shared, number, slice, digest).await });
    }
    while let Some(copied) = copies.join_next().await {
        parts.push(join(copied)?);
    }
    Ok(parts)
}

async fn copy_slice(
    shared: &Shared,
    number: i32,
    slice: Slice,
    digest: proto::Sha256Digest,
) -> Result<Part, CopyError> {
    let upload = &shared.upload;
    let range = Some(slice.start..slice.start + slice.len);
    let content = Content { key: &upload.key, range, len: slice.len, digest };
    for source in shared.sources.order() {
        let outcome = match relay::open(&source, &content, shared.hash).await {
            Ok((body, watch)) => watch.judge(upload.put_part(number, body, slice.len, Checksum::Sha256(digest)).await),
            Err(unfit) => Err(Broken::Source(unfit)),
        };
        match outcome {
            Ok(part) => return Ok(part),
            Err(broken) => shared.sources.note(&source, &upload.node, broken)?,
        }
    }
    Err(shared.sources.verdict())
}

fn join(ended: Result<Result<Part, CopyError>, tokio::task::JoinError>) -> Result<Part, CopyError> {
    match ended {
        Ok(copied) => copied,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Leaves the parts for the next try if that can find them; otherwise they would stay for ever.
async fn leave(upload: &Multipart, error: &CopyError) {
    let resumable = match error {
        CopyError::Node { node, .. } if node == upload.node.id() => true,
        CopyError::Node { .. } => !matches!(pending(&upload.node, &upload.key).await, Ok(None)),
        CopyError::Blob { .. } | CopyError::Erased { .. } => false,
    };
    if !resumable {
        upload.give_up().await;
    }
}
