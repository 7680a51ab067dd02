//! The accept loop: HTTP/1.1 and HTTP/2 connections with every limit written out, and a shutdown that lets them finish.
//!
//! Not tonic's own server, since that one bounds neither the number of connections nor the time that one may stay open
//! without ever sending a request.

mod config;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use runtime::clock::Ids;
use runtime::shutdown::Shutdown;
use runtime::trace::{self, TRACEPARENT, Trace};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug, info_span, warn};

use crate::config::Config;
use crate::edge;
use crate::plain::Plain;

pub(crate) use config::{Connections, Http1, Http2};

/// How long to wait after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection is served with.
pub(crate) struct Server {
    routes: Routes,
    plain: Plain,
    /// Most bytes in one chunk of an upload.
    chunk_bytes: u64,
    connections: Connections,
    ids: Ids,
    builder: auto::Builder<TokioExecutor>,
}

// === impl Server ===

impl Server {
    /// Serves gRPC by `routes`, and everything else by `plain`.
    pub(crate) fn new(routes: Routes, plain: Plain, config: &Config, ids: Ids) -> Self {
        Self {
            routes: routes.prepare(),
            plain,
            chunk_bytes: config.limits.chunk_bytes,
            connections: config.connections.clone(),
            ids,
            builder: builder(&config.http1, &config.http2),
        }
    }

    /// Serves on `listener` until the shutdown is soft, then lets what runs finish until it is hard.
    pub(crate) async fn serve(self, listener: TcpListener, shutdown: &Shutdown) -> io::Result<()> {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(server.connections.max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.soft_cancelled() => break,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
                accepted = accept(&listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
                    connections.spawn(async move {
                        server.serve_connection(stream, shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // The port is free from here on: a client that comes now finds no one, instead of waiting for an answer.
        drop(listener);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
        Ok(())
    }

    async fn serve_connection(&self, stream: TcpStream, shutdown: Shutdown) {
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            self.answer(request)
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let mut waiting = pin!(tokio::time::sleep(self.connections.first_request_timeout));
        let (mut stopping, mut waited) = (false, false);
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        debug!(error, "a connection ended: {error}");
                    }
                    return;
                }
                () = &mut waiting, if !waited => {
                    waited = true;
                    if !asked.load(Ordering::Relaxed) {
                        debug!("a connection without any request was closed");
                        return;
                    }
                }
                () = shutdown.soft_cancelled(), if !stopping => {
                    stopping = true;
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                }
                () = shutdown.hard_cancelled() => return,
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let trace = self.trace(request.headers());
        let span = info_span!("gateway.request", rpc = request.uri().path(), trace_id = %trace.id());
        let (routes, plain, chunk_bytes) = (self.routes.clone(), self.plain.clone(), self.chunk_bytes);
        let answer = async move {
            if edge::is_grpc(&request) {
                let answer = routes.oneshot(edge::prepare(request, chunk_bytes)).await;
                answer.map(edge::name_undecodable)
            } else {
                let (head, _) = request.into_parts();
                Ok(plain.answer(&head.method, head.uri.path()).await)
            }
        };
        trace::within(Some(trace), answer).instrument(span)
    }

    /// The step that a request is of its caller's trace, or the first one of a new trace, as also when several are named.
    fn trace(&self, headers: &HeaderMap) -> Trace {
        let mut named = headers.get_all(TRACEPARENT).into_iter();
        let callers = match (named.next(), named.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|value| value.parse::<Trace>().ok()),
            _ => None,
        };
        callers.map_or_else(|| Trace::begin(&self.ids), |trace| trace.next(&self.ids))
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// A panic in a request ends its connection, not the gateway.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection died: {error}");
    }
}

/// What a client speaks is told by its first bytes.
fn builder(one: &Http1, two: &Http2) -> auto::Builder<TokioExecutor> {
    let small = |bytes: u64| u32::try_from(bytes).expect("the configuration was checked to fit");
    let size = |bytes: u64| usize::try_from(bytes).expect("the configuration was checked to fit");
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(one.header_timeout)
        .max_buf_size(size(one.max_headers))
        .max_headers(one.max_fields)
        .keep_alive(true)
        .half_close(false)
        .pipeline_flush(false)
        .ignore_invalid_headers(false)
        .auto_date_header(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(small(two.stream_window))
        .initial_connection_window_size(small(two.connection_window))
        .max_frame_size(small(two.max_frame))
        .max_header_list_size(small(two.max_headers))
        .max_concurrent_streams(two.max_streams)
        .max_send_buf_size(size(two.send_buffer))
        .max_pending_accept_reset_streams(two.max_pending_resets)
        .max_local_error_reset_streams(two.max_error_resets)
        .keep_alive_interval(two.keepalive_interval)
        .keep_alive_timeout(two.keepalive_timeout)
        .auto_date_header(true);
    builder
}
