//! The rows of the catalog.
//!
//! Everything in them comes from the journal. Sequence numbers are the stream's; 0 means never. Words stored as text have
//! an `as_str` and a `FromStr` that agree.

mod blob;
mod journal;
mod tree;
mod words;

pub use blob::{BlobRow, BlobState, NodeRow, PlacementRow, ReplicaRow, ReplicaState};
pub use journal::{EventRow, Outcome, ReceiptRow};
pub use proto::Item as Target;
pub use tree::{FileRow, FolderRow, NameRow, SpaceRow, VersionKind, VersionRow};
pub use words::UnknownWord;
