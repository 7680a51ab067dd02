//! The nodes that a copy may read from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{BlobId, NodeId, SliceDigests};

use crate::breaker::Kind;
use crate::copy::relay::Broken;
use crate::verify::{Unfit, fetch_parts};
use crate::{BlobRef, CopyError, Error, Node, NodeFault, Nodes};

/// Tried in the given order, those that can be read first. One that turned out not to have the blob is tried last, so
/// that the parts of a large copy do not all ask it again.
#[derive(Debug, Clone)]
pub(super) struct Sources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nodes: Vec<Node>,
    /// Named, but not configured.
    strangers: Vec<NodeId>,
    unfit: Mutex<HashMap<NodeId, Unfit>>,
}

// === impl Sources ===

impl Sources {
    pub(super) fn new(nodes: &Nodes, sources: &[NodeId], target: &NodeId) -> Self {
        let (mut known, mut strangers) = (Vec::<Node>::new(), Vec::new());
        for source in sources.iter().filter(|source| *source != target) {
            match nodes.get(source) {
                Some(node) if known.iter().any(|other| other.id() == node.id()) => {}
                Some(node) => known.push(node.clone()),
                None => strangers.push(source.clone()),
            }
        }
        known.sort_by_key(|node| !node.breaker().is_readable());
        Self(Arc::new(Inner { nodes: known, strangers, unfit: Mutex::default() }))
    }

    /// The digests of the blob's slices, from the first source that has them.
    pub(super) async fn parts(&self, blob: &BlobRef) -> Result<SliceDigests, CopyError> {
        for node in self.order() {
            match fetch_parts(&node, blob).await {
                Ok(digests) => return Ok(digests),
                Err(unfit) => self.reject(&node, unfit),
            }
        }
        Err(self.verdict())
    }

    /// Those that can be asked, best first. A node that is down would only hold up who asks it: the health check says when
    /// it is back.
    pub(super) fn order(&self) -> Vec<Node> {
        let mut unfit = self.lock();
        let mut order = Vec::with_capacity(self.0.nodes.len());
        for node in &self.0.nodes {
            match node.breaker().unreadable() {
                None => order.push(node.clone()),
                Some(reason) => {
                    let down = || Unfit::Down(Error::node(node.id(), NodeFault::Unreachable, reason));
                    unfit.entry(node.id().clone()).or_insert_with(down);
                }
            }
        }
        order.sort_by_key(|node| unfit.contains_key(node.id()));
        order
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.0.nodes.iter()
    }

    /// Finds out whether all sources that failed do so at this blob only, time and again, and serve others: then they count
    /// as not having it, and the answer is true.
    pub(super) async fn blame(&self, blob: BlobId) -> bool {
        if !self.0.strangers.is_empty() {
            return false;
        }
        for node in &self.0.nodes {
            let error = match self.lock().get(node.id()) {
                Some(Unfit::Down(error)) => error.clone(),
                Some(_) | None => continue,
            };
            match node.blame(blob, Kind::Read, error).await {
                Error::Node { .. } => return false,
                other => self.reject(node, other.into()),
            }
        }
        true
    }

    /// Notes why a copy from `source` to `target` broke; an error when that was the target's doing, and no other source
    /// will help.
    pub(super) fn note(&self, source: &Node, target: &Node, broken: Broken) -> Result<(), CopyError> {
        match broken {
            Broken::Source(unfit) => {
                self.reject(source, unfit);
                Ok(())
            }
            Broken::Target(error) => Err(CopyError::at(target, error)),
        }
    }

    fn reject(&self, node: &Node, unfit: Unfit) {
        self.lock().insert(node.id().clone(), unfit);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Unfit>> {
        self.0.unfit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no source will do. As long as one of them cannot be asked, the blob is not to blame: that one may have it.
    pub(super) fn verdict(&self) -> CopyError {
        let unfit = self.lock();
        if let Some(node) = self.0.strangers.first() {
            let reason = "is not configured, and no other node has the blob".to_owned();
            return CopyError::Node { node: node.clone(), fault: NodeFault::Unreachable, reason };
        }
        let mut said = Vec::new();
        for node in &self.0.nodes {
            match unfit.get(node.id()) {
                Some(Unfit::Down(error)) => return down(node, error),
                Some(other) => said.push(format!("node {} {}", node.id(), other.reason())),
                None => {}
            }
        }
        let said = if said.is_empty() { "no node is named as its holder".to_owned() } else { said.join("; ") };
        CopyError::Blob { reason: format!("there is no source for the blob: {said}") }
    }
}

fn down(node: &Node, error: &Error) -> CopyError {
    let node = node.id().clone();
    match error {
        Error::Node { fault, reason, .. } => CopyError::Node { node, fault: *fault, reason: reason.clone() },
        other => CopyError::Node { node, fault: NodeFault::Broken, reason: other.to_string() },
    }
}
