//! The HTTP side of the embedded node.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use runtime::shutdown::Shutdown;
use s3s::HttpError;
use s3s::service::S3Service;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::Progress;

/// How long a client may take to send the headers of a request.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// Does each request to its end, also when its client goes away: what takes several steps would stay half done, and nobody
/// would come for the rest. A body that ends too soon ends its request, too.
#[derive(Debug, Clone)]
struct ToTheEnd {
    service: S3Service,
    requests: TaskTracker,
}

impl Service<Request<Incoming>> for ToTheEnd {
    type Response = Response<s3s::Body>;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.requests.spawn(Service::call(&self.service, request));
        Box::pin(async move { answer.await.unwrap_or_else(|died| Err(HttpError::new(Box::new(died)))) })
    }
}

/// Serves until the soft shutdown, then lets requests in flight end until the hard one.
pub(super) async fn serve(listener: TcpListener, service: S3Service, max_connections: usize, shutdown: &Shutdown) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    let places = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    let service = ToTheEnd { service, requests: TaskTracker::new() };
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
            () = shutdown.soft_cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.soft_cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end free some.
                Progress::stderr().say(format!("cannot accept a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Fails only on a connection that is already gone.
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that went away is its own business.
            let _ = connection.await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tokio::select! {
        () = async {
            graceful.shutdown().await;
            service.requests.close();
            service.requests.wait().await;
        } => {}
        () = shutdown.hard_cancelled() => {}
    }
}
