//! How commands fail, and with which code the program ends.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;

use runtime::retry::Transient;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The exit codes, rclone's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All went well.
    Done = 0,
    /// Not otherwise categorised.
    Other = 1,
    /// Wrong usage.
    Usage = 2,
    /// A folder or space is not there.
    FolderNotFound = 3,
    /// A file is not there.
    FileNotFound = 4,
    /// Trying again may help.
    Temporary = 5,
    /// Trying again will not help.
    Fatal = 7,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// What a call looks for; decides the exit code when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// A folder or the space.
    Folder,
    /// A file, or what may be one.
    File,
    /// Something else, such as the event of a receipt.
    Other,
}

/// Why a command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// The gRPC code's name; local failures use the nearest one.
    pub(crate) code: &'static str,
    /// A stable word; empty when there is none.
    pub(crate) reason: String,
    /// One sentence.
    pub(crate) message: String,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure that this program found itself.
    pub(crate) fn new(exit: Exit, code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code_name(code), reason: reason.to_owned(), message: message.into() }
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Code::InvalidArgument, "usage", message)
    }

    /// The operating system refused; `doing` says what, as in `cannot write a.txt`.
    pub(crate) fn local(doing: &str, error: &io::Error) -> Self {
        let (exit, code) = match error.kind() {
            io::ErrorKind::NotFound => (Exit::FileNotFound, Code::NotFound),
            io::ErrorKind::PermissionDenied => (Exit::Other, Code::PermissionDenied),
            io::ErrorKind::AlreadyExists => (Exit::Other, Code::AlreadyExists),
            _ => (Exit::Other, Code::Unknown),
        };
        Self::new(exit, code, "local_file", format!("{doing}: {error}"))
    }

    /// Who read our stdout has gone, as `head` does: no error, and nobody to tell.
    pub(crate) fn stdout_closed() -> Self {
        Self::new(Exit::Done, Code::Ok, "stdout_closed", "stdout was closed")
    }

    /// The answer is not as the API says.
    pub(crate) fn bad_answer(message: impl Into<String>) -> Self {
        Self::new(Exit::Fatal, Code::Internal, "bad_answer", message)
    }

    /// The gateway answered with an error, or the connection to it broke.
    pub(crate) fn from_status(status: &Status, sought: Sought) -> Self {
        // Only what tonic made on this side has a source: the gateway's own answers are read from headers.
        if let Some(cause) = status.source() {
            return Self::connection_lost(format!("lost the connection to the gateway: {}", root(cause)));
        }
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let message = match status.message() {
            "" => format!("the gateway answered {} and no message", code_name(status.code())),
            message => message.to_owned(),
        };
        let exit = exit_of(status.code(), &reason, sought);
        Self { exit, code: code_name(status.code()), reason, message }
    }

    /// What was under way broke off.
    pub(crate) fn connection_lost(message: impl Into<String>) -> Self {
        Self::new(Exit::Temporary, Code::Unavailable, "connection_lost", message)
    }

    /// The gateway at `addr` could not be reached at all.
    pub(crate) fn unreachable(addr: &str, error: &tonic::transport::Error) -> Self {
        let cause = root(error);
        let refused =
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refused {
            let message = format!(
                "nothing listens at {addr}: start Highwater with `make up`, or name its gateway with --addr or \
                 HIGHWATER_ADDR"
            );
            return Self::new(Exit::Temporary, Code::Unavailable, "connection_refused", message);
        }
        let message = format!("cannot reach the gateway at {addr}: {cause}");
        Self::new(Exit::Temporary, Code::Unavailable, "unreachable", message)
    }
}

impl Transient for Failure {
    fn is_transient(&self) -> bool {
        self.code == code_name(Code::Unavailable)
    }
}

/// The code's name as gRPC spells it.
pub(crate) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn exit_of(code: Code, reason: &str, sought: Sought) -> Exit {
    match code {
        Code::NotFound => match (reason, sought) {
            ("space_not_found" | "folder_not_found", _) => Exit::FolderNotFound,
            ("file_not_found" | "version_not_found", _) | (_, Sought::File) => Exit::FileNotFound,
            (_, Sought::Folder) => Exit::FolderNotFound,
            (_, Sought::Other) => Exit::Other,
        },
        // Content that is too large, or changed while it was sent, is no fault of the command line.
        Code::InvalidArgument if reason.ends_with("_mismatch") || reason.ends_with("_too_large") => Exit::Other,
        Code::InvalidArgument => Exit::Usage,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => Exit::Temporary,
        Code::DataLoss | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => Exit::Fatal,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal => Exit::Other,
    }
}

fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn answered(code: Code, reason: &str, sought: Sought) -> Failure {
        let details = ErrorDetails::with_error_info(reason, "highwater", []);
        Failure::from_status(&Status::with_error_details(code, "no.", details), sought)
    }

    #[test]
    fn codes_and_reasons_decide_the_exit_code() {
        let cases = [
            (Code::NotFound, "file_not_found", Sought::File, Exit::FileNotFound),
            (Code::NotFound, "", Sought::File, Exit::FileNotFound),
            (Code::NotFound, "space_not_found", Sought::File, Exit::FolderNotFound),
            (Code::NotFound, "", Sought::Folder, Exit::FolderNotFound),
            (Code::NotFound, "file_not_found", Sought::Folder, Exit::FileNotFound),
            (Code::NotFound, "event_not_found", Sought::Other, Exit::Other),
            (Code::FailedPrecondition, "journal_restored", Sought::Folder, Exit::Other),
            (Code::InvalidArgument, "path_invalid", Sought::File, Exit::Usage),
            (Code::InvalidArgument, "digest_mismatch", Sought::File, Exit::Other),
            (Code::InvalidArgument, "file_too_large", Sought::File, Exit::Other),
            (Code::Unavailable, "", Sought::File, Exit::Temporary),
            (Code::DeadlineExceeded, "", Sought::File, Exit::Temporary),
            (Code::ResourceExhausted, "journal_full", Sought::File, Exit::Temporary),
            (Code::AlreadyExists, "request_id_reused", Sought::File, Exit::Other),
            (Code::OutOfRange, "", Sought::File, Exit::Other),
            (Code::DataLoss, "", Sought::File, Exit::Fatal),
            (Code::Unimplemented, "", Sought::File, Exit::Fatal),
        ];
        for (code, reason, sought, exit) in cases {
            let failure = answered(code, reason, sought);
            assert_eq!(failure.exit, exit, "{code:?} {reason} {sought:?}");
            assert_eq!((failure.code, failure.reason.as_str()), (code_name(code), reason));
        }
    }

    #[test]
    fn only_unavailable_is_tried_again() {
        assert!(answered(Code::Unavailable, "nats_down", Sought::File).is_transient());
        assert!(!answered(Code::ResourceExhausted, "journal_full", Sought::File).is_transient());
        assert!(!answered(Code::DeadlineExceeded, "", Sought::File).is_transient());
        let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        let failure = Failure::from_status(&broken, Sought::File);
        assert!(failure.is_transient());
        assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Temporary, "connection_lost"));
    }

    #[test]
    fn an_empty_message_still_makes_a_sentence() {
        let failure = Failure::from_status(&Status::new(Code::Internal, ""), Sought::File);
        assert_eq!(failure.message, "the gateway answered INTERNAL and no message");
    }
}
