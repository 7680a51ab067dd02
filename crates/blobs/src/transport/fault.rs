//! Which of our words a failure is.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use proto::NodeId;
use runtime::config::duration;

use crate::transport::Response;
use crate::{Error, NodeFault};

/// Codes that say that the bytes are not those of the checksum.
const WRONG_BYTES: [&str; 4] =
    ["BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest"];
/// Codes that say that the disk is full, whatever the status.
const FULL: [&str; 4] =
    ["XMinioStorageFull", "XMinioObjectExistsAsDirectoryStorageFull", "InsufficientStorage", "QuotaExceeded"];
/// Codes that are about the connection, though the status blames the request.
const CUT: [&str; 2] = ["IncompleteBody", "RequestTimeout"];

const LONGEST_MESSAGE: usize = 300;

/// No answer within `limit`.
pub(crate) fn late(node: &NodeId, limit: Duration) -> Error {
    Error::node(node, NodeFault::Timeout, format!("did not answer within {}", duration::format_rounded(limit)))
}

/// No answer at all.
pub(crate) fn connector(node: &NodeId, error: &ConnectorError) -> Error {
    if error.is_timeout() {
        return Error::node(node, NodeFault::Timeout, "did not answer in time");
    }
    // The body that was to be sent ended early: no fault of this node, and the sender knows more.
    if error.is_user() {
        return Error::Setup { node: node.clone(), reason: format!("the request broke off: {}", root(error)) };
    }
    Error::node(node, NodeFault::Unreachable, format!("cannot be reached: {}", root(error)))
}

/// An answer that broke off.
pub(crate) fn body(node: &NodeId, error: &(dyn StdError + 'static)) -> Error {
    Error::node(node, NodeFault::Unreachable, format!("broke off its answer: {}", root(error)))
}

/// An answer that is an error document, or none (the answer to a HEAD has no body).
pub(crate) fn document(node: &NodeId, key: &str, status: u16, text: &str) -> Error {
    answer(node, key, status, element(text, "Code"), element(text, "Message"))
}

/// An answer with an error status.
pub(crate) fn answer(node: &NodeId, key: &str, status: u16, code: Option<&str>, message: Option<&str>) -> Error {
    let code = code.unwrap_or_default();
    let said = said(status, code, message.unwrap_or_default());
    let of_node = |fault, reason: String| Error::node(node, fault, reason);
    if status == 507 || FULL.contains(&code) {
        return of_node(NodeFault::Full, format!("is full: {said}"));
    }
    if WRONG_BYTES.contains(&code) {
        return Error::Checksum { node: node.clone(), key: key.to_owned() };
    }
    if CUT.contains(&code) {
        return of_node(NodeFault::Unreachable, format!("lost the connection: {said}"));
    }
    match status {
        404 if code == "NoSuchBucket" => of_node(NodeFault::Denied, format!("has no bucket: {said}")),
        404 => Error::NotFound { node: node.clone(), key: key.to_owned() },
        401 | 403 => of_node(NodeFault::Denied, format!("denies access: {said}")),
        408 | 429 => of_node(NodeFault::Timeout, format!("cannot keep up: {said}")),
        400..=499 | 501 => Error::Refused { node: node.clone(), key: key.to_owned(), status, reason: said },
        _ => of_node(NodeFault::Broken, format!("answers with an error: {said}")),
    }
}

/// A failed call of the SDK.
pub(crate) fn sdk<E>(node: &NodeId, key: &str, error: &SdkError<E, Response>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            answer(node, key, status, service.err().code(), service.err().message())
        }
        SdkError::TimeoutError(_) => Error::node(node, NodeFault::Timeout, "did not answer in time"),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) => connector(node, error),
            None => Error::node(node, NodeFault::Unreachable, "cannot be reached"),
        },
        SdkError::ResponseError(response) if !response.raw().status().is_success() => {
            answer(node, key, response.raw().status().as_u16(), None, None)
        }
        other => Error::node(node, NodeFault::Broken, format!("gives an answer that is not S3: {}", root(other))),
    }
}

fn said(status: u16, code: &str, message: &str) -> String {
    let text = match (code.is_empty(), message.is_empty()) {
        (true, true) => format!("status {status}"),
        (false, true) => format!("{status} {code}"),
        (_, false) => format!("{status} {code}: {message}"),
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The text of the first `<name>` element. An error document is a flat list of elements, and a misread one costs no more
/// than a vague message.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(value, _)| value)
}

/// The innermost error, which says what happened; the ones around it say where.
pub(crate) fn root(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use runtime::retry::Transient as _;

    use super::*;

    fn of(status: u16, code: &str) -> Error {
        let node = "node-a".parse().unwrap();
        document(&node, "blobs/00/x", status, &format!("<Error><Code>{code}</Code><Message>words</Message></Error>"))
    }

    #[test]
    fn each_answer_is_a_fault_of_the_node_or_of_the_request() {
        let fault = |status, code| of(status, code).faulty_node().map(|(_, fault)| fault);
        assert_eq!(fault(507, ""), Some(NodeFault::Full));
        assert_eq!(fault(500, "XMinioStorageFull"), Some(NodeFault::Full));
        assert_eq!(fault(503, "SlowDown"), Some(NodeFault::Broken));
        assert_eq!(fault(404, "NoSuchBucket"), Some(NodeFault::Denied));
        assert_eq!(fault(403, "InvalidAccessKeyId"), Some(NodeFault::Denied));
        assert_eq!(fault(400, "IncompleteBody"), Some(NodeFault::Unreachable));
        assert_eq!(fault(429, ""), Some(NodeFault::Timeout));
        assert_eq!(fault(404, "NoSuchKey"), None);
        assert!(matches!(of(404, "NoSuchKey"), Error::NotFound { .. }));
        assert!(matches!(of(400, "BadDigest"), Error::Checksum { .. }));
        assert!(matches!(of(400, "KeyTooLongError"), Error::Refused { status: 400, .. }));
        assert!(of(501, "NotImplemented").is_unsupported());
        assert!(!of(400, "KeyTooLongError").is_transient());
        assert!(of(500, "InternalError").is_transient());
    }

    #[test]
    fn the_message_is_one_short_line() {
        let node = "node-a".parse().unwrap();
        let text = format!("<Error><Code>X</Code><Message>a\n{}</Message></Error>", "b".repeat(5000));
        let message = document(&node, "k", 500, &text).to_string();
        assert!(message.len() < 400 && !message.contains('\n'), "{message}");
    }
}
