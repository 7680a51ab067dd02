//! Plain HTTP to the gateway, as curl and Prometheus speak it.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client that keeps its connection, in one version of HTTP.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    gateway: SocketAddr,
}

/// An answer, whole.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: String,
}

impl Http {
    /// HTTP/1.1.
    pub fn one(gateway: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), gateway }
    }

    /// HTTP/2, known beforehand.
    pub fn two(gateway: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).http2_only(true).build_http(), gateway }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<HttpAnswer> {
        self.send(&Method::GET, path).await
    }

    pub async fn send(&self, method: &Method, path: &str) -> anyhow::Result<HttpAnswer> {
        let uri = format!("http://{}{path}", self.gateway);
        let request = Request::builder().method(method).uri(uri).body(Empty::new())?;
        let answer = self.client.request(request).await.with_context(|| format!("{method} {path}"))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let (status, version, headers) = (head.status, head.version, head.headers);
        Ok(HttpAnswer { status, version, headers, body: String::from_utf8(body.into())? })
    }
}
