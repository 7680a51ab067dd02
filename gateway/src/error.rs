//! What a request can end with: one closed list of codes, each with its stable reason word.
//!
//! The message is a sentence for the person who sent the request; what went wrong inside is logged here, once, and
//! never sent.

mod code;
mod from;

use std::collections::HashMap;
use std::fmt;

use proto::Invalid;
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{error, info, warn};

pub(crate) use code::Code;

/// The `domain` of the google.rpc.ErrorInfo in every error.
pub(crate) const DOMAIN: &str = "highwater";

/// Result of a request.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed: for the client a code and a sentence, for the log the detail.
#[derive(Debug)]
pub(crate) struct Error {
    code: Code,
    message: String,
    detail: Option<String>,
    facts: Vec<(&'static str, String)>,
}

// === impl Error ===

impl Error {
    /// An error with the sentence that the client gets.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, facts: Vec::new() }
    }

    /// A fault of the gateway: the client learns only that.
    pub(crate) fn internal(detail: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "the gateway failed; its log says why").because(detail)
    }

    /// A word from outside that does not have its form.
    pub(crate) fn invalid(code: Code, invalid: &Invalid) -> Self {
        Self::new(code, format!("the {invalid}"))
    }

    /// The gateway is stopping.
    pub(crate) fn stopping() -> Self {
        Self::new(Code::ShuttingDown, "the gateway is stopping; try again")
    }

    /// Writes are stopped: the journal is not the one that the catalog was folded from.
    pub(crate) fn diverged(detail: impl fmt::Display) -> Self {
        let problem = "the journal is not the one it was; changes are stopped until somebody has looked at it";
        Self::new(Code::JournalDiverged, problem).because(detail)
    }

    /// Writes are stopped: the journal could lose them.
    pub(crate) fn journal_unsafe(detail: impl fmt::Display) -> Self {
        let problem = "the journal could lose changes; they are stopped until somebody has looked at it";
        Self::new(Code::JournalUnsafe, problem).because(detail)
    }

    /// The journal keeps what room it has.
    pub(crate) fn journal_full(detail: impl fmt::Display) -> Self {
        let problem = "the journal is full; changes are stopped until it has more room";
        Self::new(Code::JournalFull, problem).because(detail)
    }

    /// Adds what is for the log only.
    #[must_use]
    pub(crate) fn because(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(format!("{detail:#}"));
        self
    }

    /// Adds a fact that programs may read, to the metadata of the google.rpc.ErrorInfo.
    #[must_use]
    pub(crate) fn fact(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.facts.push((key, format!("{value}")));
        self
    }

    /// The code.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Logs the error. Called once for each, where it leaves the gateway or where nobody is left to hear it.
    pub(crate) fn log(&self) {
        let (reason, message) = (self.code.reason(), &self.message);
        let detail = self.detail.as_deref().unwrap_or_default();
        match self.code.grpc() {
            tonic::Code::Internal => error!(reason, detail, "a request failed: {message}: {detail}"),
            tonic::Code::Unavailable | tonic::Code::ResourceExhausted => {
                warn!(reason, detail, "a request was turned away: {message}");
            }
            _ => info!(reason, detail, "a request was refused: {message}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.detail {
            Some(detail) if f.alternate() => write!(f, ": {detail}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        error.log();
        let facts: HashMap<String, String> =
            error.facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(error.code.reason(), DOMAIN, facts);
        if let Some(delay) = error.code.retry_after() {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code.grpc(), error.message, details)
    }
}

#[cfg(test)]
mod tests;
