//! Bodies: on their way to a node, and on their way back.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::breaker::Kind;
use crate::transport::fault_of_body;
use crate::{Error, Node, NodeFault};

/// A body of at most so many bytes is not watched on its way.
const SHORT: u64 = 64 * 1024;

/// An object's bytes as they come. Not verified: who reads them checks the digest.
#[derive(Debug)]
pub struct Body {
    pub(crate) node: Node,
    pub(crate) key: String,
    pub(crate) inner: SdkBody,
    /// The length announced by the node.
    pub(crate) len: Option<u64>,
    /// Whether a fault in the middle counts for the node's breaker.
    pub(crate) is_counted: bool,
}

/// Bytes in memory that are sent without being joined.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

/// A body that says when its last piece was taken.
#[derive(Debug)]
struct Watched {
    inner: SdkBody,
    taken: Taken,
}

/// When a piece of a body was last taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken(Arc<Mutex<Instant>>);

// === impl Taken ===

impl Taken {
    /// Watches a body of so many bytes. A short one goes out at once, and is left as it is.
    pub(crate) fn watch(body: SdkBody, len: u64) -> (SdkBody, Self) {
        let taken = Self(Arc::new(Mutex::new(Instant::now())));
        if len <= SHORT {
            return (body, taken);
        }
        (SdkBody::from_body_1_x(Watched { inner: body, taken: taken.clone() }), taken)
    }

    pub(crate) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = aws_smithy_types::body::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if frame.is_ready() {
            *this.taken.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.inner)
    }
}

// === impl Body ===

impl Body {
    /// The next piece; `None` at the end. A node that goes silent or away in the middle is an error of the node.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let idle = self.node.config().read_timeout;
        loop {
            let frame = match tokio::time::timeout(idle, self.inner.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(self.fault(fault_of_body(self.node.id(), error.as_ref()))),
                Err(_) => {
                    let reason = format!("went silent in the middle of {}", self.key);
                    return Err(self.fault(Error::node(self.node.id(), NodeFault::Timeout, reason)));
                }
            };
            // Frames that are not data are trailers, which nothing here needs.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The length that the node announced.
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    /// Whether the node announced an empty object.
    pub fn is_empty(&self) -> bool {
        self.len == Some(0)
    }

    /// All of it, joined, when it has at most `max_bytes`.
    pub(crate) async fn collect(mut self, max_bytes: u64) -> Result<Bytes, Error> {
        let mut content = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if content.len() as u64 + piece.len() as u64 > max_bytes {
                let reason = format!("has {} with more than {max_bytes} bytes", self.key);
                return Err(Error::node(self.node.id(), NodeFault::Broken, reason));
            }
            content.extend_from_slice(&piece);
        }
        Ok(content.freeze())
    }

    /// All of it, when it has exactly `expected` bytes; `None` when it has not.
    pub(crate) async fn collect_exactly(mut self, expected: u64) -> Result<Option<Vec<Bytes>>, Error> {
        let mut pieces = Vec::new();
        let mut len = 0;
        while let Some(piece) = self.chunk().await? {
            len += piece.len() as u64;
            if len > expected {
                return Ok(None);
            }
            pieces.push(piece);
        }
        Ok((len == expected).then_some(pieces))
    }

    fn fault(&self, error: Error) -> Error {
        if self.is_counted {
            self.node.breaker().record::<()>(Kind::Read, &Err(error.clone()));
        }
        error
    }
}

// === impl Pieces ===

impl Pieces {
    /// A body of known length; the pieces are shared, not copied, so the same ones can be sent again.
    pub(crate) fn body(pieces: &[Bytes]) -> SdkBody {
        match pieces {
            [] => SdkBody::empty(),
            [one] => SdkBody::from(one.clone()),
            many => {
                let left = many.iter().map(|piece| piece.len() as u64).sum();
                SdkBody::from_body_1_x(Self { pieces: many.iter().cloned().collect(), left })
            }
        }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let piece = this.pieces.pop_front();
        this.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
