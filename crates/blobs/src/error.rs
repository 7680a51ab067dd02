//! What can go wrong with nodes and blobs, by what the caller can do about it.

use std::fmt;

use proto::{BlobId, NodeId};
use runtime::retry::Transient;

/// A failed operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The node cannot do its work now; another one can, or this one later.
    #[error("node {node} {reason}")]
    Node {
        /// Which one.
        node: NodeId,
        /// What kind of fault.
        fault: NodeFault,
        /// The rest of the sentence.
        reason: String,
    },
    /// The node works, but refuses this request; the same request will be refused again.
    #[error("node {node} refuses {key}: {reason}")]
    Refused {
        /// Which one.
        node: NodeId,
        /// The object's key.
        key: String,
        /// The HTTP status.
        status: u16,
        /// The node's code and message.
        reason: String,
    },
    /// The node works, but fails at this object every time.
    #[error("node {node} serves others, but not {key}: it {reason}")]
    FailsAt {
        /// Which one.
        node: NodeId,
        /// The object's key.
        key: String,
        /// What it does.
        reason: String,
    },
    /// The node received other bytes than the digest given with them says.
    #[error("node {node} received wrong bytes for {key}")]
    Checksum {
        /// Which one.
        node: NodeId,
        /// The object's key.
        key: String,
    },
    /// The node has no such object.
    #[error("node {node} has no {key}")]
    NotFound {
        /// Which one.
        node: NodeId,
        /// The object's key.
        key: String,
    },
    /// The node says that it deleted the object, and has it still.
    #[error("node {node} still has {key} after it was deleted")]
    NotDeleted {
        /// Which one.
        node: NodeId,
        /// The object's key.
        key: String,
    },
    /// No node can take the bytes now.
    #[error("no node can take the bytes now: {reason}")]
    NoNode {
        /// What each of them said.
        reason: String,
    },
    /// No node that holds the blob can be reached now.
    #[error("blob {blob} cannot be read now: {reason}")]
    Unavailable {
        /// Which one.
        blob: BlobId,
        /// What each holder said.
        reason: String,
    },
    /// No holder has the blob's right bytes.
    #[error("blob {blob} cannot be read: {reason}")]
    Unreadable {
        /// Which one.
        blob: BlobId,
        /// What each holder said.
        reason: String,
    },
    /// The upload is not what its client announced; nothing was stored.
    #[error("{reason}")]
    Mismatch {
        /// The whole sentence.
        reason: String,
    },
    /// What is safe of an upload that can be resumed is lost or out of reach for good: it must be started again.
    #[error("the upload of blob {blob} cannot go on and must be started again: {reason}")]
    MustRestart {
        /// Which one.
        blob: BlobId,
        /// What became of it.
        reason: String,
    },
    /// An upload that can be resumed goes on elsewhere.
    #[error("the upload goes on at byte {expected}, not at byte {offset}")]
    WrongOffset {
        /// The one that was asked for.
        offset: u64,
        /// How many bytes are safe.
        expected: u64,
    },
    /// The upload is longer than a blob can be.
    #[error("the upload is longer than {max_bytes} bytes")]
    TooLong {
        /// The longest possible.
        max_bytes: u64,
    },
    /// The configuration knows no such node.
    #[error("node {0} is not configured")]
    UnknownNode(NodeId),
    /// A node's configuration cannot be used.
    #[error("node {node} cannot be set up: {reason}")]
    Setup {
        /// Which one.
        node: NodeId,
        /// Why.
        reason: String,
    },
}

/// What kind of fault a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeFault {
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// An answer that says that the node is broken or overloaded, or that is no S3 answer.
    Broken,
    /// No space left.
    Full,
    /// It refuses everything we ask: wrong credentials, no bucket.
    Denied,
    /// Its marker is missing, or another cluster's or node's.
    WrongMarker,
}

// === impl Error ===

impl Error {
    /// The node to blame, when it is one node's fault.
    pub fn faulty_node(&self) -> Option<(&NodeId, NodeFault)> {
        match self {
            Self::Node { node, fault, .. } => Some((node, *fault)),
            _ => None,
        }
    }

    pub(crate) fn node(node: &NodeId, fault: NodeFault, reason: impl Into<String>) -> Self {
        Self::Node { node: node.clone(), fault, reason: reason.into() }
    }

    /// Whether the node does not offer the operation at all.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Refused { status: 501 | 405, .. })
    }
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Node { .. } | Self::Checksum { .. } | Self::NoNode { .. } | Self::Unavailable { .. } => true,
            Self::Refused { .. }
            | Self::FailsAt { .. }
            | Self::NotFound { .. }
            | Self::NotDeleted { .. }
            | Self::Unreadable { .. }
            | Self::Mismatch { .. }
            | Self::MustRestart { .. }
            | Self::WrongOffset { .. }
            | Self::TooLong { .. }
            | Self::UnknownNode(_)
            | Self::Setup { .. } => false,
        }
    }
}

// === impl NodeFault ===

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::WrongMarker => "wrong marker",
        })
    }
}
