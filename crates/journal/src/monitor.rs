//! What nats-server says about itself over HTTP: the only place where an ordinary client can see whether it fsyncs
//! before it acknowledges.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use url::Url;

/// More than any server has to say.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The parts of `/varz` that matter here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Varz {
    pub(crate) server_id: String,
    pub(crate) server_name: String,
    pub(crate) version: String,
    jetstream: JetStream,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct JetStream {
    config: Option<JetStreamConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct JetStreamConfig {
    sync_always: bool,
}

/// Asks one server.
pub(crate) async fn varz(url: &Url, timeout: Duration) -> Result<Varz, String> {
    match tokio::time::timeout(timeout, get(url)).await {
        Ok(answer) => answer,
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn get(url: &Url) -> Result<Varz, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(format!("{}/varz", url.path().trim_end_matches('/')))
        .header(header::HOST, url.authority())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("answered {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| format!("the answer is not that of nats-server: {error}"))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection ends by itself once the answer is complete; the exchange then has all it needs.
        _ = connection => exchange.await,
    }
}

// === impl Varz ===

impl Varz {
    /// Whether the server fsyncs every write before it acknowledges it. Left out of the answer when it does not.
    pub(crate) fn sync_always(&self) -> bool {
        self.jetstream.config.as_ref().is_some_and(|config| config.sync_always)
    }

    /// Whether the server runs JetStream at all.
    pub(crate) fn has_jetstream(&self) -> bool {
        self.jetstream.config.is_some()
    }
}
