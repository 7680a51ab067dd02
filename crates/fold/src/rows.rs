//! The rows of the catalog.
//!
//! Everything in them comes from the journal. Sequence numbers are the stream's; 0 means never. Words stored as text have
//! an `as_str` and a `FromStr` that agree.

use std::fmt;
use std::str::FromStr;

use proto::{
    Actor, BlobId, EventId, FileId, Fingerprint, FolderId, MarkerId, NodeId, Path, Segment, Sha256Digest, SpaceId,
    SpaceName, VersionId,
};
use time::OffsetDateTime;

/// A space. Its root folder has the same UUID and no row of its own among the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceRow {
    /// The space.
    pub space_id: SpaceId,
    /// Its name; unique.
    pub name: SpaceName,
    /// Sequence that created it.
    pub created_seq: u64,
}

/// A folder below a root. Where it is stands in its [`NameRow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRow {
    /// The folder.
    pub folder_id: FolderId,
    /// The space it belongs to.
    pub space_id: SpaceId,
    /// Sequence that created it.
    pub created_seq: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A folder.
    Folder(FolderId),
    /// A file.
    File(FileId),
}

/// A name in a folder, from one sequence to another: `[from_seq, to_seq)`. Views hold only the current ones, whose
/// `to_seq` is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow {
    /// The folder that the name is in.
    pub parent: FolderId,
    /// The name.
    pub name: Segment,
    /// Sequence since which it stands for the target.
    pub from_seq: u64,
    /// What it stands for.
    pub target: Target,
}

/// A file: an identity that survives moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// The file.
    pub file_id: FileId,
    /// The space it belongs to.
    pub space_id: SpaceId,
    /// Its current version.
    pub version_id: VersionId,
    /// Sequence that created it.
    pub created_seq: u64,
    /// Sequence that changed it last.
    pub changed_seq: u64,
}

/// One immutable upload of a file. Only ever inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The version.
    pub version_id: VersionId,
    /// The file it belongs to.
    pub file_id: FileId,
    /// Its content.
    pub blob_id: BlobId,
    /// Sequence that made it.
    pub seq: u64,
    /// The event at that sequence.
    pub event_id: EventId,
    /// Media type; empty when unknown.
    pub content_type: String,
    /// When the client last modified the content.
    pub modified_at: Option<OffsetDateTime>,
    /// Time of the event.
    pub created_at: OffsetDateTime,
    /// Who uploaded it.
    pub actor: Actor,
}

/// Immutable bytes. Registered for every blob that any event names, whatever became of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// The blob.
    pub blob_id: BlobId,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The digest of its list of slice digests, when it is longer than one slice.
    pub slices_sha256: Option<Sha256Digest>,
    /// Length of each slice but the last, when there are several.
    pub slice_bytes: Option<u64>,
    /// The node that took the first copy.
    pub origin_node: NodeId,
    /// Sequence of the event that named it first.
    pub first_seq: u64,
    /// Time of that event.
    pub created_at: OffsetDateTime,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// The marker that is on its disk now.
    pub marker_id: MarkerId,
    /// Sequence of its NodeJoined.
    pub joined_seq: u64,
}

/// The state of a blob on a node. A pair without a row is not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    /// It shall be there and is not yet.
    Pending,
    /// It is there, verified.
    Stored,
    /// Copying it was given up; a person or a redrive goes on.
    Parked,
    /// It was there and is not any more.
    Lost,
}

/// A blob on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// The blob.
    pub blob_id: BlobId,
    /// The node.
    pub node: NodeId,
    /// In which state the pair is.
    pub state: ReplicaState,
    /// Sequence of the event that made it so.
    pub seq: u64,
    /// Sequence of the pair's latest loss, wipe or ordered erasure: reports of copies that an earlier event asked for are
    /// ignored.
    pub fence_seq: u64,
    /// Failed attempts, when parked.
    pub attempts: u32,
    /// Why, when parked or lost.
    pub reason: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect as asked.
    Applied,
    /// Its content was kept at another place, which the fold named.
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
    /// The space where it took effect.
    pub space: Option<SpaceName>,
    /// The path where it took effect.
    pub path: Option<Path>,
    /// The file it changed.
    pub file_id: Option<FileId>,
    /// The version it made.
    pub version_id: Option<VersionId>,
    /// The blob it named.
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
    /// The file it concerns.
    pub file_id: Option<FileId>,
    /// The blobs it names, each once, sorted.
    pub blob_ids: Vec<BlobId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was not simply applied.
    pub reason: Option<String>,
    /// The event as published.
    pub raw: Vec<u8>,
}

/// A word of the catalog that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of the catalog's words here")]
pub struct UnknownWord(String);

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $name {
            /// The word stored in the catalog.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(text.to_owned())),
                }
            }
        }
    };
}

words!(ReplicaState { Pending = "pending", Stored = "stored", Parked = "parked", Lost = "lost" });
words!(Outcome {
    Applied = "applied",
    ConflictedCopy = "conflicted_copy",
    Rejected = "rejected",
    Repeated = "repeated",
});
