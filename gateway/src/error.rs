//! What a request can end with: one closed list of codes, each with its stable reason word.
//!
//! The message is a sentence for the person who sent the request; what went wrong inside is logged here, once, and
//! never sent.

mod from;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use proto::Invalid;
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{error, info, warn};

/// The `domain` of the google.rpc.ErrorInfo in every error.
pub(crate) const DOMAIN: &str = "highwater";

/// Result of a request.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed. Clients may rely on [`Code::reason`]; each has one gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// A message is not the protobuf message that the call takes.
    MessageInvalid,
    /// A path, or a file name, does not have its form.
    PathInvalid,
    /// A space name does not have its form.
    SpaceInvalid,
    /// A declared SHA-256 is not 32 bytes.
    DigestInvalid,
    /// A media type is too long or has characters that no media type has.
    ContentTypeInvalid,
    /// A time lies outside of the years 1 to 9999.
    TimeInvalid,
    /// A request id does not have its form.
    RequestIdInvalid,
    /// An actor does not have its form.
    ActorInvalid,
    /// A version or event id is not a UUID.
    IdInvalid,
    /// An answer to a conflict that this gateway does not know.
    OnConflictInvalid,
    /// A sequence does not have its form.
    SequenceInvalid,
    /// A page size over the limit.
    PageSizeInvalid,
    /// A page token that this call did not give out.
    PageTokenInvalid,
    /// A retention that keeps nothing, or for too long.
    RetentionInvalid,
    /// More copies asked for than there are nodes.
    ReplicasInvalid,
    /// A weight or a zone that cannot be one.
    PlacementInvalid,
    /// An upload without its first message, or without a file name.
    MetadataMissing,
    /// An upload that states its metadata again.
    MetadataTwice,
    /// A chunk over `limits.chunk_bytes`.
    ChunkTooLarge,
    /// More bytes than `limits.max_file_bytes`.
    FileTooLarge,
    /// The stream has not as many bytes as declared.
    SizeMismatch,
    /// The stream has not the declared SHA-256.
    DigestMismatch,
    /// A part that begins elsewhere than where its upload goes on.
    OffsetWrong,
    /// What an upload has sent so far is lost; it must be started again.
    UploadLost,
    /// The space does not exist.
    SpaceNotFound,
    /// No file is at the path.
    FileNotFound,
    /// The file has no such version.
    VersionNotFound,
    /// No folder is at the path.
    FolderNotFound,
    /// What is at the path is a file.
    NotAFolder,
    /// What is at the path is a folder.
    NotAFile,
    /// The version's content was given up.
    VersionPruned,
    /// Nothing in the trash has the id.
    TrashNotFound,
    /// No upload session has the id: it was finished, aborted, or has expired.
    UploadNotFound,
    /// The catalog knows no such event.
    ReceiptNotFound,
    /// No event has brought such a blob.
    BlobNotFound,
    /// No node of the cluster has the name.
    NodeNotFound,
    /// The cluster would be without a node.
    LastNode,
    /// A range that begins after the end.
    RangeOutOfRange,
    /// The request id was used before, for another request.
    RequestIdReused,
    /// A sequence of another life of the journal.
    JournalRestored,
    /// A sequence that was never given out.
    SequenceUnknown,
    /// Nothing says how long old content is kept.
    RetentionNeeded,
    /// The range of an undo is the wrong way round, or too long.
    UndoRange,
    /// The journal keeps its last room for the system's own events.
    JournalFull,
    /// As many uploads as allowed are running.
    TooManyUploads,
    /// As many downloads as allowed are running.
    TooManyDownloads,
    /// No node could take the bytes.
    NoNodeAvailable,
    /// No node that holds the bytes could give them.
    NoCopyAvailable,
    /// The journal cannot be reached.
    JournalUnavailable,
    /// The journal could lose what is written to it.
    JournalUnsafe,
    /// The journal is not the one that the catalog was folded from.
    JournalDiverged,
    /// The catalog cannot be reached, or is being built.
    CatalogUnavailable,
    /// The catalog has not reached the sequence that was asked for.
    CatalogBehind,
    /// The change is in the journal, and the catalog has not decided it yet.
    OutcomePending,
    /// Fewer nodes than asked for hold the bytes yet.
    ReplicasTooFew,
    /// The gateway is stopping.
    ShuttingDown,
    /// Too few nodes held the bytes within the time that was given.
    ReplicationTimeout,
    /// The client sent nothing for too long.
    UploadIdle,
    /// The client took nothing for too long.
    DownloadIdle,
    /// The upload as a whole takes too long.
    UploadTooLong,
    /// The client cancelled, or the connection broke.
    UploadCut,
    /// A fault of the gateway.
    Internal,
}

/// Why a request failed: for the client a code and a sentence, for the log the detail.
#[derive(Debug)]
pub(crate) struct Error {
    code: Code,
    message: String,
    detail: Option<String>,
    facts: Vec<(&'static str, String)>,
}

// === impl Code ===

impl Code {
    /// The stable word: `reason` of the google.rpc.ErrorInfo.
    pub(crate) const fn reason(self) -> &'static str {
        self.row().0
    }

    /// The gRPC code.
    pub(crate) const fn grpc(self) -> tonic::Code {
        self.row().1
    }

    /// After what time a client should try again, when trying again can help.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self.grpc() {
            tonic::Code::Unavailable => Some(Duration::from_secs(1)),
            tonic::Code::ResourceExhausted => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    const fn row(self) -> (&'static str, tonic::Code) {
        use tonic::Code as Grpc;
        match self {
            Self::MessageInvalid => ("message_invalid", Grpc::InvalidArgument),
            Self::PathInvalid => ("path_invalid", Grpc::InvalidArgument),
            Self::SpaceInvalid => ("space_invalid", Grpc::InvalidArgument),
            Self::DigestInvalid => ("digest_invalid", Grpc::InvalidArgument),
            Self::ContentTypeInvalid => ("content_type_invalid", Grpc::InvalidArgument),
            Self::TimeInvalid => ("time_invalid", Grpc::InvalidArgument),
            Self::RequestIdInvalid => ("request_id_invalid", Grpc::InvalidArgument),
            Self::ActorInvalid => ("actor_invalid", Grpc::InvalidArgument),
            Self::IdInvalid => ("id_invalid", Grpc::InvalidArgument),
            Self::OnConflictInvalid => ("on_conflict_invalid", Grpc::InvalidArgument),
            Self::SequenceInvalid => ("sequence_invalid", Grpc::InvalidArgument),
            Self::PageSizeInvalid => ("page_size_invalid", Grpc::InvalidArgument),
            Self::PageTokenInvalid => ("page_token_invalid", Grpc::InvalidArgument),
            Self::RetentionInvalid => ("retention_invalid", Grpc::InvalidArgument),
            Self::ReplicasInvalid => ("replicas_invalid", Grpc::InvalidArgument),
            Self::PlacementInvalid => ("placement_invalid", Grpc::InvalidArgument),
            Self::MetadataMissing => ("metadata_missing", Grpc::InvalidArgument),
            Self::MetadataTwice => ("metadata_twice", Grpc::InvalidArgument),
            Self::ChunkTooLarge => ("chunk_too_large", Grpc::InvalidArgument),
            Self::FileTooLarge => ("file_too_large", Grpc::InvalidArgument),
            Self::SizeMismatch => ("size_mismatch", Grpc::InvalidArgument),
            Self::DigestMismatch => ("digest_mismatch", Grpc::InvalidArgument),
            Self::UploadLost => ("upload_lost", Grpc::Aborted),
            Self::SpaceNotFound => ("space_not_found", Grpc::NotFound),
            Self::FileNotFound => ("file_not_found", Grpc::NotFound),
            Self::VersionNotFound => ("version_not_found", Grpc::NotFound),
            Self::FolderNotFound => ("folder_not_found", Grpc::NotFound),
            Self::NotAFolder => ("not_a_folder", Grpc::FailedPrecondition),
            Self::NotAFile => ("not_a_file", Grpc::FailedPrecondition),
            Self::VersionPruned => ("version_pruned", Grpc::NotFound),
            Self::TrashNotFound => ("trash_not_found", Grpc::NotFound),
            Self::UploadNotFound => ("upload_not_found", Grpc::NotFound),
            Self::OffsetWrong => ("offset_wrong", Grpc::OutOfRange),
            Self::ReceiptNotFound => ("receipt_not_found", Grpc::NotFound),
            Self::BlobNotFound => ("blob_not_found", Grpc::NotFound),
            Self::NodeNotFound => ("node_not_found", Grpc::NotFound),
            Self::LastNode => ("last_node", Grpc::FailedPrecondition),
            Self::RangeOutOfRange => ("range_out_of_range", Grpc::OutOfRange),
            Self::RequestIdReused => ("request_id_reused", Grpc::AlreadyExists),
            Self::JournalRestored => ("journal_restored", Grpc::FailedPrecondition),
            Self::SequenceUnknown => ("sequence_unknown", Grpc::FailedPrecondition),
            Self::RetentionNeeded => ("retention_needed", Grpc::FailedPrecondition),
            Self::UndoRange => ("undo_range_invalid", Grpc::InvalidArgument),
            Self::JournalFull => ("journal_full", Grpc::ResourceExhausted),
            Self::TooManyUploads => ("too_many_uploads", Grpc::ResourceExhausted),
            Self::TooManyDownloads => ("too_many_downloads", Grpc::ResourceExhausted),
            Self::NoNodeAvailable => ("no_node_available", Grpc::Unavailable),
            Self::NoCopyAvailable => ("no_copy_available", Grpc::Unavailable),
            Self::JournalUnavailable => ("journal_unavailable", Grpc::Unavailable),
            Self::JournalUnsafe => ("journal_unsafe", Grpc::Unavailable),
            Self::JournalDiverged => ("journal_diverged", Grpc::Unavailable),
            Self::CatalogUnavailable => ("catalog_unavailable", Grpc::Unavailable),
            Self::CatalogBehind => ("catalog_behind", Grpc::Unavailable),
            Self::OutcomePending => ("outcome_pending", Grpc::Unavailable),
            Self::ReplicasTooFew => ("replicas_too_few", Grpc::Unavailable),
            Self::ShuttingDown => ("shutting_down", Grpc::Unavailable),
            Self::ReplicationTimeout => ("replication_timeout", Grpc::DeadlineExceeded),
            Self::UploadIdle => ("upload_idle", Grpc::DeadlineExceeded),
            Self::DownloadIdle => ("download_idle", Grpc::DeadlineExceeded),
            Self::UploadTooLong => ("upload_too_long", Grpc::DeadlineExceeded),
            Self::UploadCut => ("upload_cut", Grpc::Cancelled),
            Self::Internal => ("internal", Grpc::Internal),
        }
    }
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
