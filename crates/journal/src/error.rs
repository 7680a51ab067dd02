//! What can go wrong, by what the caller can do about it.

use std::fmt::Display;

use runtime::retry::Transient;
use runtime::shutdown::Cancelled;

/// The stable reason of an answer that refuses writes because the journal is not the one it was.
pub const JOURNAL_DIVERGED: &str = "journal_diverged";

/// The stable reason of an answer that refuses writes because the journal could lose them.
pub const JOURNAL_UNSAFE: &str = "journal_unsafe";

/// Why the journal could not be opened, read or set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It must not be used as it is: each sentence says what is wrong and how to mend it.
    #[error("the journal is not safe to use: {}", .0.join("; "))]
    Unsafe(Vec<String>),
    /// It is not the journal that was read before. Nothing that is done here can mend that.
    #[error("the journal has diverged: {0}")]
    Diverged(String),
    /// Events are missing in the middle.
    #[error("the journal has a gap: expected event {expected}, found event {found}")]
    Gap {
        /// The sequence number that should have come next.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The stream, a consumer or a bucket is not there (yet).
    #[error("{what} does not exist; `gateway init` makes it")]
    Missing {
        /// Such as `the stream HIGHWATER`.
        what: String,
    },
    /// No answer, or one that says to come back later.
    #[error("cannot {what}: {reason}")]
    Unavailable {
        /// What was tried, as a verb.
        what: String,
        /// What the client or the server said.
        reason: String,
    },
    /// The server says no, and will go on to.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was tried, as a verb.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// The stream is gone although nodes belong to a cluster: making an empty one would hide the loss.
    #[error(
        "the stream {stream} does not exist, but these nodes already belong to a cluster: {nodes}. The journal is lost: restore it; only a cluster without marked nodes gets a new one"
    )]
    Lost {
        /// The stream's name.
        stream: String,
        /// The marked nodes.
        nodes: String,
    },
    /// A shutdown came first.
    #[error("gave up")]
    Cancelled(#[source] Cancelled),
}

/// Why an event is not known to be in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The journal is not the one that was read before; all writes are stopped.
    #[error("the journal has diverged: {reason}")]
    Diverged {
        /// What was seen.
        reason: String,
    },
    /// The journal could lose the event; writes are stopped until it is mended.
    #[error("the journal is not safe to use: {reason}")]
    Unsafe {
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The stream has reached its size. The event is not in it.
    #[error("the journal is full: {reason}")]
    Full {
        /// What the server said.
        reason: String,
    },
    /// Nobody knows whether the event is in the journal; it may still appear. Publish the same id again to learn it.
    #[error("the outcome is unknown, the event may still appear: {reason}")]
    Unknown {
        /// What went wrong last.
        reason: String,
    },
    /// The server will never take this event. It is not in the journal.
    #[error("the journal refuses the event: {reason}")]
    Rejected {
        /// What the server said.
        reason: String,
    },
}

// === impl Error ===

impl Error {
    pub(crate) fn unavailable(what: impl Into<String>, reason: &(impl Display + ?Sized)) -> Self {
        Self::Unavailable { what: what.into(), reason: reason.to_string() }
    }

    pub(crate) fn refused(what: impl Into<String>, reason: &(impl Display + ?Sized)) -> Self {
        Self::Refused { what: what.into(), reason: reason.to_string() }
    }
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Unavailable { .. } => true,
            Self::Unsafe(_)
            | Self::Diverged(_)
            | Self::Gap { .. }
            | Self::Refused { .. }
            | Self::Lost { .. }
            | Self::Cancelled(_) => false,
        }
    }
}

// === impl PublishError ===

impl PublishError {
    /// The stable word for this outcome.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Diverged { .. } => JOURNAL_DIVERGED,
            Self::Unsafe { .. } => JOURNAL_UNSAFE,
            Self::Full { .. } => "journal_full",
            Self::Unknown { .. } => "journal_unavailable",
            Self::Rejected { .. } => "event_rejected",
        }
    }
}

impl Transient for PublishError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Unknown { .. } => true,
            Self::Diverged { .. } | Self::Unsafe { .. } | Self::Full { .. } | Self::Rejected { .. } => false,
        }
    }
}
