//! Journals for tests, with ids that are small numbers.

use proto::{
    Actor, BlobId, Event, EventId, Fact, FileUploaded, Fingerprint, MarkerId, NodeId, NodeJoined, OnConflict, RULES,
    Recorded, ReplicaStored, ReplicationParked, Sha256Digest, SpaceCreated, SpaceId, SpaceName, StoredReplica,
};
use time::macros::datetime;
use uuid::Uuid;

pub(crate) const SPACE_EVENT: EventId = EventId::new(Uuid::from_u128(0xa000));

/// The id of the space `main` in every journal that [`Journal::new`] begins.
pub(crate) fn main_space() -> SpaceId {
    SpaceId::new(SPACE_EVENT.derive(0))
}

pub(crate) fn event_id(n: u128) -> EventId {
    EventId::new(Uuid::from_u128(n))
}

pub(crate) fn blob_id(n: u128) -> BlobId {
    BlobId::new(Uuid::from_u128(0xb000_0000 + n))
}

pub(crate) fn marker(node: &str) -> MarkerId {
    MarkerId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, node.as_bytes()))
}

fn node(id: &str) -> NodeId {
    id.parse().unwrap()
}

pub(crate) fn joined(name: &str) -> Fact {
    let (endpoint, bucket) = ("http://127.0.0.1:1".to_owned(), "highwater".to_owned());
    Fact::NodeJoined(NodeJoined { node: node(name), marker_id: marker(name), endpoint, bucket })
}

/// The node, with the disk that it joined with, gave this up.
pub(crate) fn parked(name: &str, blob_id: BlobId, cause: u64) -> Fact {
    let reason = "the node refuses the key".to_owned();
    let (node, marker_id) = (node(name), marker(name));
    Fact::ReplicationParked(ReplicationParked { node, marker_id, blob_id, cause, attempts: 5, reason })
}

/// A journal under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(pub(crate) Vec<Recorded>);

impl Journal {
    /// Three nodes and the space `main`: sequences 1 to 4.
    pub(crate) fn new() -> Self {
        let mut journal = Self::default();
        for (n, id) in (0xc000..).zip(["node-a", "node-b", "node-c"]) {
            journal.join(n, id);
        }
        journal.add(SPACE_EVENT, Fact::SpaceCreated(SpaceCreated { name: SpaceName::main() }));
        journal
    }

    pub(crate) fn join(&mut self, id: u128, name: &str) {
        self.add(event_id(id), joined(name));
    }

    pub(crate) fn add(&mut self, id: EventId, fact: Fact) -> u64 {
        let fingerprint = Fingerprint::of_fact(&fact);
        let event = Event {
            id,
            source: "/test".to_owned(),
            time: datetime!(2026-11-23 23:30 UTC),
            actor: "alice".parse::<Actor>().unwrap(),
            request_id: None,
            fingerprint,
            rules: RULES,
            fact,
        };
        self.add_bytes(&event.fact.subject(), event.encode())
    }

    pub(crate) fn add_bytes(&mut self, subject: &str, payload: Vec<u8>) -> u64 {
        let n = self.0.len() as u64 + 1;
        self.0.push(Recorded { n, subject: subject.to_owned(), message_id: String::new(), payload: payload.into() });
        n
    }

    /// An upload to `path` by event `id` of blob `id`, first copy on node-a.
    pub(crate) fn upload(&mut self, id: u128, path: &str) -> u64 {
        self.upload_with(id, path, |_| {})
    }

    pub(crate) fn upload_with(&mut self, id: u128, path: &str, change: impl FnOnce(&mut FileUploaded)) -> u64 {
        let mut uploaded = FileUploaded {
            space_id: main_space(),
            space: SpaceName::main(),
            path: path.parse().unwrap(),
            blob_id: blob_id(id),
            size_bytes: 5,
            sha256: Sha256Digest::of(&id.to_be_bytes()),
            slices_sha256: None,
            slice_bytes: None,
            content_type: String::new(),
            modified_at: None,
            node: node("node-a"),
            marker_id: marker("node-a"),
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        };
        change(&mut uploaded);
        self.add(event_id(id), Fact::FileUploaded(uploaded))
    }

    pub(crate) fn stored(&mut self, id: u128, name: &str, blobs: &[(u128, u64)]) -> u64 {
        let replicas =
            blobs.iter().map(|(blob, cause)| StoredReplica { blob_id: blob_id(*blob), cause: *cause }).collect();
        let stored = ReplicaStored { node: node(name), marker_id: marker(name), replicas };
        self.add(event_id(id), Fact::ReplicaStored(stored))
    }

    pub(crate) fn parked(&mut self, id: u128, name: &str, blob: u128, cause: u64) -> u64 {
        self.add(event_id(id), parked(name, blob_id(blob), cause))
    }
}
