//! What a request may say: every word from outside becomes one of ours here, or an error that names what is wrong.

mod words;

use proto::{
    Actor, BlobId, FileUploaded, Layout, MarkerId, NodeId, OnConflict, Path, RequestId, Sequence, Sha256Digest,
    SpaceId, SpaceName, VersionId,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Code, Error, Result};

pub(crate) use words::{
    actor, at, author, blob_id, content_type, event_id, file_id, folder, item, min_sequence, modified_at, new_space,
    node, node_rule, on_conflict, page_size, path, place, retention, sequence, sha256, space, space_id, upload_id,
    version_id,
};

/// Longest retention: a hundred years.
pub(crate) const MAX_KEEP_DAYS: u32 = 36_525;

/// Longest media type, in bytes.
pub(crate) const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// An upload that is asked for; the bytes come after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewFile {
    /// In which space.
    pub(crate) space: SpaceName,
    /// Where in it.
    pub(crate) path: Path,
    /// How many bytes the client says will come.
    pub(crate) size_bytes: Option<u64>,
    /// What they will hash to, as the client says.
    pub(crate) sha256: Option<Sha256Digest>,
    /// Media type; empty when unknown.
    pub(crate) content_type: String,
    /// When the client last modified the content.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) modified_at: Option<OffsetDateTime>,
    /// Who asks.
    pub(crate) author: Author,
    /// What to do when the path is taken.
    pub(crate) on_conflict: OnConflict,
    /// Only if this is the file's current version.
    pub(crate) if_version: Option<VersionId>,
    /// How many nodes shall hold the bytes before the answer; 0 means the gateway's own number.
    pub(crate) ack_replicas: u32,
}

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Author {
    /// Who, as the client says.
    pub(crate) actor: Actor,
    /// The client's own id of the request.
    pub(crate) request_id: Option<RequestId>,
}

/// A file that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which space.
    pub(crate) space: SpaceName,
    /// Where in it.
    pub(crate) path: Path,
}

/// A point in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// After the event there.
    Sequence(Sequence),
    /// After the last event that was not later.
    Time(OffsetDateTime),
}

/// Bytes of a file that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first one.
    pub(crate) offset: u64,
    /// How many; `None` means to the end.
    pub(crate) limit: Option<u64>,
}

/// What the gateway knows of an upload once its bytes are on a node.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The object.
    pub(crate) blob_id: BlobId,
    /// Its bytes.
    pub(crate) size_bytes: u64,
    /// Their digest.
    pub(crate) sha256: Sha256Digest,
    /// The digest of the list of slice digests, for more than one slice.
    pub(crate) slices_sha256: Option<Sha256Digest>,
    /// The length of a slice, for more than one.
    pub(crate) slice_bytes: Option<u64>,
    /// Where the object is.
    pub(crate) node: NodeId,
    /// That node's marker.
    pub(crate) marker_id: MarkerId,
    /// The nodes that shall hold it; none: all.
    pub(crate) targets: Option<Vec<NodeId>>,
}

// === impl NewFile ===

impl NewFile {
    /// The fact that this upload happened.
    pub(crate) fn uploaded(&self, space_id: SpaceId, stored: Stored) -> FileUploaded {
        FileUploaded {
            space_id,
            space: self.space.clone(),
            path: self.path.clone(),
            blob_id: stored.blob_id,
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            slices_sha256: stored.slices_sha256,
            slice_bytes: stored.slice_bytes,
            content_type: self.content_type.clone(),
            modified_at: self.modified_at,
            node: stored.node,
            marker_id: stored.marker_id,
            targets: stored.targets,
            if_version: self.if_version,
            on_conflict: self.on_conflict,
            instant: false,
        }
    }

    /// Whether the fold may reject this upload when its bytes are new. One that it never rejects may be acknowledged
    /// before it is decided.
    pub(crate) const fn may_be_rejected(&self) -> bool {
        match self.on_conflict {
            OnConflict::Fail => true,
            OnConflict::Overwrite => self.if_version.is_some(),
            OnConflict::KeepBoth => false,
        }
    }

    /// Checks the bytes received so far against what was declared; more can only make it worse.
    pub(crate) fn check_so_far(&self, received: u64, max_file_bytes: u64) -> Result<()> {
        if let Some(declared) = self.size_bytes.filter(|declared| received > *declared) {
            let problem = format!("the stream has more than the declared {declared} bytes");
            return Err(Error::new(Code::SizeMismatch, problem).fact("declared", declared));
        }
        if received > max_file_bytes {
            return Err(too_large(max_file_bytes));
        }
        Ok(())
    }

    /// Checks the number of bytes at the end of the stream.
    pub(crate) fn check_size(&self, received: u64) -> Result<()> {
        match self.size_bytes {
            Some(declared) if declared != received => {
                let problem = format!("the stream has {received} bytes, not the declared {declared}");
                Err(Error::new(Code::SizeMismatch, problem).fact("declared", declared).fact("received", received))
            }
            _ => Ok(()),
        }
    }

    /// Checks the digest at the end of the stream.
    pub(crate) fn check_digest(&self, received: Sha256Digest) -> Result<()> {
        match self.sha256 {
            Some(declared) if declared != received => {
                let problem = format!("the stream has the SHA-256 {received}, not the declared {declared}");
                Err(Error::new(Code::DigestMismatch, problem).fact("declared", declared).fact("received", received))
            }
            _ => Ok(()),
        }
    }

    /// Checks what was declared before anything is read.
    pub(crate) fn check_declared(&self, max_file_bytes: u64) -> Result<()> {
        match self.size_bytes {
            Some(declared) if declared > max_file_bytes => Err(too_large(max_file_bytes)),
            _ => Ok(()),
        }
    }
}

// === impl Stored ===

impl Stored {
    /// What an upload wrote, to be copied to where the layout says.
    pub(crate) fn new(blob_id: BlobId, written: &blobs::Written, layout: &Layout) -> Self {
        Self {
            blob_id,
            size_bytes: written.size_bytes,
            sha256: written.sha256,
            slices_sha256: written.slices_sha256,
            slice_bytes: written.slice_bytes,
            node: written.node.clone(),
            marker_id: written.marker_id,
            targets: layout.named_targets(blob_id),
        }
    }

    /// What the space has already.
    pub(crate) fn before(blob: &catalog::BlobRow) -> Self {
        Self {
            blob_id: blob.blob_id,
            size_bytes: blob.size_bytes,
            sha256: blob.sha256,
            slices_sha256: blob.slices_sha256,
            slice_bytes: blob.slice_bytes,
            node: blob.origin_node.clone(),
            // Says nothing new: an instant upload registers no replica.
            marker_id: MarkerId::new(Uuid::nil()),
            targets: None,
        }
    }

    /// Bytes that were read and kept nowhere.
    pub(crate) fn nowhere(size_bytes: u64, sha256: Sha256Digest) -> Self {
        Self {
            blob_id: BlobId::new(Uuid::nil()),
            size_bytes,
            sha256,
            slices_sha256: None,
            slice_bytes: None,
            node: "nowhere".parse().expect("the word has a node id's form"),
            marker_id: MarkerId::new(Uuid::nil()),
            targets: None,
        }
    }
}

// === impl Range ===

impl Range {
    /// The whole file.
    pub(crate) const WHOLE: Self = Self { offset: 0, limit: None };

    /// The number of bytes that the range has in a file of `size_bytes`: one that begins at the end is empty, one that
    /// begins after it is the client's mistake.
    pub(crate) fn length(&self, size_bytes: u64) -> Result<u64> {
        let Some(rest) = size_bytes.checked_sub(self.offset) else {
            let problem = format!("the range begins at {} and the file has {size_bytes} bytes", self.offset);
            return Err(Error::new(Code::RangeOutOfRange, problem).fact("size_bytes", size_bytes));
        };
        Ok(self.limit.map_or(rest, |limit| limit.min(rest)))
    }
}

fn too_large(max_file_bytes: u64) -> Error {
    let problem = format!("the file has more than the {max_file_bytes} bytes that are allowed");
    Error::new(Code::FileTooLarge, problem).fact("limit", max_file_bytes)
}

#[cfg(test)]
mod tests;
