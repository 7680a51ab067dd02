//! Where blobs shall be.

use fold::rows::ReplicaState;
use proto::{
    Fact, FileUploaded, MarkerId, NodeId, NodeWiped, Placement, PlacementChanged, ReplicaStored, ReplicationRedriven,
    StoredReplica,
};
use uuid::Uuid;

use ReplicaState::{Lost, Pending, Stored};

use crate::journal::{joined, marker};
use crate::world::World;

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn placed(copies: u32) -> Fact {
    let placement = Placement { copies: copies.try_into().ok(), ..Placement::default() };
    Fact::PlacementChanged(PlacementChanged { placement })
}

fn to(world: &World, path: &str, targets: &[&str]) -> FileUploaded {
    FileUploaded { targets: Some(targets.iter().map(|name| node(name)).collect()), ..world.upload(path) }
}

/// The states on node-a to node-d.
fn states(world: &World, upload: &FileUploaded) -> [Option<ReplicaState>; 4] {
    ["node-a", "node-b", "node-c", "node-d"].map(|name| world.store.state(upload.blob_id, name))
}

#[test]
fn an_upload_is_placed_on_the_nodes_that_it_names() {
    let mut world = World::new();
    let upload = to(&world, "a", &["node-a", "node-c", "node-never-there"]);
    world.when(Fact::FileUploaded(upload.clone())).applied();
    assert_eq!(states(&world, &upload), [Some(Stored), None, Some(Pending), None]);
    let everywhere = world.uploaded("b");
    assert_eq!(states(&world, &everywhere), [Some(Stored), Some(Pending), Some(Pending), None]);
}

#[test]
fn a_first_copy_elsewhere_counts_while_its_disk_is_there() {
    let mut world = World::new();
    let upload = to(&world, "a", &["node-b"]);
    world.when(Fact::FileUploaded(upload.clone())).applied();
    assert_eq!(states(&world, &upload), [Some(Stored), Some(Pending), None, None]);
    let gone = FileUploaded { marker_id: MarkerId::new(Uuid::nil()), ..to(&world, "b", &["node-b"]) };
    world.when(Fact::FileUploaded(gone.clone())).applied();
    assert_eq!(states(&world, &gone), [None, Some(Pending), None, None], "nobody is to copy it there");
    let gone = FileUploaded { marker_id: MarkerId::new(Uuid::nil()), ..to(&world, "c", &["node-a"]) };
    world.when(Fact::FileUploaded(gone.clone())).applied();
    assert_eq!(states(&world, &gone), [Some(Lost), None, None, None]);
}

#[test]
fn a_change_of_the_placement_moves_nothing() {
    let mut world = World::with(&["a"]);
    let before = world.store.replicas.clone();
    world.when(placed(2)).applied();
    assert_eq!(world.store.replicas, before);
    assert_eq!(world.store.placement.seq, world.last_seq());
    world.when(placed(2)).rejected("placement_unchanged");
    world.when(placed(0)).applied();
    world.when(placed(0)).rejected("placement_unchanged");
}

#[test]
fn a_node_that_joins_gets_all_there_is_only_when_blobs_are_everywhere() {
    let mut world = World::new();
    let upload = world.uploaded("a");
    world.when(placed(2)).applied();
    world.when(joined("node-d")).applied();
    assert_eq!(world.store.state(upload.blob_id, "node-d"), None);

    let mut world = World::new();
    let everywhere = world.uploaded("a");
    let named = to(&world, "b", &["node-b"]);
    world.when(Fact::FileUploaded(named.clone())).applied();
    world.when(joined("node-d")).applied();
    for upload in [everywhere, named] {
        assert_eq!(world.store.state(upload.blob_id, "node-d"), Some(Pending));
    }
}

#[test]
fn a_copy_is_asked_for_where_there_was_none() {
    let mut world = World::new();
    let upload = to(&world, "a", &["node-a"]);
    world.when(Fact::FileUploaded(upload.clone())).applied();
    let (marker_id, report) = (marker("node-b"), |cause| StoredReplica { blob_id: upload.blob_id, cause });
    let stored =
        |cause| Fact::ReplicaStored(ReplicaStored { node: node("node-b"), marker_id, replicas: vec![report(cause)] });
    let cause = world.last_seq();
    world.when(stored(cause)).applied();
    assert_eq!(world.store.state(upload.blob_id, "node-b"), None, "nobody asked for it");
    let replicas = world.wanted(&[upload.blob_id]);
    world.when(Fact::ReplicationRedriven(ReplicationRedriven { node: node("node-b"), replicas })).applied();
    assert_eq!(world.store.state(upload.blob_id, "node-b"), Some(Pending));
    let cause = world.last_seq();
    world.when(stored(cause)).applied();
    assert_eq!(states(&world, &upload), [Some(Stored), Some(Stored), None, None]);
}

#[test]
fn a_lost_disk_is_filled_with_what_was_placed_on_it() {
    let mut world = World::new();
    let there = to(&world, "a", &["node-b"]);
    world.when(Fact::FileUploaded(there.clone())).applied();
    let elsewhere = to(&world, "b", &["node-a"]);
    world.when(Fact::FileUploaded(elsewhere.clone())).applied();
    let wiped = NodeWiped { node: node("node-b"), old_marker_id: marker("node-b"), marker_id: marker("second") };
    world.when(Fact::NodeWiped(wiped)).applied();
    assert_eq!(world.store.state(there.blob_id, "node-b"), Some(Pending));
    assert_eq!(world.store.state(elsewhere.blob_id, "node-b"), None);
}
