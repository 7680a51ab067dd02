//! An HTTP proxy before a node, which breaks what it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, hyper::Error>;
/// An error of the service makes hyper close the connection without an answer.
type Cut = std::io::Error;

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Break {
    /// This status with this code is answered instead.
    Answer(u16, &'static str),
    /// The connection ends before the request is passed on.
    Cut,
    /// The connection ends after the node has done it.
    LoseAnswer,
    /// Nothing is answered.
    Hang,
    /// The first byte of the request's body is another one.
    GarbleRequest,
    /// The first byte of the answer's body is another one.
    GarbleAnswer,
    /// The answer stops in the middle, and the connection stays open.
    Stall,
    /// The connection ends in the middle of the answer.
    CutAnswer,
}

/// A request as rules see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// The path below the bucket, with the query.
    pub(crate) target: String,
    /// The first byte that is asked for.
    pub(crate) from: Option<u64>,
}

type Rule = Box<dyn FnMut(&Seen) -> Option<Break> + Send>;

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

struct State {
    backend: SocketAddr,
    client: Client<HttpConnector, MaybeGarbled>,
    rule: Mutex<Option<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// While false, connections are closed as soon as they come.
    up: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            backend,
            client: Client::builder(TokioExecutor::new()).build_http(),
            rule: Mutex::new(None),
            seen: Mutex::new(Vec::new()),
            up: watch::channel(true).0,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// From now on `rule` decides what goes wrong.
    pub(crate) fn rule(&self, rule: impl FnMut(&Seen) -> Option<Break> + Send + 'static) {
        *self.state.rule.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn heal(&self) {
        *self.state.rule.lock().unwrap() = None;
        self.state.up.send_replace(true);
    }

    /// The node is gone: no connection works.
    pub(crate) fn down(&self) {
        self.state.up.send_replace(false);
    }

    /// The requests since the last call.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }
}

impl Seen {
    pub(crate) fn is(&self, method: &Method, what: &str) -> bool {
        self.method == *method && self.target.contains(what)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let mut up = state.up.subscribe();
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { state.pass(request).await }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                _ = connection => {}
                _ = up.wait_for(|up| !up) => {}
            }
        });
    }
}

impl State {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<BoxBody>, Cut> {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let target = target.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest).to_owned();
        let range = request.headers().get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let from = range.and_then(|range| range.split_once('-')?.0.parse().ok());
        let seen = Seen { method: request.method().clone(), target, from };
        self.seen.lock().unwrap().push(seen.clone());
        let fault = self.rule.lock().unwrap().as_mut().and_then(|rule| rule(&seen));
        match fault {
            Some(Break::Answer(status, code)) => {
                // The whole request is read first, as a server does that has looked at the body.
                let _ = request.into_body().collect().await;
                let text =
                    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>broken</Message></Error>");
                let body = if seen.method == Method::HEAD { Bytes::new() } else { Bytes::from(text) };
                return Ok(Response::builder().status(status).body(full(body)).unwrap());
            }
            Some(Break::Cut) => return Err(Cut::other("cut")),
            Some(Break::Hang) => {
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let garble = matches!(fault, Some(Break::GarbleRequest));
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().unwrap().as_str();
        parts.uri = format!("http://{}{path}", self.backend).parse().unwrap();
        let request = Request::from_parts(parts, MaybeGarbled { inner: body, garble });
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Ok(Response::builder().status(502).body(full(error.to_string().into())).unwrap()),
        };
        match fault {
            Some(Break::LoseAnswer) => {
                let _ = response.into_body().collect().await;
                Err(Cut::other("lost"))
            }
            Some(Break::GarbleAnswer) => Ok(response.map(|inner| MaybeGarbled { inner, garble: true }.boxed_unsync())),
            Some(Break::Stall) => Ok(response.map(|inner| Half { inner, polls: 0, ends: false }.boxed_unsync())),
            Some(Break::CutAnswer) => Ok(response.map(|inner| Half { inner, polls: 0, ends: true }.boxed_unsync())),
            _ => Ok(response.map(http_body_util::BodyExt::boxed_unsync)),
        }
    }
}

fn full(content: Bytes) -> BoxBody {
    Full::new(content).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body whose first byte may be another one.
struct MaybeGarbled {
    inner: Incoming,
    garble: bool,
}

impl http_body::Body for MaybeGarbled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if !self.garble {
            return Poll::Ready(frame);
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|data| {
                    self.garble = self.garble && data.is_empty();
                    let mut data = data.to_vec();
                    if let Some(first) = data.first_mut() {
                        *first ^= 1;
                    }
                    data.into()
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that never goes on after its first piece, or ends there.
struct Half {
    inner: Incoming,
    polls: u32,
    ends: bool,
}

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.polls > 0 {
            self.polls += 1;
            // An end before the announced length makes hyper close the connection: once what came before was sent.
            return match (self.ends, self.polls) {
                (false, _) => Poll::Pending,
                (true, ..3) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                (true, _) => Poll::Ready(None),
            };
        }
        // Half of the first piece, so that something is always missing.
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.polls = 1;
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|data| data.slice(..data.len() / 2)))))
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
