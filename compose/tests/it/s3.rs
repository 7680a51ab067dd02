//! A signed S3 request, and nothing else.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use compose::NodeEntry;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use runtime::clock::Clock;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Sends one request to `path` (with its query) of the node and returns the whole answer.
pub(crate) async fn send(
    node: &NodeEntry,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> anyhow::Result<Response<Bytes>> {
    let body = body.into();
    let uri = format!("{}{path}", node.endpoint);
    let host = node.endpoint.trim_start_matches("http://").to_owned();
    let identity = Credentials::new(&node.access_key, node.secret_key()?, None, None, "test").into();
    let seconds = u64::try_from(Clock::system().now().unix_timestamp()).context("read the clock")?;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&node.region)
        .name("s3")
        .time(UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(SigningSettings::default())
        .build()?;
    let mut all: Vec<(&str, &str)> = vec![("host", &host), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    all.extend_from_slice(headers);
    let signable = SignableRequest::new(method, &uri, all.iter().copied(), SignableBody::UnsignedPayload)?;
    let (instructions, _) = sign(signable, &params.into())?.into_parts();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in all {
        request = request.header(name, value);
    }
    let mut request = request.body(Full::new(body))?;
    instructions.apply_to_request_http1x(&mut request);
    *request.uri_mut() = path.parse()?;

    let stream = TcpStream::connect(&host).await.with_context(|| format!("connect to {host}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

/// The text between the first `<name>` and its end.
pub(crate) fn element<'a>(xml: &'a Bytes, name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(xml).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
