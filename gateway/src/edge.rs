//! What HTTP and tonic get wrong for us at the edge.

mod slicer;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use self::slicer::Slicer;
use crate::error::{Code, Error};

/// How tonic-prost's sentence about bytes that are not the message begins.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// The body of a request, which ends without an error only if the client ended it.
///
/// Without this a cut upload looks like a whole one: hyper ends the body of a stream that was reset with NO_ERROR, and
/// tonic ends the messages of one that was reset with CANCEL, both as if the client had said that it was done.
struct WholeBody<B> {
    inner: B,
    ended: bool,
}

/// The streams of uploads, and whether their chunks may be cut.
const UPLOADS: [(&str, bool); 3] = [
    ("/highwater.v1.Files/Upload", true),
    ("/highwater.v1.Files/UploadPart", true),
    ("/FileStorage/UploadFile", false),
];

/// How the media type of every gRPC message begins.
const GRPC: &[u8] = b"application/grpc";

/// Whether the request is a gRPC call. Whatever else it is, tonic is not to see it: that takes any request for one.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    let is_typed =
        |value: &HeaderValue| value.as_bytes().get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    request.version() == Version::HTTP_2 && request.headers().get(CONTENT_TYPE).is_some_and(is_typed)
}

/// Makes a gRPC call one that tonic can be given.
pub(crate) fn prepare(request: Request<Incoming>, chunk_bytes: u64) -> Request<tonic::body::Body> {
    let upload = UPLOADS.iter().find(|(path, _)| *path == request.uri().path());
    request.map(|body| {
        let body = WholeBody::new(body);
        match upload {
            Some((_, true)) => tonic::body::Body::new(Slicer::new(body, chunk_bytes)),
            Some((_, false)) => tonic::body::Body::new(Slicer::new(body, 0)),
            None => tonic::body::Body::new(body),
        }
    })
}

/// The cause of a cut request; tonic passes a `Status` on as it is.
pub(crate) fn cut() -> Status {
    // Not CANCELLED, which tonic would take for the end of the stream. The client never sees it.
    Status::aborted("the request was cut")
}

/// Whether `status` is what [`WholeBody`] ended with.
pub(crate) fn is_cut(status: &Status) -> bool {
    status.code() == tonic::Code::Aborted
}

/// Turns tonic's INTERNAL for a request that is not the protobuf message it should be, such as one with a name that is
/// not UTF-8, into the client's mistake that it is.
pub(crate) fn name_undecodable<B: Default>(response: Response<B>) -> Response<B> {
    match undecodable(response.headers()) {
        Some(error) => Status::from(error).into_http(),
        None => response,
    }
}

/// The same for a message inside of a stream.
pub(crate) fn undecodable_message(status: &Status) -> Option<Error> {
    if status.code() != tonic::Code::Internal {
        return None;
    }
    let problem = status.message().strip_prefix(UNDECODABLE)?;
    Some(Error::new(Code::MessageInvalid, format!("the message could not be read: {problem}")))
}

fn undecodable(headers: &HeaderMap) -> Option<Error> {
    // Looked at only where it can be: an answer that carries its status in the header is an error.
    headers.get(Status::GRPC_STATUS).filter(|code| code.as_bytes() == b"13")?;
    undecodable_message(&Status::from_header_map(headers)?)
}

// === impl WholeBody ===

impl<B> WholeBody<B> {
    /// Wraps the body that the connection gave.
    const fn new(inner: B) -> Self {
        Self { inner, ended: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WholeBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let whole = match frame {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(_)) => false,
            None => self.inner.is_end_stream(),
        };
        self.ended = true;
        Poll::Ready(if whole { None } else { Some(Err(cut())) })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use super::*;

    /// A body that plays back what a connection does.
    struct Played {
        frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
        ended_by_client: bool,
    }

    impl Body for Played {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(self.frames.pop_front())
        }

        fn is_end_stream(&self) -> bool {
            self.ended_by_client && self.frames.is_empty()
        }
    }

    async fn play(end: Option<&'static str>, ended_by_client: bool) -> Vec<Result<Bytes, tonic::Code>> {
        let mut frames = VecDeque::from([Ok(Frame::data(Bytes::from_static(b"abc")))]);
        frames.extend(end.map(Err));
        let mut body = WholeBody::new(Played { frames, ended_by_client });
        let mut seen = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            seen.push(frame.map(|frame| frame.into_data().unwrap()).map_err(|status| status.code()));
        }
        seen
    }

    #[tokio::test]
    async fn a_body_that_the_client_ended_ends() {
        assert_eq!(play(None, true).await, [Ok(Bytes::from_static(b"abc"))]);
    }

    #[tokio::test]
    async fn a_body_that_just_stops_is_cut() {
        assert_eq!(play(None, false).await, [Ok(Bytes::from_static(b"abc")), Err(tonic::Code::Aborted)]);
    }

    #[tokio::test]
    async fn a_reset_body_is_cut() {
        assert_eq!(play(Some("reset"), false).await, [Ok(Bytes::from_static(b"abc")), Err(tonic::Code::Aborted)]);
    }

    #[test]
    fn a_grpc_call_is_known_by_its_version_and_media_type() {
        let request = |version: Version, media_type: Option<&'static str>| {
            let fields = media_type.into_iter().map(|media_type| (CONTENT_TYPE, HeaderValue::from_static(media_type)));
            let mut request = Request::builder().version(version).uri("/highwater.v1.Files/Upload").body(()).unwrap();
            request.headers_mut().extend(fields);
            request
        };
        for media_type in ["application/grpc", "application/grpc+proto", "Application/gRPC;charset=utf-8"] {
            assert!(is_grpc(&request(Version::HTTP_2, Some(media_type))), "{media_type}");
            assert!(!is_grpc(&request(Version::HTTP_11, Some(media_type))), "{media_type}");
        }
        for media_type in [None, Some("application/json"), Some("application")] {
            assert!(!is_grpc(&request(Version::HTTP_2, media_type)), "{media_type:?}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_is_the_clients_mistake() {
        let status = Status::internal(format!("{UNDECODABLE}GetFileRequest.path: data is not UTF-8 encoded"));
        let response = name_undecodable(status.into_http::<String>());
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(status.message(), "the message could not be read: GetFileRequest.path: data is not UTF-8 encoded");
    }

    #[test]
    fn other_faults_stay_what_they_are() {
        let response = name_undecodable(Status::internal("no").into_http::<String>());
        assert_eq!(Status::from_header_map(response.headers()).unwrap().code(), tonic::Code::Internal);
    }
}
