//! One S3 node.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Method;
use proto::{ClusterId, MarkerId, NodeId, Sha256Digest};
use runtime::clock::Clock;
use runtime::config::read_secret;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blame::KeyFaults;
use crate::body::{Body, Pieces};
use crate::breaker::{Breaker, Kind};
use crate::checksum::Checksum;
use crate::pace::Pace;
use crate::probe::Verifies;
use crate::transport::{Call, Response, Transport, sdk};
use crate::{Config, Error, Health, MARKER_KEY, Marker, NodeConfig, NodeFault};

mod client;
mod known;
mod list;
mod send;

pub(crate) use known::Known;
pub use known::OtherMarker;
pub(crate) use list::listed;
pub use list::{Listed, Page};
pub(crate) use send::Object;

/// The longest marker that is read.
const MAX_MARKER_BYTES: u64 = 16 * 1024;

/// An S3 endpoint and bucket. Clones share connections, breaker and what is known about it.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    identity: NodeConfig,
    config: Config,
    cluster: Option<ClusterId>,
    known: Known,
    transport: Transport,
    s3: aws_sdk_s3::Client,
    breaker: Breaker,
    pace: Pace,
    verifies: OnceCell<Verifies>,
    /// How often in a row it failed at single blobs while it served others.
    key_faults: KeyFaults,
    clock: Clock,
}

/// What a node says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length.
    pub size_bytes: u64,
    /// Its user metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

impl Node {
    /// Sets up the way to the node; asks it nothing.
    pub(crate) fn new(
        identity: NodeConfig,
        config: Config,
        cluster: Option<ClusterId>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let setup = |reason: String| Error::Setup { node: identity.id.clone(), reason };
        let secret = read_secret(&identity.secret_key_file)
            .map_err(|error| setup(format!("{error}: {}", crate::transport::root(&error))))?;
        let transport = Transport::new(&identity, &secret, &config, clock.clone()).map_err(setup)?;
        let s3 = client::new(&identity, &config, &transport);
        let breaker = Breaker::new(identity.id.clone(), config.breaker_faults);
        Ok(Self(Arc::new(Inner {
            identity,
            config,
            cluster,
            known: Known::default(),
            transport,
            s3,
            breaker,
            pace: Pace::default(),
            verifies: OnceCell::new(),
            key_faults: KeyFaults::default(),
            clock,
        })))
    }

    /// Its name.
    pub fn id(&self) -> &NodeId {
        &self.0.identity.id
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.0.identity.endpoint
    }

    /// Its bucket.
    pub fn bucket(&self) -> &str {
        &self.0.identity.bucket
    }

    /// What it is fit for, as far as is known; asks it nothing.
    pub fn state(&self) -> Health {
        self.0.breaker.health()
    }

    /// The marker that its bucket carried at the last look, if it was the right one.
    pub fn marker(&self) -> Option<Marker> {
        self.0.breaker.marker()
    }

    /// Waits until the node is healthy. False when `cancel` came first.
    pub async fn usable(&self, cancel: &CancellationToken) -> bool {
        let mut health = self.0.breaker.watch();
        tokio::select! {
            biased;
            () = cancel.cancelled() => false,
            found = health.wait_for(Health::is_healthy) => found.is_ok(),
        }
    }

    /// What the node says about the object `key`; `None` when it has none.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectHead>, Error> {
        let limit = self.config().read_timeout;
        let call = Call { method: Method::HEAD, key, query: &[], headers: vec![], body: SdkBody::empty(), limit };
        let outcome = self.recorded(Kind::Read, self.0.transport.send(call).await);
        let Some(response) = found(outcome)? else { return Ok(None) };
        let Some(size_bytes) = content_length(&response) else {
            return Err(Error::node(self.id(), NodeFault::Broken, format!("does not say how long {key} is")));
        };
        let metadata = response.headers().iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value.to_owned()))
        });
        Ok(Some(ObjectHead { size_bytes, metadata: metadata.collect() }))
    }

    /// The object `key`, or `range` of it (which must not be empty); not verified. `NotFound` when there is none.
    pub async fn get_range(&self, key: &str, range: Option<Range<u64>>) -> Result<Body, Error> {
        let body = self.recorded(Kind::Read, self.fetch(key, range).await)?;
        Ok(Body { is_counted: true, ..body })
    }

    /// As [`Self::get_range`], but the breaker hears nothing of it.
    async fn fetch(&self, key: &str, range: Option<Range<u64>>) -> Result<Body, Error> {
        let limit = self.config().read_timeout;
        let headers = match &range {
            Some(range) => vec![("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))],
            None => vec![],
        };
        let call = Call { method: Method::GET, key, query: &[], headers, body: SdkBody::empty(), limit };
        let response = self.0.transport.send(call).await?;
        if range.as_ref().is_some_and(|range| range.start > 0) && response.status().as_u16() != 206 {
            return Err(Error::node(self.id(), NodeFault::Broken, "does not answer requests for ranges"));
        }
        let len = content_length(&response);
        let inner = response.into_body();
        Ok(Body { node: self.clone(), key: key.to_owned(), inner, len, is_counted: false })
    }

    /// The whole object `key` if it has at most `max_bytes`; `None` when there is none.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Option<Bytes>, Error> {
        let Some(body) = found(self.get_range(key, None).await)? else { return Ok(None) };
        body.collect(max_bytes).await.map(Some)
    }

    /// Writes an object whose bytes are in memory; a node that can, verifies them.
    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), Error> {
        let (len, digest) = (content.len() as u64, Sha256Digest::of(&content));
        let checksum = Some(Checksum::Sha256(digest));
        self.put_object(Object { key, body: Pieces::body(&[content]), len, meta: &[], checksum }).await
    }

    /// Deletes the object `key`; one that is not there is deleted already.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let limit = self.config().operation_timeout;
        let call = Call { method: Method::DELETE, key, query: &[], headers: vec![], body: SdkBody::empty(), limit };
        found(self.recorded(Kind::Write, self.0.transport.send(call).await)).map(drop)
    }

    /// Reads the marker now, whoever's it is; `None` when the bucket has none.
    pub async fn read_marker(&self) -> Result<Option<Marker>, Error> {
        // Not counted: a marker that can be read says nothing about the node's other work.
        let Some(body) = found(self.fetch(MARKER_KEY, None).await)? else { return Ok(None) };
        let bytes = body.collect(MAX_MARKER_BYTES).await?;
        let marker = serde_json::from_slice(&bytes).map_err(|error| {
            Error::node(self.id(), NodeFault::WrongMarker, format!("has a marker that cannot be read: {error}"))
        })?;
        Ok(Some(marker))
    }

    /// Writes `marker`, over any that is there: the caller has looked.
    pub async fn write_marker(&self, marker: &Marker) -> Result<(), Error> {
        let content = serde_json::to_vec(marker).expect("a marker holds only strings");
        self.put(MARKER_KEY, content.into()).await?;
        self.look().await.map(drop)
    }

    /// Whether the bucket is there.
    pub async fn has_bucket(&self) -> Result<bool, Error> {
        match self.0.s3.head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => Ok(false),
            Err(error) => self.sdk(Kind::Read, self.bucket(), Err(error)),
        }
    }

    /// Creates the bucket; false when it was there.
    pub async fn ensure_bucket(&self) -> Result<bool, Error> {
        if matches!(self.has_bucket().await, Ok(true)) {
            return Ok(false);
        }
        match self.0.s3.create_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
                if matches!(code, "BucketAlreadyOwnedByYou" | "BucketAlreadyExists") {
                    return Ok(false);
                }
                self.sdk(Kind::Write, self.bucket(), Err(error))
            }
        }
    }

    /// Reads the marker and draws the conclusions: the health check.
    pub(crate) async fn look(&self) -> Result<Option<Marker>, Error> {
        let asked = Instant::now();
        let read = self.read_marker().await;
        if read.is_ok() {
            // So that a node that is asked for nothing else, because it was slow, is found to be fast again.
            self.0.pace.note(asked.elapsed());
        }
        match &read {
            Ok(Some(marker)) => {
                let mut objection = marker.objection(self.0.cluster, self.id());
                if objection.is_none() {
                    objection = self.0.known.objection(self.id(), marker.marker_id).await;
                }
                self.0.breaker.found(objection.map_or_else(|| Ok(Some(marker.clone())), Err));
            }
            Ok(None) if self.0.cluster.is_some() => {
                self.0.breaker.found(Err("has no marker: it was never initialised, or was wiped".to_owned()));
            }
            Ok(None) => self.0.breaker.found(Ok(None)),
            Err(Error::Node { fault: NodeFault::WrongMarker, reason, .. }) => {
                self.0.breaker.found(Err(reason.clone()));
            }
            Err(error) => {
                let (fault, reason) = match error {
                    Error::Node { fault, reason, .. } => (*fault, reason.clone()),
                    other => (NodeFault::Broken, format!("does not give its marker: {other}")),
                };
                self.0.breaker.unreachable(fault, &reason);
            }
        }
        read
    }

    /// The marker id under which something may be written to the node now.
    pub(crate) async fn admit(&self) -> Result<MarkerId, Error> {
        if self.marker().is_none() && !matches!(self.state(), Health::WrongMarker { .. }) {
            self.look().await?;
        }
        match (self.state(), self.marker()) {
            (Health::WrongMarker { reason }, _) => Err(Error::node(self.id(), NodeFault::WrongMarker, reason)),
            (_, Some(marker)) => Ok(marker.marker_id),
            (_, None) => Err(Error::node(self.id(), NodeFault::WrongMarker, "has no marker")),
        }
    }

    /// Which wrong checksums the node refuses; found out once.
    pub(crate) async fn verifies(&self) -> Result<Verifies, Error> {
        self.0.verifies.get_or_try_init(|| crate::probe::verifies(self)).await.copied()
    }

    pub(crate) fn known(&self) -> &Known {
        &self.0.known
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn key_faults(&self) -> &KeyFaults {
        &self.0.key_faults
    }

    /// Why the node is not asked for bytes at the moment, when that is because it failed.
    pub fn unreadable(&self) -> Option<String> {
        self.0.breaker.unreadable()
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// How soon it begins to answer.
    pub(crate) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    pub(crate) fn s3(&self) -> &aws_sdk_s3::Client {
        &self.0.s3
    }

    /// Puts a failure of the SDK into our words, and counts it.
    pub(crate) fn sdk<T, E>(
        &self,
        kind: Kind,
        key: &str,
        outcome: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.recorded(kind, outcome.map_err(|error| sdk(self.id(), key, &error)))
    }

    pub(crate) fn recorded<T>(&self, kind: Kind, outcome: Result<T, Error>) -> Result<T, Error> {
        self.0.breaker.record(kind, &outcome);
        outcome
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.id().as_str()).finish()
    }
}

/// Absence is no error where it is an answer.
pub(crate) fn found<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn content_length(response: &Response) -> Option<u64> {
    response.headers().get("content-length")?.parse().ok()
}
