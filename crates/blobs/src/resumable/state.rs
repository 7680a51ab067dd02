//! What must be remembered of an upload so that any process can go on with it.

use proto::{BlobId, MarkerId, NodeId, SLICE_BYTES, Sha256Digest, SliceDigests};
use serde::{Deserialize, Serialize};

use crate::hash::{Digests, HashState, Mark};
use crate::multipart::Part;
use crate::{Error, ObjectMeta};

/// An upload under way, as it is between two calls and between two processes: all that is safe of it, in less than
/// 2 KiB. It is written and read with serde.
///
/// Which parts it consists of is told by their [`PartRecord`]s, which are many and are kept elsewhere; the state knows
/// their digests, so that wrong or missing ones are noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    pub(super) blob_id: BlobId,
    pub(super) meta: ObjectMeta,
    pub(super) size_bytes: u64,
    pub(super) sha256: Option<Sha256Digest>,
    /// Where the bytes go; none for an empty blob, which is written when it is finished.
    pub(super) place: Option<Place>,
    /// Up to here bytes are safe: a multiple of the slice, or all.
    pub(super) offset: u64,
    /// Of the bytes before `offset`.
    pub(super) hash: HashState,
    /// The digests of the slices before `offset`, each hashed with the value before.
    pub(super) slices: Sha256Digest,
}

/// A multipart upload on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) node: NodeId,
    /// Whose multipart upload it is: on a node with another marker there are no parts.
    pub(super) marker_id: MarkerId,
    pub(super) multipart_id: String,
}

/// A slice that is safe on its node, in some 250 bytes. It is written and read with serde.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    #[serde(flatten)]
    pub(super) part: Part,
    /// Of the slice.
    pub(super) sha256: Sha256Digest,
}

// === impl UploadState ===

impl UploadState {
    pub(super) fn new(
        blob_id: BlobId,
        meta: ObjectMeta,
        size_bytes: u64,
        sha256: Option<Sha256Digest>,
        place: Option<Place>,
    ) -> Self {
        let (hash, slices) = (HashState::default(), Sha256Digest::of(&[]));
        Self { blob_id, meta, size_bytes, sha256, place, offset: 0, hash, slices }
    }

    /// The blob that it becomes.
    pub fn blob_id(&self) -> BlobId {
        self.blob_id
    }

    /// What is written beside it.
    pub fn meta(&self) -> ObjectMeta {
        self.meta
    }

    /// How many bytes it will have, as was announced.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many bytes are safe on the node: where to go on.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether all bytes are there, so that it can be finished.
    pub fn is_complete(&self) -> bool {
        self.offset == self.size_bytes
    }

    /// The node that has the bytes; `None` for an empty blob.
    pub fn node(&self) -> Option<&NodeId> {
        self.place.as_ref().map(|place| &place.node)
    }

    /// The multipart upload on that node: to be kept by the sweep ([`crate::Nodes::sweep`]) while the state
    /// lives.
    pub fn multipart_id(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.multipart_id.as_str())
    }

    /// The number of the next part.
    pub(super) fn next_number(&self) -> i32 {
        // A state that was made here has at most 10,000 parts; any other is found out at the end.
        i32::try_from(self.offset.div_ceil(SLICE_BYTES)).unwrap_or(i32::MAX).saturating_add(1)
    }

    /// Notes that the next part is safe.
    pub(super) fn advance(&mut self, part: Part, mark: Mark) -> PartRecord {
        self.offset += part.size_bytes;
        self.slices = chained(self.slices, mark.slice);
        self.hash = mark.state;
        PartRecord { part, sha256: mark.slice }
    }

    /// The parts in their order, and the digests of the whole. [`Error::Mismatch`] when bytes are missing, and
    /// [`Error::MustRestart`] when `records` are not those of this upload; records past its offset are left out.
    pub(super) fn sum_up(&self, records: &[PartRecord]) -> Result<(Vec<Part>, Digests), Error> {
        if !self.is_complete() {
            let reason = format!("the upload has {} of {} bytes so far", self.offset, self.size_bytes);
            return Err(Error::Mismatch { reason });
        }
        let mut parts: Vec<&PartRecord> =
            records.iter().filter(|record| record.part.number < self.next_number()).collect();
        parts.sort_unstable_by_key(|record| record.part.number);
        let (mut slices, mut chain, mut size_bytes) = (SliceDigests::default(), Sha256Digest::of(&[]), 0);
        for (number, record) in (1..).zip(&parts) {
            if record.part.number != number {
                return Err(self.must_restart(format!("the record of part {number} is missing, or there twice")));
            }
            size_bytes += record.part.size_bytes;
            chain = chained(chain, record.sha256);
            slices.push(record.sha256);
        }
        if size_bytes != self.size_bytes || chain != self.slices {
            return Err(self.must_restart("the records of its parts are not those of its bytes"));
        }
        let digests = Digests { size_bytes, sha256: self.hash.digest(), slices: (slices.len() > 1).then_some(slices) };
        Ok((parts.into_iter().map(|record| record.part.clone()).collect(), digests))
    }

    pub(super) fn must_restart(&self, reason: impl Into<String>) -> Error {
        Error::MustRestart { blob: self.blob_id, reason: reason.into() }
    }
}

// === impl PartRecord ===

impl PartRecord {
    /// Which part, from 1: slice `number - 1`.
    pub fn number(&self) -> u32 {
        self.part.number.unsigned_abs()
    }

    /// How long it is.
    pub fn size_bytes(&self) -> u64 {
        self.part.size_bytes
    }
}

fn chained(before: Sha256Digest, slice: Sha256Digest) -> Sha256Digest {
    Sha256Digest::of(&[*before.as_bytes(), *slice.as_bytes()].concat())
}
