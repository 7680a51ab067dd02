//! Why folding stops.

use catalog::Generation;
use proto::{DecodeError, Incarnation};
use runtime::shutdown::Cancelled;

/// Why the fold does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A person must act: going on would make the catalog wrong.
    #[error("the projector halts: {0}")]
    Halt(Halt),
    /// The catalog cannot be used now.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// The journal cannot be used now.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A shutdown came first.
    #[error("a shutdown was asked for")]
    Cancelled(#[from] Cancelled),
    /// A rebuild stopped before its end; the next one goes on with what it has.
    #[error("stopped at event {n}: {why}; {generation} is kept, and the next `projector rebuild` goes on with it")]
    Paused {
        /// What it was building.
        generation: Generation,
        /// Up to where it is folded.
        n: u64,
        /// Why it stopped.
        #[source]
        why: Box<Error>,
    },
    /// A tool was asked for something that cannot be done as things are.
    #[error("{message}")]
    Refused {
        /// A stable word.
        reason: &'static str,
        /// The sentence.
        message: String,
    },
}

/// What a person must act on: each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A later version of the program wrote an event: skipping it would decide everything after it wrongly.
    #[error(
        "event {n} cannot be decided here: {unknown}. Start the projector of that version; \
         the catalog stays at event {} until then",
        n - 1
    )]
    Unknown {
        /// Its sequence number.
        n: u64,
        /// What is not known.
        unknown: DecodeError,
    },
    /// The catalog was folded from another life of the journal.
    #[error(
        "the catalog was folded from the journal {catalog} up to event {n}, but this is the journal {journal}. If this \
         one is right, replace the catalog with `projector rebuild --switch`; if not, correct nats.url or database.url",
        catalog = catalog.uuid().simple(), journal = journal.uuid().simple()
    )]
    OtherJournal {
        /// What the catalog follows.
        catalog: Incarnation,
        /// What the journal is.
        journal: Incarnation,
        /// Where the catalog is.
        n: u64,
    },
    /// The journal is shorter than the catalog.
    #[error(
        "the catalog is folded up to event {n}, but the journal ends with event {head}: it has lost events that were \
         acknowledged. Restore the journal; or, if the loss is accepted, `projector rebuild --switch`"
    )]
    Short {
        /// Where the catalog is.
        n: u64,
        /// Where the journal ends.
        head: u64,
    },
    /// The journal has no event at the checkpoint.
    #[error(
        "the catalog is folded up to event {n}, but the journal has no event {n} any more, only later ones: events were \
         deleted from it. Restore the journal; or, if the loss is accepted, `projector rebuild --switch`"
    )]
    Hole {
        /// Where the catalog is.
        n: u64,
    },
    /// The journal has another event at the checkpoint.
    #[error(
        "the catalog is folded up to event {n}, which was {folded}, but event {n} of the journal is {found}: the journal \
         was changed after it was read. Restore it; or, if this one is right, `projector rebuild --switch`"
    )]
    OtherEvent {
        /// Where the catalog is.
        n: u64,
        /// The event that was folded there.
        folded: String,
        /// The event that is there.
        found: String,
    },
    /// The journal was restored, but not as what the catalog was folded from.
    #[error(
        "the catalog is folded up to event {n}, but the journal, which was restored since, has other events up to there. If \
         it is right, `projector rebuild --switch`"
    )]
    OtherHistory {
        /// Where the catalog is.
        n: u64,
    },
    /// Events are missing in the middle of the journal.
    #[error(
        "the journal has a gap: after event {} comes event {found}. Nothing after the gap can be decided rightly; \
         restore the journal",
        expected - 1
    )]
    Gap {
        /// The event that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The journal itself says that it is not the one that it was, or not safe.
    #[error("{0}")]
    Journal(journal::Error),
    /// The catalog does not fit this program, or holds what the fold cannot have made.
    #[error("{0}")]
    Catalog(catalog::Error),
    /// The fold asks for rows that it has.
    #[error("the fold of event {n} cannot be satisfied, which is a mistake in this program: it asks for {keys}")]
    Stuck {
        /// Its sequence number.
        n: u64,
        /// What it asks for.
        keys: String,
    },
}

impl From<proto::BadSlice> for Error {
    fn from(bad: proto::BadSlice) -> Self {
        Self::Refused { reason: "bad_slice", message: bad.to_string() }
    }
}

// === impl Error ===

impl Error {
    /// Whether waiting, and opening the catalog again, can help with nobody doing anything about it.
    pub(crate) fn passes(&self) -> bool {
        use runtime::retry::Transient as _;
        match self {
            // Refused: what was found a moment ago was switched or dropped by a rebuild since.
            Self::Catalog(catalog::Error::Fenced { .. } | catalog::Error::Refused { .. }) => true,
            Self::Catalog(error) => error.is_transient(),
            Self::Journal(error) => error.is_transient(),
            Self::Halt(_) | Self::Cancelled(_) | Self::Paused { .. } | Self::Refused { .. } => false,
        }
    }

    /// Makes of a final error of a library the halt that it is for `run`.
    pub(crate) fn halting(self) -> Self {
        match self {
            Self::Catalog(catalog::Error::Cancelled(cancelled))
            | Self::Journal(journal::Error::Cancelled(cancelled)) => Self::Cancelled(cancelled),
            Self::Journal(journal::Error::Gap { expected, found }) => Self::Halt(Halt::Gap { expected, found }),
            Self::Catalog(error) => Self::Halt(Halt::Catalog(error)),
            Self::Journal(error) => Self::Halt(Halt::Journal(error)),
            other => other,
        }
    }

    /// The gRPC code's name and a stable word, for `--json`.
    pub(crate) fn code(&self) -> (&'static str, &'static str) {
        match self {
            Self::Halt(Halt::Unknown { .. }) => ("FAILED_PRECONDITION", "event_unknown"),
            Self::Halt(Halt::Stuck { .. }) => ("INTERNAL", "fold_stuck"),
            Self::Halt(Halt::Catalog(_)) => ("FAILED_PRECONDITION", "catalog_unfit"),
            Self::Halt(Halt::Gap { .. } | Halt::Hole { .. }) => ("DATA_LOSS", "journal_gap"),
            Self::Halt(_) => ("FAILED_PRECONDITION", journal::JOURNAL_DIVERGED),
            Self::Catalog(_) => ("UNAVAILABLE", "catalog_unavailable"),
            Self::Journal(_) => ("UNAVAILABLE", "journal_unavailable"),
            Self::Cancelled(_) => ("CANCELLED", "cancelled"),
            Self::Paused { why, .. } => why.code(),
            Self::Refused { reason, .. } => ("FAILED_PRECONDITION", reason),
        }
    }
}
