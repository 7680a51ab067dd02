//! A body that comes from one node and goes to another.

use std::future::Future as _;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use proto::Sha256Digest;
use tokio::time::{Instant, Sleep};

use crate::body::Body;
use crate::breaker::Kind;
use crate::sha256::Sha256;
use crate::transport::fault_of_body;
use crate::verify::Unfit;
use crate::{Error, Node, NodeFault};

/// What is relayed.
#[derive(Debug, Clone)]
pub(super) struct Content<'a> {
    pub(super) key: &'a str,
    /// `None` for the whole object.
    pub(super) range: Option<Range<u64>>,
    pub(super) len: u64,
    pub(super) digest: Sha256Digest,
}

/// Which side broke.
#[derive(Debug)]
pub(super) enum Broken {
    Source(Unfit),
    Target(Error),
}

/// The source's body as the target's request sees it.
struct Relayed {
    source: SdkBody,
    node: Node,
    left: u64,
    /// Present when the target does not verify: then the last piece is passed on only after the digest was right, so that
    /// the target never gets all of a wrong body.
    hash: Option<(Sha256, Sha256Digest)>,
    /// Until the source counts as silent.
    idle: Pin<Box<Sleep>>,
    idle_timeout: Duration,
    /// What was wrong with the source; the target's request only says that its body broke off.
    fault: Arc<Mutex<Option<Unfit>>>,
}

/// Looks at how a relay went after the target has answered.
#[derive(Debug)]
pub(super) struct Watch(Arc<Mutex<Option<Unfit>>>);

/// Begins to read `content` from `source`: its body, for the target's request. With `hash` it is verified on the way,
/// else the target has to do it.
pub(super) async fn open(source: &Node, content: &Content<'_>, hash: bool) -> Result<(SdkBody, Watch), Unfit> {
    let body = source.get_range(content.key, content.range.clone()).await?;
    if let Some(len) = body.len()
        && len != content.len
    {
        return Err(Unfit::Wrong(format!("has {len} bytes where it should have {}", content.len)));
    }
    let fault = Arc::new(Mutex::new(None));
    let watch = Watch(Arc::clone(&fault));
    if content.len == 0 {
        return Ok((SdkBody::empty(), watch));
    }
    let hash = hash.then(|| (Sha256::new(), content.digest));
    Ok((SdkBody::from_body_1_x(Relayed::new(body, content.len, hash, fault)), watch))
}

// === impl Watch ===

impl Watch {
    /// Which side broke, if the request failed: the target only knows that its body broke off.
    pub(super) fn judge<T>(self, sent: Result<T, Error>) -> Result<T, Broken> {
        let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (sent, fault) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(unfit)) => Err(Broken::Source(unfit)),
            (Err(Error::Checksum { .. }), None) => Err(Broken::Source(Unfit::Wrong("has wrong bytes".to_owned()))),
            (Err(error), None) => Err(Broken::Target(error)),
        }
    }
}

// === impl Relayed ===

impl Relayed {
    fn new(body: Body, len: u64, hash: Option<(Sha256, Sha256Digest)>, fault: Arc<Mutex<Option<Unfit>>>) -> Self {
        let idle_timeout = body.node.config().read_timeout;
        let idle = Box::pin(tokio::time::sleep(idle_timeout));
        Self { source: body.inner, node: body.node, left: len, hash, idle, idle_timeout, fault }
    }

    /// Breaks the request off.
    fn fail(&mut self, unfit: Unfit) -> io::Error {
        if let Unfit::Down(error) = &unfit {
            self.node.breaker().record::<()>(Kind::Read, &Err(error.clone()));
        }
        let error = io::Error::other(format!("node {} {}", self.node.id(), unfit.reason()));
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(unfit);
        error
    }

    fn take(&mut self, data: &Bytes) -> Result<(), Unfit> {
        let len = data.len() as u64;
        if len > self.left {
            return Err(Unfit::Wrong("gives more bytes than it announced".to_owned()));
        }
        self.left -= len;
        if let Some((hash, _)) = &mut self.hash {
            hash.update(data);
        }
        if self.left == 0
            && let Some((hash, digest)) = self.hash.take()
            && hash.finish() != digest
        {
            return Err(Unfit::Wrong("has wrong bytes".to_owned()));
        }
        Ok(())
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.source).poll_frame(cx) else {
                ready!(this.idle.as_mut().poll(cx));
                let error = Error::node(this.node.id(), NodeFault::Timeout, "went silent in the middle of a copy");
                return Poll::Ready(Some(Err(this.fail(Unfit::Down(error)))));
            };
            let outcome = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.take(&data).map(|()| data),
                    Err(_) => continue,
                },
                Some(Err(error)) => Err(Unfit::Down(fault_of_body(this.node.id(), error.as_ref()))),
                None => {
                    let reason = "broke off its answer too early";
                    Err(Unfit::Down(Error::node(this.node.id(), NodeFault::Unreachable, reason)))
                }
            };
            this.idle.as_mut().reset(Instant::now() + this.idle_timeout);
            return Poll::Ready(Some(match outcome {
                Ok(data) => Ok(Frame::data(data)),
                Err(unfit) => Err(this.fail(unfit)),
            }));
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
