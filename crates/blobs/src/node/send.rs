//! Sending bytes to a node.

use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use http::Method;

use crate::body::Taken;
use crate::breaker::Kind;
use crate::checksum::Checksum;
use crate::transport::{Call, Response, late};
use crate::{Error, Node};

/// Bytes of a body that the system's buffers on the way may hold.
const BUFFERED: u64 = 1024 * 1024;
/// How often it is looked whether a node at which nothing moves is unavailable.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An object to be written.
pub(crate) struct Object<'a> {
    pub(crate) key: &'a str,
    pub(crate) body: SdkBody,
    pub(crate) len: u64,
    pub(crate) meta: &'a [(&'static str, String)],
    pub(crate) checksum: Option<Checksum>,
}

impl Node {
    /// Writes an object. Some servers answer that the bytes are wrong and keep them all the same: there they are deleted. On
    /// any other what was under the key before is there still, and may be right.
    pub(crate) async fn put_object(&self, object: Object<'_>) -> Result<(), Error> {
        let (key, algorithm) = (object.key, object.checksum.map(Checksum::algorithm));
        let outcome = self.put_once(object).await;
        if matches!(outcome, Err(Error::Checksum { .. }))
            && let Some(algorithm) = algorithm
            && matches!(Box::pin(self.verifies()).await, Ok(verifies) if !verifies.object(algorithm))
            && let Err(error) = self.delete(key).await
        {
            let id = self.id();
            tracing::warn!(node.id = %id, "cannot delete the wrong bytes of {key} on node {id}: {error}");
        }
        outcome
    }

    /// Writes an object, and leaves things as the node left them.
    pub(crate) async fn put_once(&self, object: Object<'_>) -> Result<(), Error> {
        let len = object.len;
        let mut headers = vec![("content-length", object.len.to_string())];
        headers.extend(object.meta.iter().map(|(name, value)| (meta_header(name), value.clone())));
        headers.extend(object.checksum.map(|sum| (sum.algorithm().header(), sum.value())));
        let Object { key, body, .. } = object;
        self.send_body(key, &[], headers, body, len).await.map(drop)
    }

    /// Sends a PUT with a body. How long that takes is the line's business, as long as bytes move and the node is well. What
    /// the system's buffers hold moves unseen: so there is patience for that much at the slowest rate.
    pub(crate) async fn send_body(
        &self,
        key: &str,
        query: &[(&'static str, &str)],
        headers: Vec<(&'static str, String)>,
        body: SdkBody,
        len: u64,
    ) -> Result<Response, Error> {
        let (body, taken) = Taken::watch(body, len);
        let config = self.config();
        let call = Call { method: Method::PUT, key, query, headers, body, limit: config.limit(len) };
        let (short, long) = (config.operation_timeout, config.limit(len.min(BUFFERED)));
        let stuck = async {
            loop {
                tokio::time::sleep_until(taken.last() + short).await;
                let idle = taken.last().elapsed();
                if idle >= long || (idle >= short && !self.state().is_healthy()) {
                    return idle;
                }
                tokio::time::sleep(short.min(LOOK_EVERY)).await;
            }
        };
        // On the heap: it is large, and deep inside much else.
        let mut sending = Box::pin(self.transport().send(call));
        let outcome = tokio::select! {
            biased;
            outcome = &mut sending => outcome,
            idle = stuck => Err(late(self.id(), idle)),
        };
        self.recorded(Kind::Write, outcome)
    }
}

/// The header of one entry of `ObjectMeta`; header names are `'static` so that a request needs no allocation for them.
fn meta_header(name: &str) -> &'static str {
    match name {
        "blob-id" => "x-amz-meta-blob-id",
        "event-id" => "x-amz-meta-event-id",
        "space-id" => "x-amz-meta-space-id",
        _ => "x-amz-meta-version-id",
    }
}
