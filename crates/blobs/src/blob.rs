//! What is known about a blob.

use proto::{BlobId, EventId, FileUploaded, MarkerId, NodeId, SLICE_BYTES, Sha256Digest, SpaceId, VersionId};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The most parts a multipart upload may have, on every S3 server.
pub(crate) const MAX_PARTS: u64 = 10_000;
/// The entry of an object's user metadata that names its blob.
pub(crate) const BLOB_ID_ENTRY: &str = "blob-id";
/// The longest slice that is accepted from an event: a slice is held in memory until its digest is known.
const MAX_SLICE_BYTES: u64 = 64 * 1024 * 1024;

/// A blob as an event describes it: all that is needed to verify any byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRef {
    /// Its id, from which its key follows.
    pub blob_id: BlobId,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The digest of its slice digests; present when it is longer than one slice.
    pub slices_sha256: Option<Sha256Digest>,
    /// The length of each slice but the last; present with `slices_sha256`.
    pub slice_bytes: Option<u64>,
}

/// What is written beside an object as user metadata: enough to find its event when the journal is all that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// The event that names the blob.
    pub event_id: EventId,
    /// The space it was uploaded to.
    pub space: SpaceId,
    /// The version it is the content of.
    pub version_id: VersionId,
}

/// What a client says about its upload beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// The length.
    pub size_bytes: Option<u64>,
    /// The digest.
    pub sha256: Option<Sha256Digest>,
}

/// What an upload wrote, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The length.
    pub size_bytes: u64,
    /// The digest.
    pub sha256: Sha256Digest,
    /// The digest of the slice digests; present when the blob is longer than one slice.
    pub slices_sha256: Option<Sha256Digest>,
    /// The length of each slice but the last; present with `slices_sha256`.
    pub slice_bytes: Option<u64>,
    /// The node that has it.
    pub node: NodeId,
    /// That node's marker.
    pub marker_id: MarkerId,
}

/// One slice of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) index: usize,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

// === impl BlobRef ===

impl BlobRef {
    /// The blob of an upload.
    pub fn of(uploaded: &FileUploaded) -> Self {
        Self {
            blob_id: uploaded.blob_id,
            size_bytes: uploaded.size_bytes,
            sha256: uploaded.sha256,
            slices_sha256: uploaded.slices_sha256,
            slice_bytes: uploaded.slice_bytes,
        }
    }

    /// The blob that an upload wrote under `blob_id`.
    pub fn written(blob_id: BlobId, written: &Written) -> Self {
        Self {
            blob_id,
            size_bytes: written.size_bytes,
            sha256: written.sha256,
            slices_sha256: written.slices_sha256,
            slice_bytes: written.slice_bytes,
        }
    }

    /// How the blob is sliced: one slice that is the whole blob, or slices whose digests are in the `.parts` object.
    /// Refuses what cannot be verified in bounded memory.
    pub(crate) fn slices(&self) -> Result<Slices, Error> {
        let unreadable = |reason: String| Error::Unreadable { blob: self.blob_id, reason };
        let slice_bytes = match (self.slices_sha256, self.slice_bytes) {
            (Some(_), Some(bytes)) if bytes > 0 && bytes <= MAX_SLICE_BYTES => bytes,
            (Some(_), bytes) => return Err(unreadable(format!("its slices have the length {bytes:?}"))),
            (None, _) if self.size_bytes <= SLICE_BYTES => self.size_bytes.max(1),
            (None, _) => return Err(unreadable("its event has no digests of its slices".to_owned())),
        };
        let count = self.size_bytes.div_ceil(slice_bytes).max(1);
        let count = usize::try_from(count).map_err(|_| unreadable("it has too many slices".to_owned()))?;
        Ok(Slices { size_bytes: self.size_bytes, slice_bytes, count })
    }
}

/// How a blob is cut; at least one slice, which is empty for an empty blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slices {
    size_bytes: u64,
    slice_bytes: u64,
    pub(crate) count: usize,
}

// === impl Slices ===

impl Slices {
    /// Slice `index`; `None` past the last.
    pub(crate) fn get(&self, index: usize) -> Option<Slice> {
        let start = self.slice_bytes * index as u64;
        (index < self.count).then(|| Slice { index, start, len: self.slice_bytes.min(self.size_bytes - start) })
    }

    /// The slice that holds byte `offset`.
    pub(crate) fn at(&self, offset: u64) -> usize {
        usize::try_from(offset / self.slice_bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Slice> {
        (0..self.count).filter_map(move |index| self.get(index))
    }
}

// === impl ObjectMeta ===

impl ObjectMeta {
    /// Names and values, without the `x-amz-meta-` before the names.
    pub(crate) fn entries(&self, blob: BlobId) -> [(&'static str, String); 4] {
        [
            (BLOB_ID_ENTRY, blob.to_string()),
            ("event-id", self.event_id.to_string()),
            ("space-id", self.space.to_string()),
            ("version-id", self.version_id.to_string()),
        ]
    }
}

// === impl Expected ===

impl Expected {
    /// Compares with what came; nothing is stored when they differ.
    pub(crate) fn check(&self, size_bytes: u64, sha256: Sha256Digest) -> Result<(), Error> {
        self.check_size(size_bytes)?;
        if let Some(expected) = self.sha256
            && expected != sha256
        {
            let reason = format!("the upload has the SHA-256 {sha256}, but {expected} was announced");
            return Err(Error::Mismatch { reason });
        }
        Ok(())
    }

    /// As [`Self::check`], before the digest is known.
    pub(crate) fn check_size(&self, size_bytes: u64) -> Result<(), Error> {
        if let Some(expected) = self.size_bytes
            && expected != size_bytes
        {
            let reason = format!("the upload has {size_bytes} bytes, but {expected} were announced");
            return Err(Error::Mismatch { reason });
        }
        Ok(())
    }
}
