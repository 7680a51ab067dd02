//! Disks that are lost, copies that are lost or asked for again, objects that no event names, and nodes that leave.

use fold::rows::{BlobState, ReplicaRow, ReplicaState};
use proto::{
    BlobCondemned, BlobId, Fact, FileUploaded, MarkerId, NodeRetired, NodeWiped, Orphan, ReplicaLost,
    ReplicationRedriven, Sha256Digest,
};
use uuid::Uuid;

use ReplicaState::{Erased, Lost, Parked, Pending, Stored};

use crate::journal::{Journal, blob_id, main_space, marker, parked};
use crate::store::Store;
use crate::world::{World, condemn, erased, order, stored};

const NOBODYS: MarkerId = MarkerId::new(Uuid::nil());

fn wiped(node: &str, old_marker_id: MarkerId, disk: &str) -> Fact {
    Fact::NodeWiped(NodeWiped { node: node.parse().unwrap(), old_marker_id, marker_id: marker(disk) })
}

fn retired(node: &str, marker_id: MarkerId) -> Fact {
    Fact::NodeRetired(NodeRetired { node: node.parse().unwrap(), marker_id })
}

fn found(blob: BlobId, node: &str) -> Fact {
    let (sha256, node) = (Sha256Digest::of(b"found"), node.parse().unwrap());
    let orphan = Orphan { blob_id: blob, size_bytes: 7, sha256, space_id: main_space(), node };
    Fact::BlobCondemned(BlobCondemned { blob_ids: Vec::new(), orphans: vec![orphan] })
}

/// A world with two files, and their blobs.
fn world() -> (World, BlobId, BlobId) {
    let world = World::with(&["a", "b"]);
    let [a, b] = ["a", "b"].map(|path| world.blob(path));
    (world, a, b)
}

/// A blob that nothing names.
fn unused(world: &mut World) -> BlobId {
    let upload = FileUploaded { if_version: Some(proto::VersionId::new(Uuid::nil())), ..world.upload("a") };
    world.when(Fact::FileUploaded(upload.clone())).rejected_upload("version_changed");
    upload.blob_id
}

fn row(world: &World, blob: BlobId, node: &str) -> ReplicaRow {
    world.store.replicas[&(blob, node.parse().unwrap())].clone()
}

#[test]
fn nothing_that_a_lost_disk_held_counts_any_more() {
    let (mut world, a, b) = world();
    let cause = world.last_seq();
    world.when(stored("node-b", marker("node-b"), a, cause)).applied();
    world.when(wiped("node-b", marker("node-b"), "second")).applied();
    let n = world.last_seq();
    let node = &world.store.nodes[&"node-b".parse().unwrap()];
    assert_eq!((node.marker_id, node.marker_seq), (marker("second"), n));
    for blob in [a, b] {
        let row = row(&world, blob, "node-b");
        assert_eq!((row.state, row.seq, row.fence_seq, row.attempts), (Pending, n, n, 0));
        assert_eq!(row.reason.as_deref(), Some("node_wiped"));
        assert_eq!(world.store.state(blob, "node-a"), Some(Stored), "the other nodes are as they were");
    }
    world.when(stored("node-b", marker("node-b"), a, n)).rejected("marker_outdated");
    world.when(stored("node-b", marker("second"), a, n - 1)).applied();
    assert_eq!(world.store.state(a, "node-b"), Some(Pending), "asked for before the disk was lost");
    world.when(stored("node-b", marker("second"), a, n)).applied();
    assert_eq!(world.store.state(a, "node-b"), Some(Stored));
}

#[test]
fn a_disk_is_lost_once_and_by_a_node_that_joined() {
    let (mut world, a, _) = world();
    world.when(wiped("node-x", marker("node-x"), "second")).rejected("node_unknown");
    world.when(wiped("node-b", NOBODYS, "second")).rejected("marker_outdated");
    world.when(wiped("node-b", marker("node-b"), "second")).applied();
    world.when(wiped("node-b", marker("node-b"), "third")).rejected("marker_outdated");
    // Its publisher ended before it wrote the marker: one more.
    world.when(wiped("node-b", marker("second"), "third")).applied();
    let n = world.last_seq();
    assert_eq!(row(&world, a, "node-b").fence_seq, n);
    world.when(stored("node-b", marker("second"), a, n)).rejected("marker_outdated");
}

#[test]
fn a_lost_disk_brings_nothing_back_that_was_erased() {
    let (mut world, a, b) = world();
    let [gone, going] = [unused(&mut world), unused(&mut world)];
    for blob in [gone, going] {
        world.when(condemn(&[blob])).applied();
        world.when(order(&[blob])).applied();
    }
    let cause = world.last_seq();
    world.when(erased("node-b", &[gone], cause)).applied();
    world.when(wiped("node-b", marker("node-b"), "second")).applied();
    assert_eq!(world.store.state(gone, "node-b"), Some(Erased));
    assert_eq!(world.store.state(going, "node-b"), Some(Erased), "it went with the disk");
    // The old disk's own report comes too late, and is not needed.
    world.when(erased("node-b", &[going], cause)).rejected("marker_outdated");
    assert_eq!(world.store.blobs[&going].state, BlobState::Erasing, "the others still have it");
    for node in ["node-a", "node-c"] {
        world.when(erased(node, &[going], cause)).applied();
    }
    assert_eq!(world.store.blobs[&going].state, BlobState::Erased);
    assert_eq!([a, b].map(|blob| world.store.state(blob, "node-b")), [Some(Pending); 2]);
}

#[test]
fn an_upload_to_a_disk_that_is_gone_is_no_copy() {
    let (mut world, ..) = world();
    let late = world.upload("late");
    world.when(wiped("node-a", marker("node-a"), "second")).applied();
    world.when(Fact::FileUploaded(late.clone())).applied();
    let row = row(&world, late.blob_id, "node-a");
    assert_eq!((row.state, row.fence_seq), (Lost, world.last_seq()));
}

#[test]
fn a_copy_that_is_lost_is_wanted_again() {
    let (mut world, a, b) = world();
    let evaluated_at = world.last_seq();
    let report = world.lost("node-a", &[a, b], evaluated_at);
    let stranger = ReplicaLost { node: "node-x".parse().unwrap(), ..report.clone() };
    world.when(Fact::ReplicaLost(stranger)).rejected("node_unknown");
    world.when(Fact::ReplicaLost(ReplicaLost { marker_id: NOBODYS, ..report.clone() })).rejected("marker_outdated");
    world.when(Fact::ReplicaLost(report.clone())).applied();
    let n = world.last_seq();
    assert_eq!(world.store.events.last().unwrap().blob_ids, [a, b]);
    let after = row(&world, a, "node-a");
    assert_eq!((after.state, after.seq, after.fence_seq, after.attempts), (Lost, n, n, 0));
    assert_eq!(after.reason.as_deref(), Some("it is not there"));
    world.when(Fact::ReplicaLost(report)).rejected("replicas_changed");
    world.when(stored("node-a", marker("node-a"), a, n - 1)).applied();
    assert_eq!(world.store.state(a, "node-a"), Some(Lost), "a report of a copy that was asked for before");
    world.when(stored("node-a", marker("node-a"), a, n)).applied();
    assert_eq!(world.store.state(a, "node-a"), Some(Stored));
    assert_eq!(world.store.state(b, "node-a"), Some(Lost));
}

#[test]
fn what_changed_since_somebody_looked_is_not_lost() {
    let (mut world, a, b) = world();
    let evaluated_at = world.last_seq();
    let first = world.lost("node-a", &[a], evaluated_at);
    world.when(Fact::ReplicaLost(first)).applied();
    let cause = world.last_seq();
    world.when(stored("node-a", marker("node-a"), a, cause)).applied();
    let stale = world.lost("node-a", &[a], evaluated_at);
    world.when(Fact::ReplicaLost(stale)).rejected("replicas_changed");
    let stale = world.lost("node-a", &[a, b], evaluated_at);
    world.when(Fact::ReplicaLost(stale)).applied();
    assert_eq!([a, b].map(|blob| world.store.state(blob, "node-a")), [Some(Stored), Some(Lost)]);
    let pending = world.lost("node-b", &[a, b], world.last_seq());
    world.when(Fact::ReplicaLost(pending)).rejected("replicas_changed");
}

#[test]
fn what_is_to_be_erased_is_never_lost_nor_wanted() {
    let (mut world, ..) = world();
    let blob = unused(&mut world);
    world.when(condemn(&[blob])).applied();
    world.when(order(&[blob])).applied();
    let cause = world.last_seq();
    let report = world.lost("node-a", &[blob], cause);
    world.when(Fact::ReplicaLost(report.clone())).rejected("replicas_changed");
    let again = world.redriven("node-a", &[blob]);
    world.when(again.clone()).rejected("replicas_changed");
    for node in ["node-a", "node-b", "node-c"] {
        world.when(erased(node, &[blob], cause)).applied();
    }
    world.when(Fact::ReplicaLost(ReplicaLost { evaluated_at: cause + 9, ..report })).rejected("replicas_changed");
    world.when(again).rejected("replicas_changed");
    assert_eq!(world.store.blobs[&blob].state, BlobState::Erased);
}

#[test]
fn what_was_given_up_or_lost_is_asked_for_again() {
    let (mut world, a, b) = world();
    let cause = world.last_seq();
    world.when(parked("node-b", a, 5)).applied();
    assert_eq!(world.store.state(a, "node-b"), Some(Parked));
    let report = world.lost("node-a", &[b], world.last_seq());
    world.when(Fact::ReplicaLost(report)).applied();
    let fence = world.last_seq();

    let again = world.redriven("node-x", &[a]);
    world.when(again).rejected("node_unknown");
    let again = world.redriven("node-a", &[a]);
    world.when(again).rejected("replicas_changed");
    let again = world.redriven("node-b", &[a, b]);
    world.when(again).applied();
    let n = world.last_seq();
    for blob in [a, b] {
        let row = row(&world, blob, "node-b");
        assert_eq!((row.state, row.seq, row.fence_seq, row.attempts, row.reason), (Pending, n, 0, 0, None));
    }
    world.when(stored("node-b", marker("node-b"), a, cause)).applied();
    assert_eq!(world.store.state(a, "node-b"), Some(Stored), "whatever asked for it, there is a copy");

    let again = world.redriven("node-a", &[a, b]);
    world.when(again).applied();
    let (kept, after) = (row(&world, a, "node-a"), row(&world, b, "node-a"));
    assert_eq!((kept.state, after.state, after.fence_seq), (Stored, Pending, fence), "the fence stays");
}

#[test]
fn what_nobody_asked_for_cannot_be_given_up() {
    let (mut world, a, _) = world();
    let cause = world.last_seq();
    world.when(parked("node-b", blob_id(999), cause)).rejected("replica_unknown");
    assert_eq!(world.store.events.last().unwrap().blob_ids, [blob_id(999)]);
    assert_eq!(world.store.state(blob_id(999), "node-b"), None);
    let elsewhere = FileUploaded { targets: Some(vec!["node-a".parse().unwrap()]), ..world.upload("c") };
    world.when(Fact::FileUploaded(elsewhere.clone())).applied();
    let cause = world.last_seq();
    world.when(parked("node-b", elsewhere.blob_id, cause)).rejected("replica_unknown");
    let again = world.redriven("node-b", &[elsewhere.blob_id]);
    world.when(again).applied();
    world.when(parked("node-b", elsewhere.blob_id, cause)).applied();
    assert_eq!(world.store.state(elsewhere.blob_id, "node-b"), Some(Parked));
    assert_eq!(world.store.state(a, "node-b"), Some(Pending));
}

#[test]
fn a_pair_that_was_never_made_is_made_when_it_is_asked_for() {
    let (mut world, ..) = world();
    let blob = unused(&mut world);
    world.journal.join(0x9001, "node-d");
    let recorded = world.journal.0.last().unwrap().clone();
    world.store.fold_one(&recorded);
    world.store.replicas.remove(&(blob, "node-d".parse().unwrap()));
    let again = world.redriven("node-d", &[blob]);
    world.when(again).applied();
    let row = row(&world, blob, "node-d");
    assert_eq!((row.state, row.seq, row.fence_seq), (Pending, world.last_seq(), 0));
    let mut unknown = world.wanted(&[blob]);
    unknown[0].blob_id = blob_id(999);
    let node = "node-d".parse().unwrap();
    world.when(Fact::ReplicationRedriven(ReplicationRedriven { node, replicas: unknown })).rejected("replicas_changed");
}

#[test]
fn an_object_that_no_event_names_is_known_and_condemned() {
    let (mut world, a, _) = world();
    let orphan = blob_id(77);
    world.when(found(a, "node-b")).rejected("blob_in_use");
    world.when(found(orphan, "node-b")).applied();
    let n = world.last_seq();
    assert_eq!(world.store.events.last().unwrap().blob_ids, [orphan]);
    let blob = &world.store.blobs[&orphan];
    assert_eq!((blob.state, blob.state_seq, blob.first_seq, blob.refs), (BlobState::Condemned, n, n, 0));
    assert_eq!((blob.size_bytes, blob.sha256, blob.space_id), (7, Sha256Digest::of(b"found"), main_space()));
    assert_eq!(world.store.state(orphan, "node-a"), None);
    let pair = row(&world, orphan, "node-b");
    assert_eq!((pair.state, pair.reason.as_deref()), (Stored, Some("orphan")));
    world.when(found(orphan, "node-c")).rejected("blob_in_use");

    let late = FileUploaded { blob_id: orphan, ..world.upload("late") };
    world.when(Fact::FileUploaded(late)).rejected("blob_condemned");
    assert!(world.store.item(main_space(), "late").is_none(), "nothing names it ever");

    world.when(order(&[orphan])).applied();
    let cause = world.last_seq();
    assert_eq!(world.store.blobs[&orphan].state, BlobState::Erasing);
    world.when(erased("node-b", &[orphan], cause)).applied();
    assert_eq!(world.store.blobs[&orphan].state, BlobState::Erased);
}

#[test]
fn an_object_on_a_node_that_never_joined_is_erased_nowhere() {
    let (mut world, ..) = world();
    let orphan = blob_id(77);
    world.when(found(orphan, "node-x")).applied();
    assert_eq!(world.store.state(orphan, "node-x"), None);
    world.when(order(&[orphan])).applied();
    assert_eq!(world.store.blobs[&orphan].state, BlobState::Erased);
}

#[test]
fn a_node_that_leaves_takes_its_pairs_along() {
    let (mut world, a, b) = world();
    world.when(retired("node-x", marker("node-x"))).rejected("node_unknown");
    world.when(retired("node-c", NOBODYS)).rejected("marker_outdated");
    world.when(retired("node-c", marker("node-c"))).applied();
    assert_eq!(world.store.nodes.len(), 2);
    assert_eq!([a, b].map(|blob| world.store.state(blob, "node-c")), [None; 2]);
    let cause = world.last_seq();
    world.when(stored("node-c", marker("node-c"), a, cause)).rejected("node_unknown");
    let upload = world.uploaded("new");
    assert_eq!(world.store.state(upload.blob_id, "node-c"), None, "nothing is placed on it");
    assert_eq!(world.store.state(upload.blob_id, "node-b"), Some(Pending));
}

#[test]
fn the_last_node_cannot_leave() {
    let mut journal = Journal::default();
    journal.join(0xc000, "node-a");
    let store = Store::fold(&journal.0, |_| false);
    let mut world = World { journal, store };
    world.when(retired("node-a", marker("node-a"))).rejected("last_node");
}

#[test]
fn a_blob_whose_erasure_waited_only_for_the_node_that_left_is_erased() {
    let (mut world, ..) = world();
    let [done, waiting] = [unused(&mut world), unused(&mut world)];
    for blob in [done, waiting] {
        world.when(condemn(&[blob])).applied();
        world.when(order(&[blob])).applied();
    }
    let cause = world.last_seq();
    for node in ["node-a", "node-b"] {
        world.when(erased(node, &[done], cause)).applied();
    }
    world.when(erased("node-a", &[waiting], cause)).applied();
    world.when(retired("node-c", marker("node-c"))).applied();
    let blob = &world.store.blobs[&done];
    assert_eq!((blob.state, blob.state_seq), (BlobState::Erased, world.last_seq()));
    assert_eq!(world.store.blobs[&waiting].state, BlobState::Erasing, "another one has it still");
    world.when(erased("node-b", &[waiting], cause)).applied();
    assert_eq!(world.store.blobs[&waiting].state, BlobState::Erased);
}
