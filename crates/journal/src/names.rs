//! Names in JetStream that more than one program must agree on.

use std::fmt;

use proto::{Kind, NodeId};

/// The subjects of the journal's stream.
pub const SUBJECTS: &str = "hw.v1.>";

/// Which of a node's two consumers: large blobs have their own, so that they never hold up small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Blobs below 64 MiB.
    Small,
    /// Blobs of 64 MiB and more.
    Large,
}

/// The name of a durable consumer of the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

/// The consumer of a node and lane: `replicator-<node>`, and `replicator-<node>-large`.
pub fn consumer_name(node: &NodeId, lane: Lane) -> ConsumerName {
    match lane {
        Lane::Small => ConsumerName(format!("replicator-{node}")),
        Lane::Large => ConsumerName(format!("replicator-{node}-large")),
    }
}

// === impl Lane ===

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The one subject that the lane's consumers get.
    pub fn subject(self) -> String {
        let uploaded = Kind::FileUploaded.subject_token();
        match self {
            Self::Small => format!("hw.v1.{uploaded}"),
            Self::Large => format!("hw.v1.{uploaded}.large"),
        }
    }
}

// === impl ConsumerName ===

impl ConsumerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
