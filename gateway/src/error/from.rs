//! What the libraries' errors mean to a client.

use super::{Code, Error};

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        use catalog::Error as From;
        match error {
            From::Unavailable { ref reason, .. } => {
                let detail = reason.clone();
                Self::new(Code::CatalogUnavailable, "the catalog cannot be read now; nothing is lost, try again later")
                    .because(detail)
            }
            From::Behind { wanted, reached } => {
                let behind = wanted.n.saturating_sub(reached);
                let problem = format!("the catalog is {behind} events behind {wanted}; try again later");
                Self::new(Code::CatalogBehind, problem).fact("events_behind", behind).fact("reached", reached)
            }
            // What clients bring was held against the journal before.
            From::OtherIncarnation { current, .. } => {
                let life = current.uuid().simple();
                let problem = "the catalog is not of this life of the journal yet; nothing is lost, try again later";
                Self::new(Code::CatalogUnavailable, problem).because(format!("it is of the life {life}"))
            }
            From::PageToken { problem } => Self::new(Code::PageTokenInvalid, format!("the page token {problem}")),
            From::Unfit { reason } => {
                Self::new(Code::CatalogUnavailable, "the catalog cannot be read by this gateway").because(reason)
            }
            From::Cancelled(_) => Self::stopping(),
            From::Fenced { .. } | From::Refused { .. } | From::Inconsistent { .. } | From::Query(_) => {
                Self::internal(anyhow::Error::from(error))
            }
        }
    }
}

impl From<blobs::Error> for Error {
    fn from(error: blobs::Error) -> Self {
        use blobs::Error as From;
        let detail = error.to_string();
        match error {
            From::Mismatch { reason } => Self::new(Code::DigestMismatch, reason),
            From::TooLong { max_bytes } => Self::new(
                Code::FileTooLarge,
                format!("the file has more than the {max_bytes} bytes that a node can hold"),
            ),
            From::WrongOffset { expected, .. } => Self::new(Code::OffsetWrong, detail).fact("offset", expected),
            From::MustRestart { .. } => {
                Self::new(Code::UploadLost, "what was sent of the upload is lost; start it again").because(detail)
            }
            From::NoNode { .. }
            | From::Node { .. }
            | From::Checksum { .. }
            | From::Refused { .. }
            | From::FailsAt { .. } => {
                Self::new(Code::NoNodeAvailable, "no node can take the bytes now; nothing was stored, try again later")
                    .because(detail)
            }
            From::Unavailable { .. } | From::Unreadable { .. } | From::NotFound { .. } | From::UnknownNode(_) => {
                Self::new(Code::NoCopyAvailable, "no node can give the file's bytes now; try again later")
                    .because(detail)
            }
            // The gateway erases nothing.
            From::Setup { .. } | From::NotDeleted { .. } => Self::internal(detail),
        }
    }
}

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Self {
        use journal::Error as From;
        let detail = error.to_string();
        match error {
            From::Unavailable { .. } | From::Missing { .. } => {
                Self::new(Code::JournalUnavailable, "the journal cannot be reached now; try again later")
                    .because(detail)
            }
            From::Diverged(_) => Self::diverged(detail),
            From::Unsafe(_) => Self::journal_unsafe(detail),
            From::Cancelled(_) => Self::stopping(),
            From::Gap { .. } | From::Refused { .. } | From::Lost { .. } => Self::internal(detail),
        }
    }
}
