//! What one entry of the journal asks the replicator of one node to do. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use blobs::{BlobRef, ObjectMeta};
use proto::{BlobId, DecodeError, Event, Fact, FileUploaded, MarkerId, NodeId, Recorded, WantedCopy};
use time::OffsetDateTime;

/// A copy that an event asks for.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The bytes.
    pub(crate) blob: BlobRef,
    /// What the object on the target says about itself.
    pub(crate) meta: ObjectMeta,
    /// The node that brought the blob, or is said to have it, configured or not: the event alone tells.
    pub(crate) origin: NodeId,
    /// Where to read: the node that took the upload first, then the other configured ones.
    pub(crate) sources: Vec<NodeId>,
    /// Sequence number of the event that asks.
    pub(crate) cause: u64,
    /// When the blob was brought, if that is known: for a while after that nobody orders its erasure.
    pub(crate) asked_at: OffsetDateTime,
    /// Whether nobody can have tried it before when the event that asks is first delivered.
    pub(crate) is_new: bool,
    /// Whether what is on the target is feared to be wrong: it is read, and written over unless all of it is right.
    pub(crate) overwrite: bool,
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
    /// Copy blobs to the target.
    Copy(Vec<Job>),
    /// Copy to the target's new disk, which has this marker, all that earlier events brought.
    Refill(MarkerId),
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
            Fact::FileUploaded(uploaded) if uploaded.targets.as_ref().is_some_and(|to| !to.contains(target)) => {
                Self::Nothing("the blob is placed on other nodes")
            }
            Fact::FileUploaded(uploaded) => Self::Copy(vec![Job::of_upload(event, uploaded, n, target, nodes)]),
            Fact::ReplicaLost(lost) if lost.node == *target => {
                Self::Copy(wanted(&lost.replicas, |wanted| Job::of_wanted(wanted, n, target, nodes)))
            }
            Fact::ReplicationRedriven(redriven) if redriven.node == *target => {
                Self::Copy(wanted(&redriven.replicas, |wanted| Job::of_wanted(wanted, n, target, nodes)))
            }
            Fact::NodeJoined(joined) if joined.node == *target => Self::Refill(joined.marker_id),
            Fact::NodeWiped(wiped) if wiped.node == *target => Self::Refill(wiped.marker_id),
            Fact::NodeJoined(_) | Fact::NodeWiped(_) | Fact::ReplicaLost(_) | Fact::ReplicationRedriven(_) => {
                Self::Nothing("it is about another node")
            }
            Fact::BlobErasureOrdered(ordered) => {
                let blob_ids: BTreeSet<BlobId> = ordered.blob_ids.iter().copied().collect();
                Self::Erase(Order { blob_ids: blob_ids.into_iter().collect(), cause: n })
            }
            Fact::SpaceCreated(_)
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
            | Fact::ReplicationParked(_)
            | Fact::NodeRetired(_)
            | Fact::PlacementChanged(_)
            | Fact::JournalRestored(_) => Self::Nothing("this kind of event asks nothing of a node"),
        }
    }
}

// === impl Job ===

impl Job {
    /// The copy of what an upload brought; from the target itself it is not taken, even if that took the upload.
    pub(crate) fn of_upload(event: &Event, uploaded: &FileUploaded, n: u64, target: &NodeId, nodes: &[NodeId]) -> Self {
        Self {
            blob: BlobRef::of(uploaded),
            meta: ObjectMeta { event_id: event.id, space: uploaded.space_id, version_id: event.id.version_id() },
            origin: uploaded.node.clone(),
            sources: sources(&uploaded.node, target, nodes),
            cause: n,
            asked_at: event.time,
            is_new: true,
            overwrite: false,
        }
    }

    /// The copy that an event asks for by name.
    pub(crate) fn of_wanted(wanted: &WantedCopy, n: u64, target: &NodeId, nodes: &[NodeId]) -> Self {
        let event_id = wanted.event_id;
        Self {
            blob: BlobRef {
                blob_id: wanted.blob_id,
                size_bytes: wanted.size_bytes,
                sha256: wanted.sha256,
                slices_sha256: wanted.slices_sha256,
                slice_bytes: wanted.slice_bytes,
            },
            meta: ObjectMeta { event_id, space: wanted.space_id, version_id: event_id.version_id() },
            origin: wanted.source.clone(),
            sources: sources(&wanted.source, target, nodes),
            cause: n,
            // The blob may be old, and its erasure be ordered at any time.
            asked_at: OffsetDateTime::UNIX_EPOCH,
            is_new: false,
            // A redriven copy was lost once, or failed for reasons that nobody knows here.
            overwrite: true,
        }
    }
}

/// The jobs of a list that may name a blob twice.
fn wanted(replicas: &[WantedCopy], job: impl Fn(&WantedCopy) -> Job) -> Vec<Job> {
    let mut seen = BTreeSet::new();
    replicas.iter().filter(|wanted| seen.insert(wanted.blob_id)).map(job).collect()
}

/// The configured nodes but the target, `first` before all others.
fn sources(first: &NodeId, target: &NodeId, nodes: &[NodeId]) -> Vec<NodeId> {
    let mut sources: Vec<NodeId> = nodes.iter().filter(|node| *node != target).cloned().collect();
    sources.sort_by_key(|node| node != first);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    use proto::{
        Actor, BlobErasureOrdered, EventId, NodeJoined, NodeWiped, OnConflict, RULES, ReplicaLost, ReplicationRedriven,
        Sha256Digest, SpaceId, SpaceName,
    };
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
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        })
    }

    fn only_copy(recorded: &Recorded) -> Job {
        let Asked::Copy(mut jobs) = Asked::read(recorded, &node("node-a"), &nodes()) else { panic!("no copy") };
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    fn wanted_copy(n: u128, source: &str) -> WantedCopy {
        WantedCopy {
            blob_id: blob(n),
            size_bytes: 3,
            sha256: Sha256Digest::of(b"abc"),
            slices_sha256: None,
            slice_bytes: None,
            space_id: SpaceId::new(Uuid::from_u128(1)),
            event_id: EventId::new(Uuid::from_u128(8)),
            source: node(source),
        }
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
        let job = only_copy(&uploaded("node-c"));
        assert_eq!(job.sources, [node("node-c"), node("node-b")]);
        assert_eq!(job.cause, 42);
        assert_eq!(job.meta.version_id, EventId::new(Uuid::from_u128(7)).version_id());
        assert!(job.is_new && !job.overwrite);
    }

    #[test]
    fn an_origin_that_is_not_configured_is_no_source() {
        assert_eq!(only_copy(&uploaded("node-x")).sources, [node("node-b"), node("node-c")]);
    }

    #[test]
    fn copies_that_are_lost_are_made_again_over_what_is_there() {
        let wanted = wanted_copy(2, "node-b");
        let lost = |replicas: Vec<WantedCopy>| {
            let (node, marker_id) = (node("node-a"), MarkerId::new(Uuid::from_u128(3)));
            let fact = ReplicaLost { node, marker_id, evaluated_at: 41, reason: "rot".to_owned(), replicas };
            recorded(event(Fact::ReplicaLost(fact)).encode())
        };
        let job = only_copy(&lost(vec![wanted.clone(), wanted]));
        assert!(job.overwrite && !job.is_new);
        assert_eq!((job.blob.blob_id, job.blob.size_bytes, job.cause), (blob(2), 3, 42));
        assert_eq!(job.sources, [node("node-b"), node("node-c")]);
        assert_eq!(job.meta.event_id, EventId::new(Uuid::from_u128(8)));
        assert_eq!(job.meta.version_id, EventId::new(Uuid::from_u128(8)).version_id());
        let asked = Asked::read(&lost(vec![wanted_copy(2, "node-b")]), &node("node-c"), &nodes());
        assert!(matches!(asked, Asked::Nothing(_)));
    }

    #[test]
    fn what_is_there_of_copies_that_are_asked_for_again_is_read() {
        let replicas = vec![wanted_copy(2, "node-c"), wanted_copy(4, "node-x")];
        let fact = Fact::ReplicationRedriven(ReplicationRedriven { node: node("node-a"), replicas });
        let asked = Asked::read(&recorded(event(fact).encode()), &node("node-a"), &nodes());
        let Asked::Copy(jobs) = asked else { panic!("no copies") };
        assert_eq!(jobs.iter().map(|job| job.blob.blob_id).collect::<Vec<_>>(), [blob(2), blob(4)]);
        assert!(jobs.iter().all(|job| job.overwrite && !job.is_new));
        assert_eq!(jobs[0].sources, [node("node-c"), node("node-b")]);
        assert_eq!(jobs[1].sources, [node("node-b"), node("node-c")]);
    }

    #[test]
    fn only_the_node_itself_is_filled_when_its_disk_is_new() {
        let (old_marker_id, marker_id) = (MarkerId::new(Uuid::from_u128(3)), MarkerId::new(Uuid::from_u128(4)));
        let wiped = NodeWiped { node: node("node-a"), old_marker_id, marker_id };
        let joined =
            NodeJoined { node: node("node-a"), marker_id, endpoint: "http://a".to_owned(), bucket: "b".to_owned() };
        for fact in [Fact::NodeWiped(wiped), Fact::NodeJoined(joined)] {
            let recorded = recorded(event(fact).encode());
            let asked = Asked::read(&recorded, &node("node-a"), &nodes());
            assert!(matches!(asked, Asked::Refill(found) if found == marker_id));
            assert!(matches!(Asked::read(&recorded, &node("node-b"), &nodes()), Asked::Nothing(_)));
        }
    }

    #[test]
    fn the_origin_itself_needs_no_copy() {
        assert!(matches!(Asked::read(&uploaded("node-a"), &node("node-a"), &nodes()), Asked::Nothing(_)));
    }

    #[test]
    fn only_the_nodes_that_an_upload_names_copy_it() {
        let Fact::FileUploaded(first) = upload("node-c") else { panic!("no upload") };
        let placed = |targets: &[&str]| {
            let targets = Some(targets.iter().map(|name| node(name)).collect());
            recorded(event(Fact::FileUploaded(FileUploaded { targets, ..first.clone() })).encode())
        };
        let job = only_copy(&placed(&["node-a", "node-c"]));
        assert_eq!(job.sources, [node("node-c"), node("node-b")]);
        let asked = Asked::read(&placed(&["node-b", "node-c"]), &node("node-a"), &nodes());
        assert!(matches!(asked, Asked::Nothing("the blob is placed on other nodes")));
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
