//! Which node comes first for a blob.

use proto::{BlobId, NodeId};
use sha2::{Digest as _, Sha256};

/// Orders `nodes` for `blob` by rendezvous hashing: each node's score depends on the blob and that node alone. So every
/// process agrees, blobs spread evenly, and a node that is added or removed changes nothing in the order of the others.
pub fn rank(blob: BlobId, nodes: &[NodeId]) -> Vec<NodeId> {
    let mut scored: Vec<(u64, &NodeId)> = nodes.iter().map(|node| (score(blob, node), node)).collect();
    scored.sort_by(|(a, a_id), (b, b_id)| b.cmp(a).then_with(|| a_id.cmp(b_id)));
    scored.into_iter().map(|(_, node)| node.clone()).collect()
}

/// The node's claim to the blob; the highest comes first. Part of what is stored (placement repeats it): never changes.
pub(crate) fn score(blob: BlobId, node: &NodeId) -> u64 {
    let digest = Sha256::new().chain_update(blob.uuid().as_bytes()).chain_update(node.as_str()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
