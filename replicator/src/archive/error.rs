//! Why the journal is not archived.

use blobs::archive::BadSegment;
use journal::Error as JournalError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The journal cannot be read, or is not the one that was archived.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The node cannot be read or written.
    #[error(transparent)]
    Node(#[from] blobs::Error),
    /// A segment is broken, and the journal does not go as far.
    #[error("{0}, and the journal does not have its events any more: `gateway journal verify` tells more")]
    Broken(BadSegment),
}

// === impl Error ===

impl Error {
    /// Whether it does not pass by itself.
    pub(super) fn needs_somebody(&self) -> bool {
        match self {
            Self::Journal(error) => {
                matches!(error, JournalError::Diverged(_) | JournalError::Gap { .. } | JournalError::Unsafe(_))
            }
            Self::Broken(_) => true,
            Self::Node(_) => false,
        }
    }
}
