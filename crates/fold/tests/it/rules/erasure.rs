//! Condemned, ordered, erased.

use fold::rows::{BlobState, ReplicaState};
use proto::{BlobId, Fact, FileUploaded, MarkerId, OnConflict};
use uuid::Uuid;

use crate::journal::{blob_id, event_id, marker, parked};
use crate::world::{World, condemn, erased, order, stored};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// A world with a blob that nothing names (its upload was rejected), and one that the file `a` has.
fn world() -> (World, BlobId, BlobId) {
    let mut world = World::with(&["a"]);
    let used = world.blob("a");
    let upload = FileUploaded { on_conflict: OnConflict::Fail, ..world.upload("a") };
    world.when(Fact::FileUploaded(upload.clone())).rejected_upload("file_exists");
    let row = &world.store.blobs[&upload.blob_id];
    assert_eq!((row.refs, row.state), (0, BlobState::Live));
    assert!(row.unreferenced_at.is_some());
    (world, upload.blob_id, used)
}

fn states(world: &World, blob: BlobId) -> (BlobState, Vec<ReplicaState>) {
    let replicas = NODES.iter().map(|node| world.store.state(blob, node).unwrap()).collect();
    (world.store.blobs[&blob].state, replicas)
}

#[test]
fn only_what_nothing_names_is_condemned() {
    let (mut world, unused, used) = world();
    world.when(condemn(&[used, blob_id(999)])).rejected("blob_in_use");
    world.when(condemn(&[used, unused, unused])).applied();
    assert_eq!(world.store.blobs[&used].state, BlobState::Live);
    let row = &world.store.blobs[&unused];
    assert_eq!((row.state, row.state_seq), (BlobState::Condemned, world.last_seq()));
    world.when(condemn(&[unused])).rejected("blob_in_use");
    assert_eq!(world.store.events.last().unwrap().blob_ids, [unused]);
}

#[test]
fn nothing_names_a_condemned_blob_again() {
    let (mut world, unused, _) = world();
    world.when(condemn(&[unused])).applied();
    let upload = FileUploaded { blob_id: unused, ..world.upload("b") };
    world.when(Fact::FileUploaded(upload.clone())).rejected("blob_condemned");
    world.when(Fact::FileUploaded(FileUploaded { instant: true, ..upload.clone() })).rejected("blob_unknown");
    let row = &world.store.blobs[&unused];
    let same = FileUploaded { instant: true, size_bytes: row.size_bytes, sha256: row.sha256, ..upload };
    world.when(Fact::FileUploaded(same)).rejected("blob_condemned");
}

#[test]
fn an_order_is_for_condemned_blobs() {
    use ReplicaState::{Erasing, Pending, Stored};
    let (mut world, unused, used) = world();
    world.when(order(&[unused, used, blob_id(999)])).rejected("not_condemned");
    world.when(condemn(&[unused])).applied();
    world.when(order(&[used, unused, unused])).applied();
    assert_eq!(states(&world, unused), (BlobState::Erasing, vec![Erasing; 3]));
    assert_eq!(states(&world, used), (BlobState::Live, vec![Stored, Pending, Pending]));
    let fence = world.store.replicas[&(unused, "node-a".parse().unwrap())].fence_seq;
    assert_eq!(fence, world.last_seq());
    world.when(order(&[used])).rejected("not_condemned");
}

#[test]
fn an_order_that_comes_again_is_for_the_nodes_that_have_not_obeyed() {
    use ReplicaState::{Erased, Erasing};
    let (mut world, unused, _) = world();
    world.when(condemn(&[unused])).applied();
    world.when(order(&[unused])).applied();
    let first = world.last_seq();
    world.when(erased("node-a", &[unused], first)).applied();
    let done = world.store.replicas[&(unused, "node-a".parse().unwrap())].clone();
    world.when(order(&[unused])).applied();
    let again = world.last_seq();
    assert_eq!(states(&world, unused), (BlobState::Erasing, vec![Erased, Erasing, Erasing]));
    assert_eq!(world.store.replicas[&(unused, "node-a".parse().unwrap())], done, "what is erased stays as it is");
    let row = &world.store.replicas[&(unused, "node-b".parse().unwrap())];
    assert_eq!((row.seq, row.fence_seq, row.attempts), (again, again, 0));
    world.when(erased("node-b", &[unused], first)).applied();
    assert_eq!(states(&world, unused).1[1], Erasing, "asked for before the second order");
    world.when(erased("node-b", &[unused], again)).applied();
    world.when(erased("node-c", &[unused], again)).applied();
    assert_eq!(states(&world, unused), (BlobState::Erased, vec![Erased; 3]));
    world.when(order(&[unused])).rejected("not_condemned");
}

#[test]
fn each_node_confirms_and_the_last_one_ends_the_blob() {
    use ReplicaState::{Erased, Erasing};
    let (mut world, unused, used) = world();
    world.when(condemn(&[unused])).applied();
    world.when(erased("node-a", &[unused], 99)).applied();
    assert_ne!(states(&world, unused).1[0], Erased, "nobody ordered it yet");
    world.when(order(&[unused])).applied();
    let cause = world.last_seq();
    world.when(erased("node-a", &[unused], cause - 1)).applied();
    assert_eq!(states(&world, unused).1[0], Erasing, "asked for before the order");
    world.when(erased("node-a", &[unused, unused, used, blob_id(999)], cause)).applied();
    world.when(erased("node-b", &[unused], cause)).applied();
    assert_eq!(states(&world, unused), (BlobState::Erasing, vec![Erased, Erased, Erasing]));
    world.when(erased("node-c", &[unused], cause)).applied();
    assert_eq!(states(&world, unused), (BlobState::Erased, vec![Erased; 3]));
    assert_eq!(world.store.blobs[&used].state, BlobState::Live);
    assert_eq!(world.store.state(blob_id(999), "node-a"), None);
}

#[test]
fn who_never_joined_or_lost_its_disk_confirms_nothing() {
    let (mut world, unused, _) = world();
    world.when(condemn(&[unused])).applied();
    world.when(order(&[unused])).applied();
    let cause = world.last_seq();
    world.when(erased("node-x", &[unused], cause)).rejected("node_unknown");
    let Fact::BlobErased(mut report) = erased("node-a", &[unused], cause) else { panic!("another kind") };
    report.marker_id = MarkerId::new(Uuid::nil());
    world.when(Fact::BlobErased(report)).rejected("marker_outdated");
}

#[test]
fn no_late_copy_brings_a_blob_back() {
    let (mut world, unused, _) = world();
    world.when(condemn(&[unused])).applied();
    let first = world.store.blobs[&unused].first_seq;
    let report = |world: &mut World, id, cause| {
        world.add(event_id(id), stored("node-b", marker("node-b"), unused, cause)).applied();
    };
    report(&mut world, 0x9001, first);
    assert_eq!(states(&world, unused).1[1], ReplicaState::Stored, "a condemned blob may still be copied");
    world.when(order(&[unused])).applied();
    let cause = world.last_seq();
    for (id, cause) in [(0x9002, first), (0x9003, cause), (0x9004, cause + 9)] {
        report(&mut world, id, cause);
        assert_eq!(states(&world, unused).1[1], ReplicaState::Erasing);
    }
    world.when(erased("node-b", &[unused], cause)).applied();
    report(&mut world, 0x9005, cause + 9);
    assert_eq!(states(&world, unused).1[1], ReplicaState::Erased);
}

#[test]
fn an_erasure_that_was_given_up_is_still_to_be_done() {
    let (mut world, unused, _) = world();
    world.when(condemn(&[unused])).applied();
    world.when(order(&[unused])).applied();
    let cause = world.last_seq();
    world.when(parked("node-b", unused, cause - 1)).rejected("cause_outdated");
    world.when(parked("node-b", unused, cause)).applied();
    let row = &world.store.replicas[&(unused, "node-b".parse().unwrap())];
    assert_eq!((row.state, row.attempts), (ReplicaState::Erasing, 5));
    assert_eq!(row.reason.as_deref(), Some("the node refuses the key"));
    world.when(erased("node-b", &[unused], cause)).applied();
    world.when(parked("node-b", unused, cause)).rejected("already_erased");
    assert_eq!(world.store.replicas[&(unused, "node-b".parse().unwrap())].reason, None);
}

#[test]
fn a_node_that_joins_gets_live_blobs_only() {
    let (mut world, unused, used) = world();
    world.when(condemn(&[unused])).applied();
    world.journal.join(0x9001, "node-d");
    let recorded = world.journal.0.last().unwrap().clone();
    world.store.fold_one(&recorded);
    assert_eq!(world.store.state(used, "node-d"), Some(ReplicaState::Pending));
    assert_eq!(world.store.state(unused, "node-d"), None);
    world.when(order(&[unused])).applied();
    let cause = world.last_seq();
    for node in NODES {
        world.when(erased(node, &[unused], cause)).applied();
    }
    assert_eq!(world.store.blobs[&unused].state, BlobState::Erased, "it was never placed on the fourth");
}

#[test]
fn a_blob_that_is_placed_nowhere_is_erased_at_once() {
    let mut world = World::default();
    world.add(crate::journal::SPACE_EVENT, crate::world::create_space("main")).applied();
    let upload = FileUploaded { if_version: Some(proto::VersionId::new(Uuid::nil())), ..world.upload("a") };
    world.when(Fact::FileUploaded(upload.clone())).rejected_upload("version_changed");
    world.when(condemn(&[upload.blob_id])).applied();
    world.when(order(&[upload.blob_id])).applied();
    assert_eq!(world.store.blobs[&upload.blob_id].state, BlobState::Erased);
}
