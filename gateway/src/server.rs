//! The accept loop: HTTP/2 connections with every limit written out, and a shutdown that lets them finish.
//!
//! Not tonic's own server, since that one bounds neither the number of connections nor the time that one may stay open
//! without ever sending a request.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use runtime::shutdown::Shutdown;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug, info_span, warn};

use crate::edge;

/// How long to wait after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// HTTP/2: the section `[http2]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    /// Most connections at once; more wait in the system's queue.
    pub(crate) max_connections: usize,
    /// Most requests at once on one connection.
    pub(crate) max_streams: u32,
    /// Bytes that a client may send on one request before the gateway has read them.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) stream_window: u64,
    /// The same for all requests of one connection together.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) connection_window: u64,
    /// Largest frame that a client may send.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_frame: u64,
    /// Largest request header, all fields together.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_headers: u64,
    /// Bytes of one answer that wait for the client to read them.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) send_buffer: u64,
    /// Requests that a client has reset before they were accepted, above which the connection is closed.
    pub(crate) max_pending_resets: usize,
    /// Requests reset for the client's own mistakes, above which the connection is closed.
    pub(crate) max_error_resets: usize,
    /// How often a connection is asked whether the client is still there.
    #[serde(with = "runtime::config::duration")]
    pub(crate) keepalive_interval: Duration,
    /// How long it may take to answer that.
    #[serde(with = "runtime::config::duration")]
    pub(crate) keepalive_timeout: Duration,
    /// How long a new connection may take until its first request has arrived.
    #[serde(with = "runtime::config::duration")]
    pub(crate) first_request_timeout: Duration,
}

/// Serves `routes`, with uploads in chunks of at most `chunk_bytes`, on `listener` until the shutdown is soft, then
/// lets what runs finish until it is hard.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    chunk_bytes: u64,
    config: &Config,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let routes = routes.prepare();
    let places = Arc::new(Semaphore::new(config.max_connections));
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
                let connection =
                    serve_connection(stream, routes.clone(), chunk_bytes, config.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
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

fn builder(config: &Config) -> auto::Builder<TokioExecutor> {
    let small = |bytes: u64| u32::try_from(bytes).expect("the configuration was checked to fit");
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(small(config.stream_window))
        .initial_connection_window_size(small(config.connection_window))
        .max_frame_size(small(config.max_frame))
        .max_header_list_size(small(config.max_headers))
        .max_concurrent_streams(config.max_streams)
        .max_send_buf_size(usize::try_from(config.send_buffer).expect("the configuration was checked to fit"))
        .max_pending_accept_reset_streams(config.max_pending_resets)
        .max_local_error_reset_streams(config.max_error_resets)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .auto_date_header(true);
    builder
}

async fn serve_connection(stream: TcpStream, routes: Routes, chunk_bytes: u64, config: Config, shutdown: Shutdown) {
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let asked = Arc::clone(&asked);
        move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let span = info_span!("gateway.request", rpc = request.uri().path());
            let answer = routes.clone().oneshot(edge::prepare(request, chunk_bytes));
            async move { answer.await.map(edge::name_undecodable) as Result<_, Infallible> }.instrument(span)
        }
    });
    let builder = builder(&config);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut waiting = pin!(tokio::time::sleep(config.first_request_timeout));
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
