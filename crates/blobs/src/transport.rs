//! Requests to one node: signed, timed, and with every failure put into one of our words.
//!
//! What carries bytes (PUT, GET, HEAD, DELETE of objects and parts) is signed here and sent straight to the HTTP client:
//! the SDK costs two to three times as much processor time on a small object. What is XML stays with the SDK, which
//! shares the same connections.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::http::{Request as SmithyRequest, Response as SmithyResponse};
use aws_smithy_types::body::SdkBody;
use http::Method;
use http_body_util::BodyExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proto::NodeId;
use runtime::clock::Clock;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Config, Error, NodeConfig, NodeFault};

mod fault;

pub(crate) use fault::{body as fault_of_body, connector, late, root, sdk};

pub(crate) type Response = SmithyResponse<SdkBody>;

/// Unreserved characters of RFC 3986 stay; SigV4 wants all others encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_KEY: &AsciiSet = &ENCODED.remove(b'/');

/// The longest error document that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

static SIGNING: LazyLock<SigningSettings> = LazyLock::new(|| {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
});

/// The way to one node.
#[derive(Debug)]
pub(crate) struct Transport {
    node: NodeId,
    connector: SharedHttpConnector,
    /// `scheme://authority/bucket`
    base: String,
    region: String,
    credentials: Credentials,
    identity: Identity,
    clock: Clock,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) key: &'a str,
    pub(crate) query: &'a [(&'static str, &'a str)],
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: SdkBody,
    /// Until the answer's head is there.
    pub(crate) limit: Duration,
}

// === impl Transport ===

impl Transport {
    pub(crate) fn new(node: &NodeConfig, secret: &SecretString, config: &Config, clock: Clock) -> Result<Self, String> {
        let origin = node.origin()?;
        let settings = HttpConnectorSettings::builder().connect_timeout(config.connect_timeout).build();
        let builder = Connector::builder()
            .connector_settings(settings)
            .enable_tcp_nodelay(true)
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.pool_max_idle);
        let connector = if origin.scheme() == "https" {
            builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).build()
        } else {
            builder.build_http()
        };
        let secret = secret.expose_secret();
        let credentials = Credentials::new(&node.access_key, secret, None, None, "configuration");
        Ok(Self {
            node: node.id.clone(),
            connector: SharedHttpConnector::new(connector),
            base: format!("{}/{}", origin.as_str().trim_end_matches('/'), node.bucket),
            region: node.region.clone(),
            identity: credentials.clone().into(),
            credentials,
            clock,
        })
    }

    pub(crate) fn connector(&self) -> SharedHttpConnector {
        self.connector.clone()
    }

    pub(crate) fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// Sends `call`; an answer other than 2xx is an error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Response, Error> {
        let Call { method, key, query, headers, body, limit } = call;
        let is_head = method == Method::HEAD;
        let request = self.request(&method, key, query, &headers, body)?;
        let answer = tokio::time::timeout(limit, self.connector.call(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(connector(&self.node, &error)),
            Err(_) => return Err(late(&self.node, limit)),
        };
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let document = if is_head { String::new() } else { read_document(response.into_body(), limit).await };
        Err(fault::document(&self.node, key, status, &document))
    }

    fn request(
        &self,
        method: &Method,
        key: &str,
        query: &[(&'static str, &str)],
        headers: &[(&'static str, String)],
        body: SdkBody,
    ) -> Result<SmithyRequest, Error> {
        let broken = |what: &str, error: &dyn std::fmt::Display| {
            let reason = format!("cannot be asked for {key}: {what}: {error}");
            Error::Setup { node: self.node.clone(), reason }
        };
        let mut uri = format!("{}/{}", self.base, utf8_percent_encode(key, ENCODED_IN_KEY));
        for (index, (name, value)) in query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            uri.extend(utf8_percent_encode(value, ENCODED));
        }
        let mut request = http::Request::builder().method(method).uri(&uri);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(body).map_err(|error| broken("the request is malformed", &error))?;
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::from(self.clock.now()))
            .settings(SIGNING.clone())
            .build()
            .map_err(|error| broken("it cannot be signed", &error))?
            .into();
        let signed = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(method.as_str(), &uri, signed, SignableBody::UnsignedPayload)
            .map_err(|error| broken("it cannot be signed", &error))?;
        let (instructions, _) =
            sign(signable, &params).map_err(|error| broken("it cannot be signed", &error))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        SmithyRequest::try_from(request).map_err(|error| broken("the request is malformed", &error))
    }
}

/// Reads an error document as far as it is there in time and not too long.
async fn read_document(mut body: SdkBody, limit: Duration) -> String {
    let mut text = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
            }
            if text.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // What came in time is enough: the status alone says most of it.
    let _ = tokio::time::timeout(limit, reading).await;
    text.truncate(MAX_ERROR_BYTES);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a fault of this kind says that a node is in no state to be asked anything.
pub(crate) fn is_total(fault: NodeFault) -> bool {
    matches!(fault, NodeFault::Unreachable | NodeFault::Denied | NodeFault::WrongMarker)
}
