//! Words stored as text.

use std::fmt;
use std::str::FromStr;

use super::{BlobState, Outcome, ReplicaState, VersionKind};

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

words!(VersionKind {
    Upload = "upload",
    Copy = "copy",
    Restore = "restore",
    Undelete = "undelete",
    Tombstone = "tombstone",
});
words!(BlobState { Live = "live", Condemned = "condemned", Erasing = "erasing", Erased = "erased" });
words!(ReplicaState {
    Pending = "pending",
    Stored = "stored",
    Parked = "parked",
    Lost = "lost",
    Erasing = "erasing",
    Erased = "erased",
});
words!(Outcome {
    Applied = "applied",
    ConflictedCopy = "conflicted_copy",
    Rejected = "rejected",
    Repeated = "repeated",
});
