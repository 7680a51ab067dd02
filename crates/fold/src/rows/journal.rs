//! What became of the events.

use proto::{BlobId, EventId, FileId, Fingerprint, Path, SpaceId, SpaceName, VersionId};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect as asked.
    Applied,
    /// It took effect at another place, which the fold named.
    ConflictedCopy,
    /// It changed nothing.
    Rejected,
    /// An event with the same id was decided before; this one changed nothing. Never in a receipt.
    Repeated,
}

/// The answer to an event, by its id; the first event with an id decides it for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    /// The event.
    pub event_id: EventId,
    /// Where it is in the journal.
    pub seq: u64,
    /// What became of it. Never [`Outcome::Repeated`].
    pub outcome: Outcome,
    /// Why, when it was not simply applied: a stable word.
    pub reason: Option<String>,
    /// The digest of its request, when it was a user's.
    pub fingerprint: Option<Fingerprint>,
    /// The space where it took effect; its new name when it was renamed. None when rejected.
    pub space: Option<SpaceName>,
    /// The path where it took effect; where to, for moves and copies. None when rejected.
    pub path: Option<Path>,
    /// The file it changed.
    pub file_id: Option<FileId>,
    /// The version it made.
    pub version_id: Option<VersionId>,
    /// The blob it named, or that the version it made has.
    pub blob_id: Option<BlobId>,
}

/// An event of the journal. Only ever inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Where it is in the journal.
    pub seq: u64,
    /// Its id; none when its bytes cannot be decoded.
    pub event_id: Option<EventId>,
    /// Its CloudEvents type, or `undecodable`.
    pub kind: String,
    /// The space where it took effect or, when rejected, where it was meant to. None for what concerns no space, and for
    /// a repeated event, which is no change of a space.
    pub space_id: Option<SpaceId>,
    /// The path where it took effect or, when rejected, where it was meant to; where to, for moves and copies.
    pub path: Option<Path>,
    /// Where a move or a copy started from.
    pub from_path: Option<Path>,
    /// The file it concerns; none for changes of folders.
    pub file_id: Option<FileId>,
    /// The blobs it names, or whose references it changed, each once, sorted.
    pub blob_ids: Vec<BlobId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was not simply applied.
    pub reason: Option<String>,
    /// The event as published.
    pub raw: Vec<u8>,
}
