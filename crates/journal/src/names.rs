//! Names in JetStream that more than one program must agree on.

use std::fmt;

use proto::{Kind, NodeId};

/// The subjects of the journal's stream.
pub const SUBJECTS: &str = "hw.v1.>";

/// Which of a node's two consumers: large blobs have their own, so that they never hold up small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Blobs below 64 MiB, and the erasure of blobs of any size.
    Small,
    /// Blobs of 64 MiB and more.
    Large,
}

/// The subject of the events of a kind, apart from those that ask for copies of a large blob.
pub(crate) fn subject(kind: Kind) -> String {
    format!("hw.v1.{}", kind.subject_token())
}

/// The subject of the events of a kind that ask for copies of a large blob.
pub(crate) fn large_subject(kind: Kind) -> String {
    subject(kind) + ".large"
}

/// The name of a durable consumer of the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName {
    name: String,
    lane: Lane,
}

/// The consumer of a node and lane: `replicator-<node>`, and `replicator-<node>-large`.
pub fn consumer_name(node: &NodeId, lane: Lane) -> ConsumerName {
    let name = match lane {
        Lane::Small => format!("replicator-{node}"),
        Lane::Large => format!("replicator-{node}-large"),
    };
    ConsumerName { name, lane }
}

// === impl Lane ===

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The subjects that the lane's consumers get, in the order in which the consumers are made with them.
    pub fn subjects(self) -> Vec<String> {
        match self {
            Self::Small => vec![
                subject(Kind::FileUploaded),
                subject(Kind::BlobErasureOrdered),
                subject(Kind::ReplicaLost),
                subject(Kind::ReplicationRedriven),
                subject(Kind::NodeJoined),
                subject(Kind::NodeWiped),
            ],
            Self::Large => {
                [Kind::FileUploaded, Kind::ReplicaLost, Kind::ReplicationRedriven].map(large_subject).to_vec()
            }
        }
    }
}

// === impl ConsumerName ===

impl ConsumerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The lane that it is the consumer of.
    pub fn lane(&self) -> Lane {
        self.lane
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
