//! What a request may say: every word from outside becomes one of ours here, or an error that names what is wrong.

use proto::{
    Actor, BlobId, EventId, FileUploaded, MarkerId, NodeId, OnConflict, Path, RequestId, Sequence, Sha256Digest,
    SpaceId, SpaceName, VersionId,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Code, Error, Result};

/// Longest media type, in bytes.
pub(crate) const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// An upload that is asked for; the bytes come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(crate) modified_at: Option<OffsetDateTime>,
    /// The client's own id of this request.
    pub(crate) request_id: Option<RequestId>,
    /// Who asks.
    pub(crate) actor: Actor,
}

/// A file that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which space.
    pub(crate) space: SpaceName,
    /// Where in it.
    pub(crate) path: Path,
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
}

/// A path, or the client's mistake.
pub(crate) fn path(text: &str) -> Result<Path> {
    text.parse().map_err(|invalid| Error::invalid(Code::PathInvalid, &invalid))
}

/// A space's name, empty for the space `main`, or the client's mistake.
pub(crate) fn space(text: &str) -> Result<SpaceName> {
    if text.is_empty() {
        return Ok(SpaceName::main());
    }
    text.parse().map_err(|invalid| Error::invalid(Code::SpaceInvalid, &invalid))
}

/// A file's place, or the client's mistake.
pub(crate) fn place(space_name: &str, path_text: &str) -> Result<Place> {
    Ok(Place { space: space(space_name)?, path: path(path_text)? })
}

/// A digest, or the client's mistake.
pub(crate) fn sha256(bytes: &[u8]) -> Result<Sha256Digest> {
    Sha256Digest::try_from(bytes).map_err(|invalid| Error::invalid(Code::DigestInvalid, &invalid))
}

/// A media type, empty for an unknown one, or the client's mistake.
pub(crate) fn content_type(text: &str) -> Result<String> {
    if text.len() > MAX_CONTENT_TYPE_BYTES {
        let problem =
            format!("the content type has {} bytes; at most {MAX_CONTENT_TYPE_BYTES} are allowed", text.len());
        return Err(Error::new(Code::ContentTypeInvalid, problem));
    }
    // It goes into an HTTP header when the file is read, which can carry nothing else.
    if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        let problem = "the content type has characters other than printable ASCII";
        return Err(Error::new(Code::ContentTypeInvalid, problem));
    }
    Ok(text.to_owned())
}

/// A time from seconds and nanoseconds since 1970, or the client's mistake.
pub(crate) fn modified_at(seconds: i64, nanos: i32) -> Result<OffsetDateTime> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| {
        let nanos = u32::try_from(nanos).ok()?;
        at.replace_nanosecond(nanos).ok()
    });
    // RFC 3339, as which the journal writes it, knows no other years.
    at.filter(|at| (1..=9999).contains(&at.year()))
        .ok_or_else(|| Error::new(Code::TimeInvalid, "the time of modification is not a time of the years 1 to 9999"))
}

/// A request id, empty for none, or the client's mistake.
pub(crate) fn request_id(text: &str) -> Result<Option<RequestId>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::RequestIdInvalid, &invalid))
}

/// An actor, empty for `anonymous`, or the client's mistake.
pub(crate) fn actor(text: &str) -> Result<Actor> {
    if text.is_empty() {
        return Ok(Actor::anonymous());
    }
    text.parse().map_err(|invalid| Error::invalid(Code::ActorInvalid, &invalid))
}

/// A version's id, empty for the current one, or the client's mistake.
pub(crate) fn version_id(text: &str) -> Result<Option<VersionId>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// An event's id, or the client's mistake.
pub(crate) fn event_id(text: &str) -> Result<EventId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A sequence, empty for none, or the client's mistake.
pub(crate) fn min_sequence(text: &str) -> Result<Option<Sequence>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::SequenceInvalid, &invalid))
}

/// A page's size: 0 means `default`, more than `max` is the client's mistake.
pub(crate) fn page_size(asked: u32, default: u32, max: u32) -> Result<u32> {
    match asked {
        0 => Ok(default),
        asked if asked <= max => Ok(asked),
        asked => {
            let problem = format!("the page size is {asked}; at most {max} are allowed");
            Err(Error::new(Code::PageSizeInvalid, problem).fact("limit", max))
        }
    }
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
            if_version: None,
            on_conflict: OnConflict::Overwrite,
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
    /// What an upload wrote.
    pub(crate) fn new(blob_id: BlobId, written: &blobs::Written) -> Self {
        Self {
            blob_id,
            size_bytes: written.size_bytes,
            sha256: written.sha256,
            slices_sha256: written.slices_sha256,
            slice_bytes: written.slice_bytes,
            node: written.node.clone(),
            marker_id: written.marker_id,
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
