//! Plain HTTP beside gRPC, for those who watch over the gateway: whether it lives, whether it is ready, and what it knows.

mod figures;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use runtime::config::{Fault, Validate};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;

use crate::error::Error;
use crate::files::Files;
use crate::watch::Readiness;

const PAGES: [(&str, Asked); 3] = [("/livez", Asked::Live), ("/readyz", Asked::Ready), ("/metrics", Asked::Metrics)];

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// The text format of Prometheus.
const METRICS: HeaderValue = HeaderValue::from_static(prometheus::TEXT_FORMAT);

/// Bounds of scrapes: the section `[metrics]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metrics {
    /// Most at once.
    pub(crate) max_scrapes: usize,
    /// How long one waits for its turn, and then how long journal and catalog may take to answer.
    #[serde(with = "runtime::config::duration")]
    pub(crate) timeout: Duration,
}

/// Answers what is no gRPC call. Clones share everything.
#[derive(Clone)]
pub(crate) struct Plain(Arc<Inner>);

struct Inner {
    files: Files,
    readiness: Readiness,
    scrapes: Semaphore,
    timeout: Duration,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Live,
    Ready,
    Metrics,
    /// One of them, but not to read it.
    Otherwise,
    /// What is not here.
    Elsewhere,
}

// === impl Plain ===

impl Plain {
    /// Answers for `files`, which is as ready as `readiness` says.
    pub(crate) fn new(files: Files, readiness: Readiness, config: &Metrics) -> Self {
        let scrapes = Semaphore::new(config.max_scrapes);
        Self(Arc::new(Inner { files, readiness, scrapes, timeout: config.timeout }))
    }

    /// The answer to a request. What its body says is of no interest.
    pub(crate) async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        let answer = match asked(method, path) {
            Asked::Live => text(StatusCode::OK, "ok"),
            Asked::Ready => match self.0.readiness.lacks() {
                None => text(StatusCode::OK, "ok"),
                Some(lack) => text(StatusCode::SERVICE_UNAVAILABLE, &lack),
            },
            Asked::Metrics => self.metrics().await,
            Asked::Otherwise => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                answer
            }
            Asked::Elsewhere => {
                let problem = "nothing is here but /livez, /readyz and /metrics; everything else is answered by gRPC";
                text(StatusCode::NOT_FOUND, problem)
            }
        };
        // HTTP/1.1 leaves the body out by itself, HTTP/2 does not.
        answer.map(|body| if method == Method::HEAD { Body::empty() } else { Body::new(body) })
    }

    /// Everything is asked for anew: no figure is older than the scrape, and none is kept by this process.
    async fn metrics(&self) -> Response<Full<Bytes>> {
        let Inner { files, readiness, scrapes, timeout: patience } = &*self.0;
        let Ok(place) = timeout(*patience, scrapes.acquire()).await else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "as many scrapes as may run at once are running; try again later",
            );
        };
        let _place = place.expect("the semaphore is never closed");
        let status = files.status(*patience).await;
        if let Err(error) = &status.catalog {
            error.log();
        }
        let seen = figures::Seen {
            is_ready: readiness.lacks().is_none(),
            uploads: files.uploads(),
            downloads: files.downloads(),
            now: files.clock().now(),
        };
        match figures::page(&status, &seen) {
            Ok(page) => typed(StatusCode::OK, METRICS, page),
            Err(error) => {
                let error = Error::internal(error);
                error.log();
                text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
            }
        }
    }
}

fn asked(method: &Method, path: &str) -> Asked {
    match PAGES.iter().find(|(known, _)| *known == path) {
        None => Asked::Elsewhere,
        Some((_, page)) if method == Method::GET || method == Method::HEAD => *page,
        Some(_) => Asked::Otherwise,
    }
}

/// A sentence.
fn text(status: StatusCode, sentence: &str) -> Response<Full<Bytes>> {
    typed(status, TEXT, format!("{sentence}\n"))
}

fn typed(status: StatusCode, media_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().extend([
        (CONTENT_TYPE, media_type),
        (CONTENT_LENGTH, length),
        // It is true now, and no proxy may say it later.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    answer
}

// === impl Metrics ===

impl Validate for Metrics {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.max_scrapes == 0 {
            faults.push(Fault::new("max_scrapes", "must be at least 1"));
        }
        if self.timeout.is_zero() {
            faults.push(Fault::new("timeout", "must be longer than zero"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pages_are_here() {
        for (path, page) in PAGES {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(asked(&method, path), page);
            }
            for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
                assert_eq!(asked(&method, path), Asked::Otherwise, "{method} {path}");
            }
        }
        for path in ["/", "/livez/", "/metrics/x", "/highwater.v1.Files/Upload", "*", ""] {
            assert_eq!(asked(&Method::GET, path), Asked::Elsewhere, "{path:?}");
        }
    }

    #[test]
    fn an_answer_says_what_it_is() {
        let answer = text(StatusCode::OK, "ok");
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(answer.headers()[CONTENT_LENGTH], "3");
        assert_eq!(METRICS, "text/plain; version=0.0.4");
    }
}
