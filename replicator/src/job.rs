//! What one entry of the journal asks the replicator of one node to do. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use blobs::{BlobRef, ObjectMeta};
use proto::{BlobId, DecodeError, Event, Fact, FileUploaded, NodeId, Recorded};
use time::OffsetDateTime;

/// A copy that an event asks for.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The bytes.
    pub(crate) blob: BlobRef,
    /// What the object on the target says about itself.
    pub(crate) meta: ObjectMeta,
    /// Where to read: the node that took the upload first, then the other configured ones.
    pub(crate) sources: Vec<NodeId>,
    /// Sequence number of the event that asks.
    pub(crate) cause: u64,
    /// Time of that event.
    pub(crate) asked_at: OffsetDateTime,
}

/// Blobs to be erased from the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Each once.
    pub(crate) blob_ids: Vec<BlobId>,
    /// Sequence number of the event that orders it.
    pub(crate) cause: u64,
}

/// What to do with one entry.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Copy a blob to the target.
    Copy(Box<Job>),
    /// Erase blobs from the target.
    Erase(Order),
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// A later version of the program wrote it; only that one can tell what it asks for.
    Unknown(DecodeError),
    /// No version can ever read it; the fold keeps the record of it.
    Undecodable(String),
}

impl Asked {
    /// Reads what `recorded` asks of the replicator for `target`, when `nodes` are configured.
    pub(crate) fn read(recorded: &Recorded, target: &NodeId, nodes: &[NodeId]) -> Self {
        match recorded.decode() {
            Ok(event) => Self::of(&event, recorded.n, target, nodes),
            Err(DecodeError::Undecodable { reason }) => Self::Undecodable(reason),
            Err(unknown @ (DecodeError::UnknownType { .. } | DecodeError::UnknownRules { .. })) => {
                Self::Unknown(unknown)
            }
        }
    }

    fn of(event: &Event, n: u64, target: &NodeId, nodes: &[NodeId]) -> Self {
        match &event.fact {
            Fact::FileUploaded(uploaded) if uploaded.instant => {
                Self::Nothing("its blob was there before, and another event asked for the copies")
            }
            Fact::FileUploaded(uploaded) if uploaded.node == *target => {
                Self::Nothing("this node took the upload itself")
            }
            Fact::FileUploaded(uploaded) => Self::Copy(Box::new(job(event, uploaded, n, target, nodes))),
            Fact::BlobErasureOrdered(ordered) => {
                let blob_ids: BTreeSet<BlobId> = ordered.blob_ids.iter().copied().collect();
                Self::Erase(Order { blob_ids: blob_ids.into_iter().collect(), cause: n })
            }
            Fact::NodeJoined(_)
            | Fact::SpaceCreated(_)
            | Fact::SpaceRenamed(_)
            | Fact::SpaceDeleted(_)
            | Fact::FolderCreated(_)
            | Fact::FolderDeleted(_)
            | Fact::FileDeleted(_)
            | Fact::FileUndeleted(_)
            | Fact::FileMoved(_)
            | Fact::FileCopied(_)
            | Fact::VersionRestored(_)
            | Fact::RetentionSet(_)
            | Fact::VersionsPruned(_)
            | Fact::BlobCondemned(_)
            | Fact::BlobErased(_)
            | Fact::ReplicaStored(_)
            | Fact::ReplicationParked(_) => Self::Nothing("this kind of event asks nothing of a node"),
        }
    }
}

fn job(event: &Event, uploaded: &FileUploaded, n: u64, target: &NodeId, nodes: &[NodeId]) -> Job {
    let origin = nodes.iter().filter(|node| **node == uploaded.node);
    let others = nodes.iter().filter(|node| **node != uploaded.node && *node != target);
    Job {
        blob: BlobRef::of(uploaded),
        meta: ObjectMeta { event_id: event.id, space: uploaded.space_id, version_id: event.id.version_id() },
        sources: origin.chain(others).cloned().collect(),
        cause: n,
        asked_at: event.time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proto::{Actor, BlobErasureOrdered, EventId, MarkerId, OnConflict, RULES, Sha256Digest, SpaceId, SpaceName};
    use uuid::Uuid;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn nodes() -> Vec<NodeId> {
        ["node-a", "node-b", "node-c"].into_iter().map(node).collect()
    }

    fn uploaded(origin: &str) -> Recorded {
        recorded(event(upload(origin)).encode())
    }

    fn event(fact: Fact) -> Event {
        Event {
            id: EventId::new(Uuid::from_u128(7)),
            source: "/highwater/gateway".to_owned(),
            time: OffsetDateTime::UNIX_EPOCH,
            actor: Actor::anonymous(),
            request_id: None,
            fingerprint: None,
            rules: RULES,
            fact,
        }
    }

    fn upload(origin: &str) -> Fact {
        Fact::FileUploaded(FileUploaded {
            space_id: SpaceId::new(Uuid::from_u128(1)),
            space: SpaceName::main(),
            path: "a.txt".parse().unwrap(),
            blob_id: blob(2),
            size_bytes: 3,
            sha256: Sha256Digest::of(b"abc"),
            slices_sha256: None,
            slice_bytes: None,
            content_type: String::new(),
            modified_at: None,
            node: node(origin),
            marker_id: MarkerId::new(Uuid::from_u128(3)),
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        })
    }

    fn blob(n: u128) -> BlobId {
        BlobId::new(Uuid::from_u128(n))
    }

    fn recorded(payload: Vec<u8>) -> Recorded {
        Recorded {
            n: 42,
            subject: "hw.v1.file_uploaded".to_owned(),
            message_id: String::new(),
            payload: payload.into(),
        }
    }

    #[test]
    fn an_upload_is_copied_from_its_origin_first() {
        let Asked::Copy(job) = Asked::read(&uploaded("node-c"), &node("node-a"), &nodes()) else { panic!("no copy") };
        assert_eq!(job.sources, [node("node-c"), node("node-b")]);
        assert_eq!(job.cause, 42);
        assert_eq!(job.meta.version_id, EventId::new(Uuid::from_u128(7)).version_id());
    }

    #[test]
    fn an_origin_that_is_not_configured_is_no_source() {
        let Asked::Copy(job) = Asked::read(&uploaded("node-x"), &node("node-a"), &nodes()) else { panic!("no copy") };
        assert_eq!(job.sources, [node("node-b"), node("node-c")]);
    }

    #[test]
    fn the_origin_itself_needs_no_copy() {
        assert!(matches!(Asked::read(&uploaded("node-a"), &node("node-a"), &nodes()), Asked::Nothing(_)));
    }

    #[test]
    fn an_instant_upload_needs_no_copy() {
        let Fact::FileUploaded(first) = upload("node-c") else { panic!("no upload") };
        let instant = event(Fact::FileUploaded(FileUploaded { instant: true, ..first }));
        let asked = Asked::read(&recorded(instant.encode()), &node("node-a"), &nodes());
        assert!(matches!(asked, Asked::Nothing(_)));
    }

    #[test]
    fn an_order_names_each_blob_once() {
        let fact = Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: vec![blob(2), blob(1), blob(2)] });
        let Asked::Erase(order) = Asked::read(&recorded(event(fact).encode()), &node("node-a"), &nodes()) else {
            panic!("no order")
        };
        assert_eq!(order, Order { blob_ids: vec![blob(1), blob(2)], cause: 42 });
    }

    #[test]
    fn a_later_versions_event_is_told_from_garbage() {
        let text = String::from_utf8(uploaded("node-a").payload.to_vec()).unwrap();
        let later = text.replace("highwater.file.uploaded.v1", "highwater.file.uploaded.v2");
        let asked = Asked::read(&recorded(later.into_bytes()), &node("node-b"), &nodes());
        assert!(matches!(asked, Asked::Unknown(DecodeError::UnknownType { .. })));
        let asked = Asked::read(&recorded(b"{".to_vec()), &node("node-b"), &nodes());
        assert!(matches!(asked, Asked::Undecodable(_)));
    }
}
