//! The closed list of what a request can end with.

use std::time::Duration;

/// Makes [`Code`] and what is known of each: none can lack its word or its gRPC code, nor be missing from [`Code::ALL`].
macro_rules! codes {
    ($($(#[$about:meta])* $code:ident => $reason:literal, $grpc:ident;)+) => {
        /// Why a request failed. Clients may rely on [`Code::reason`]; each has one gRPC code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $($(#[$about])* $code,)+
        }

        impl Code {
            /// Every code.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$code),+];

            /// The stable word: `reason` of the google.rpc.ErrorInfo.
            pub(crate) const fn reason(self) -> &'static str {
                match self {
                    $(Self::$code => $reason,)+
                }
            }

            /// The gRPC code.
            pub(crate) const fn grpc(self) -> tonic::Code {
                match self {
                    $(Self::$code => tonic::Code::$grpc,)+
                }
            }
        }
    };
}

codes! {
    /// A message is not the protobuf message that the call takes.
    MessageInvalid => "message_invalid", InvalidArgument;
    /// A path, or a file name, does not have its form.
    PathInvalid => "path_invalid", InvalidArgument;
    /// A space name does not have its form.
    SpaceInvalid => "space_invalid", InvalidArgument;
    /// A declared SHA-256 is not 32 bytes.
    DigestInvalid => "digest_invalid", InvalidArgument;
    /// A media type is too long or has characters that no media type has.
    ContentTypeInvalid => "content_type_invalid", InvalidArgument;
    /// A time lies outside of the years 1 to 9999.
    TimeInvalid => "time_invalid", InvalidArgument;
    /// A request id does not have its form.
    RequestIdInvalid => "request_id_invalid", InvalidArgument;
    /// An actor does not have its form.
    ActorInvalid => "actor_invalid", InvalidArgument;
    /// A version or event id is not a UUID.
    IdInvalid => "id_invalid", InvalidArgument;
    /// An answer to a conflict that this gateway does not know.
    OnConflictInvalid => "on_conflict_invalid", InvalidArgument;
    /// A sequence does not have its form.
    SequenceInvalid => "sequence_invalid", InvalidArgument;
    /// A page size over the limit.
    PageSizeInvalid => "page_size_invalid", InvalidArgument;
    /// A page token that this call did not give out.
    PageTokenInvalid => "page_token_invalid", InvalidArgument;
    /// A retention that keeps nothing, or for too long.
    RetentionInvalid => "retention_invalid", InvalidArgument;
    /// More copies asked for than there are nodes.
    ReplicasInvalid => "replicas_invalid", InvalidArgument;
    /// A weight or a zone that cannot be one.
    PlacementInvalid => "placement_invalid", InvalidArgument;
    /// An upload without its first message, or without a file name.
    MetadataMissing => "metadata_missing", InvalidArgument;
    /// An upload that states its metadata again.
    MetadataTwice => "metadata_twice", InvalidArgument;
    /// A chunk over `limits.chunk_bytes`.
    ChunkTooLarge => "chunk_too_large", InvalidArgument;
    /// More bytes than `limits.max_file_bytes`.
    FileTooLarge => "file_too_large", InvalidArgument;
    /// The stream has not as many bytes as declared.
    SizeMismatch => "size_mismatch", InvalidArgument;
    /// The stream has not the declared SHA-256.
    DigestMismatch => "digest_mismatch", InvalidArgument;
    /// A part that begins elsewhere than where its upload goes on.
    OffsetWrong => "offset_wrong", OutOfRange;
    /// What an upload has sent so far is lost; it must be started again.
    UploadLost => "upload_lost", Aborted;
    /// The space does not exist.
    SpaceNotFound => "space_not_found", NotFound;
    /// No file is at the path.
    FileNotFound => "file_not_found", NotFound;
    /// The file has no such version.
    VersionNotFound => "version_not_found", NotFound;
    /// No folder is at the path.
    FolderNotFound => "folder_not_found", NotFound;
    /// What is at the path is a file.
    NotAFolder => "not_a_folder", FailedPrecondition;
    /// What is at the path is a folder.
    NotAFile => "not_a_file", FailedPrecondition;
    /// The version's content was given up.
    VersionPruned => "version_pruned", NotFound;
    /// Nothing in the trash has the id.
    TrashNotFound => "trash_not_found", NotFound;
    /// No upload session has the id: it was finished, aborted, or has expired.
    UploadNotFound => "upload_not_found", NotFound;
    /// The catalog knows no such event.
    ReceiptNotFound => "receipt_not_found", NotFound;
    /// No event has brought such a blob.
    BlobNotFound => "blob_not_found", NotFound;
    /// No node of the cluster has the name.
    NodeNotFound => "node_not_found", NotFound;
    /// The cluster would be without a node.
    LastNode => "last_node", FailedPrecondition;
    /// A range that begins after the end.
    RangeOutOfRange => "range_out_of_range", OutOfRange;
    /// The request id was used before, for another request.
    RequestIdReused => "request_id_reused", AlreadyExists;
    /// A sequence of another life of the journal.
    JournalRestored => "journal_restored", FailedPrecondition;
    /// A sequence that was never given out.
    SequenceUnknown => "sequence_unknown", FailedPrecondition;
    /// Nothing says how long old content is kept.
    RetentionNeeded => "retention_needed", FailedPrecondition;
    /// The range of an undo is the wrong way round, or too long.
    UndoRange => "undo_range_invalid", InvalidArgument;
    /// The journal keeps its last room for the system's own events.
    JournalFull => "journal_full", ResourceExhausted;
    /// As many uploads as allowed are running.
    TooManyUploads => "too_many_uploads", ResourceExhausted;
    /// As many downloads as allowed are running.
    TooManyDownloads => "too_many_downloads", ResourceExhausted;
    /// No node could take the bytes.
    NoNodeAvailable => "no_node_available", Unavailable;
    /// No node that holds the bytes could give them.
    NoCopyAvailable => "no_copy_available", Unavailable;
    /// A node that must be asked does not answer.
    NodeUnavailable => "node_unavailable", Unavailable;
    /// The journal cannot be reached.
    JournalUnavailable => "journal_unavailable", Unavailable;
    /// The journal could lose what is written to it.
    JournalUnsafe => "journal_unsafe", Unavailable;
    /// The journal is not the one that the catalog was folded from.
    JournalDiverged => "journal_diverged", Unavailable;
    /// The catalog cannot be reached, or is being built.
    CatalogUnavailable => "catalog_unavailable", Unavailable;
    /// The catalog has not reached the sequence that was asked for.
    CatalogBehind => "catalog_behind", Unavailable;
    /// The change is in the journal, and the catalog has not decided it yet.
    OutcomePending => "outcome_pending", Unavailable;
    /// Fewer nodes than asked for hold the bytes yet.
    ReplicasTooFew => "replicas_too_few", Unavailable;
    /// The gateway is stopping.
    ShuttingDown => "shutting_down", Unavailable;
    /// Too few nodes held the bytes within the time that was given.
    ReplicationTimeout => "replication_timeout", DeadlineExceeded;
    /// The client sent nothing for too long.
    UploadIdle => "upload_idle", DeadlineExceeded;
    /// The client took nothing for too long.
    DownloadIdle => "download_idle", DeadlineExceeded;
    /// The upload as a whole takes too long.
    UploadTooLong => "upload_too_long", DeadlineExceeded;
    /// The client cancelled, or the connection broke.
    UploadCut => "upload_cut", Cancelled;
    /// A fault of the gateway.
    Internal => "internal", Internal;
}

impl Code {
    /// After what time a client should try again, when trying again can help.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self.grpc() {
            tonic::Code::Unavailable => Some(Duration::from_secs(1)),
            tonic::Code::ResourceExhausted => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}
