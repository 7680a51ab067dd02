//! Which node takes a new blob.

use proto::{BlobId, MarkerId};

use crate::checksum::Algorithm;
use crate::multipart::Multipart;
use crate::{Error, Health, Node, Nodes, ObjectMeta, Standing};

/// The nodes that did not take a blob, and why.
#[derive(Debug)]
pub(crate) struct Refusals {
    blob: BlobId,
    reasons: Vec<String>,
}

/// The nodes that may take a blob, best first.
pub(crate) fn candidates(nodes: &Nodes, blob: BlobId) -> Vec<Node> {
    let mut candidates = nodes.ranked(blob);
    candidates.retain(|node| {
        nodes.standing(node.id()) != Standing::Gone && !matches!(node.state(), Health::WrongMarker { .. })
    });
    candidates
}

/// Begins a multipart upload of `blob` on the best node that takes it; with that node's marker.
pub(crate) async fn begin(nodes: &Nodes, blob: BlobId, meta: &ObjectMeta) -> Result<(Multipart, MarkerId), Error> {
    let mut refusals = Refusals::of(blob);
    for node in candidates(nodes, blob) {
        match begin_on(&node, blob, meta).await {
            Ok(begun) => return Ok(begun),
            Err(error) => refusals.note(&node, &error),
        }
    }
    Err(refusals.into_error())
}

async fn begin_on(node: &Node, blob: BlobId, meta: &ObjectMeta) -> Result<(Multipart, MarkerId), Error> {
    let marker_id = node.admit().await?;
    let multipart = Multipart::begin(node, &blob.key(), Some((blob, meta)), Algorithm::Crc32c).await?;
    Ok((multipart, marker_id))
}

// === impl Refusals ===

impl Refusals {
    pub(crate) fn of(blob: BlobId) -> Self {
        Self { blob, reasons: Vec::new() }
    }

    /// Notes that a node did not take the blob. Nothing is lost by it: no byte has left this process's memory, and the
    /// next node is tried.
    pub(crate) fn note(&mut self, node: &Node, error: &Error) {
        let (blob, id) = (self.blob, node.id());
        tracing::warn!(blob.id = %blob, node.id = %id, "node {id} does not take blob {blob}: {error}");
        self.reasons.push(error.to_string());
    }

    /// No node is left.
    pub(crate) fn into_error(self) -> Error {
        let reasons = self.reasons;
        let reason = if reasons.is_empty() {
            "every node has a wrong marker, or was retired".to_owned()
        } else {
            reasons.join("; ")
        };
        Error::NoNode { reason }
    }
}
