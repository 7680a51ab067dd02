//! Golden journals: what was decided once is decided the same way for ever.
//!
//! `tests/golden/<name>.jsonl` is a journal, one event a line; `<name>.txt` tells the digests of the rows and receipts
//! that it folds to, and what became of each event. A journal that stands there is never changed: another rule needs
//! another `rules` number, and another journal. To add one, add it here and run the tests with `HIGHWATER_WRITE_GOLDEN=1`,
//! which writes the files that do not exist yet. When a row gets a column, the `.txt` files are removed and written anew: the
//! difference then shows that the digests alone have changed.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use fold::rows::PlacementRow;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use proto::{
    BlobCondemned, BlobErased, BlobErasureOrdered, ErasedBlob, Fact, FileCopied, FileMoved, FileUploaded, Incarnation,
    JournalRestored, NodeId, NodeRetired, NodeRule, NodeWiped, OnConflict, Orphan, Placement, PlacementChanged,
    Recorded, ReplicaLost, ReplicaStored, ReplicationRedriven, Sha256Digest, StoredReplica, Trash, VersionId,
};
use uuid::Uuid;

use crate::generated::{play, step};
use crate::journal::{Journal, blob_id, joined, main_space, marker, parked};
use crate::store::Store;
use crate::world::{
    World, condemn, create_folder, create_space, delete_space, erased, instant, order, rename_space, retain, stored,
    undelete,
};

#[test]
fn the_life_of_a_file() {
    check("life_of_a_file", || {
        let mut world = World::with(&["docs/report.txt", "docs/report.txt", "notes.txt"]);
        let first = world.store.versions.values().find(|row| row.seq == 5).unwrap().version_id;
        let copy = world.copy_to("docs/report.txt", "copies/report.txt");
        world.when(Fact::FileCopied(copy)).applied();
        let restore = world.restore("docs/report.txt", first);
        world.when(Fact::VersionRestored(restore)).applied();
        let moved = FileMoved { on_conflict: OnConflict::KeepBoth, ..world.move_to("notes.txt", "docs/report.txt") };
        world.when(Fact::FileMoved(moved));
        let moved = world.move_to("docs", "archive/docs");
        world.when(Fact::FileMoved(moved)).applied();
        let stale = world.delete("archive/docs/report.txt");
        let item = world.file_deleted("archive/docs/report.txt");
        world.when(Fact::FileDeleted(stale)).rejected("moved");
        world.when(Fact::FileUndeleted(undelete(item, "report.txt"))).applied();
        let upload = world.uploaded("fresh.txt");
        let instant = instant("again.txt", &upload);
        world.when(Fact::FileUploaded(instant)).applied();
        world
    });
}

#[test]
fn folders_and_spaces() {
    check("folders_and_spaces", || {
        let mut world = World::with(&["a/b/c"]);
        world.when(create_folder("a/d/e")).applied();
        world.when(create_folder("a/b/c")).rejected("file_exists");
        let item = world.folder_deleted("a/b");
        world.when(Fact::FileUndeleted(undelete(item, "a/d/b"))).applied();
        let into = world.move_to("a", "a/d/x");
        world.when(Fact::FileMoved(into)).rejected("into_itself");
        world.when(create_space("team")).applied();
        world.when(rename_space(main_space(), "team")).rejected("space_exists");
        world.when(rename_space(main_space(), "home")).applied();
        world.when(create_space("main")).applied();
        world.when(delete_space(main_space(), false)).rejected("space_not_empty");
        world.when(delete_space(main_space(), true)).applied();
        let upload = world.upload("a/late");
        world.when(Fact::FileUploaded(upload)).copied("space_gone", "main/a/late");
        world
    });
}

#[test]
fn retention_and_erasure() {
    check("retention_and_erasure", || {
        let mut world = World::with(&["a", "a", "b"]);
        world.when(retain(Some(1), Some(30))).applied();
        let (file, trashed) = (world.file("a"), world.file("b"));
        let first = world.store.versions.values().find(|row| row.seq == 5).unwrap();
        let (first, blob_id) = (first.version_id, first.blob_id.unwrap());
        let content = world.version("b");
        world.file_deleted("b");
        let current = world.version("a");
        let prune =
            world.prune(&[(first, file, None), (current, file, None), (content, trashed, Some(Trash::File(trashed)))]);
        world.when(Fact::VersionsPruned(prune)).applied();
        let blob_ids: Vec<_> = world.store.blobs.keys().copied().collect();
        world.when(Fact::BlobCondemned(BlobCondemned { blob_ids: blob_ids.clone(), orphans: Vec::new() })).applied();
        world.when(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids })).applied();
        let cause = world.last_seq();
        for node in ["node-a", "node-b", "node-c"] {
            let (marker_id, blobs) = (marker(node), vec![ErasedBlob { blob_id, cause }]);
            let node = node.parse().unwrap();
            world.when(Fact::BlobErased(BlobErased { node, marker_id, blobs })).applied();
        }
        world
    });
}

#[test]
fn disks_that_are_lost_and_nodes_that_leave() {
    check("wiped_and_retired", || {
        let mut world = World::with(&["a", "b"]);
        let [a, b] = ["a", "b"].map(|path| world.blob(path));
        let node = |name: &str| name.parse::<NodeId>().unwrap();
        let (old_marker_id, marker_id) = (marker("node-b"), marker("node-b, the second disk"));
        let wiped = NodeWiped { node: node("node-b"), old_marker_id, marker_id };
        world.when(Fact::NodeWiped(wiped.clone())).applied();
        let cause = world.last_seq();
        world.when(Fact::NodeWiped(wiped)).rejected("marker_outdated");
        let replicas = vec![StoredReplica { blob_id: a, cause: cause - 1 }, StoredReplica { blob_id: b, cause }];
        world.when(Fact::ReplicaStored(ReplicaStored { node: node("node-b"), marker_id, replicas })).applied();
        let lost = ReplicaLost {
            node: node("node-a"),
            marker_id: marker("node-a"),
            evaluated_at: world.last_seq(),
            reason: "it is not there".to_owned(),
            replicas: world.wanted(&[a, b]),
        };
        world.when(Fact::ReplicaLost(lost)).applied();
        let replicas = world.wanted(&[a]);
        world.when(Fact::ReplicationRedriven(ReplicationRedriven { node: node("node-b"), replicas })).applied();
        let sha256 = Sha256Digest::of(b"found");
        let orphan =
            Orphan { blob_id: blob_id(77), size_bytes: 5, sha256, space_id: main_space(), node: node("node-c") };
        world.when(Fact::BlobCondemned(BlobCondemned { blob_ids: vec![a], orphans: vec![orphan] })).applied();
        world.when(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: vec![blob_id(77)] })).applied();
        world.when(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: vec![blob_id(77)] })).applied();
        let retired = NodeRetired { node: node("node-c"), marker_id: marker("node-c") };
        world.when(Fact::NodeRetired(retired.clone())).applied();
        world.when(Fact::NodeRetired(retired)).rejected("node_unknown");
        world.uploaded("c");
        world
    });
}

#[test]
fn placed_on_some_nodes() {
    check("placed", || {
        let mut world = World::with(&["a"]);
        let node = |name: &str| name.parse::<NodeId>().unwrap();
        let nodes = [(node("node-a"), NodeRule { weight: 3.try_into().unwrap(), zone: "north".parse().ok() })];
        let placement = Placement { copies: 2.try_into().ok(), nodes: nodes.into() };
        world.when(Fact::PlacementChanged(PlacementChanged { placement: placement.clone() })).applied();
        world.when(Fact::PlacementChanged(PlacementChanged { placement })).rejected("placement_unchanged");
        let targets = Some(vec![node("node-b"), node("node-c")]);
        let upload = FileUploaded { targets, ..world.upload("b") };
        world.when(Fact::FileUploaded(upload.clone())).applied();
        world.when(joined("node-d")).applied();
        let replicas = world.wanted(&[upload.blob_id]);
        world.when(Fact::ReplicationRedriven(ReplicationRedriven { node: node("node-d"), replicas })).applied();
        world.when(Fact::PlacementChanged(PlacementChanged { placement: Placement::default() })).applied();
        world.uploaded("c");
        world
    });
}

#[test]
fn what_is_given_up_and_what_is_refused() {
    check("given_up_and_refused", || {
        let mut world = World::with(&["a", "a", "b"]);
        give_up(&mut world);
        refuse_places(&mut world);
        refuse_content(&mut world);
        refuse_nodes(&mut world);
        world
    });
}

/// Copies and erasures that are given up, and reports that come too late for it.
fn give_up(world: &mut World) {
    let blob = world.blob("a");
    let cause = world.last_seq();
    world.when(parked("node-b", blob, cause)).applied();
    world.when(parked("node-b", blob_id(999), cause)).rejected("replica_unknown");
    world.when(stored("node-b", marker("node-b"), blob, cause)).applied();
    world.when(parked("node-b", blob, cause)).rejected("already_stored");
    let report = world.lost("node-b", &[blob], world.last_seq());
    world.when(Fact::ReplicaLost(report.clone())).applied();
    let asked = world.last_seq();
    world.when(Fact::ReplicaLost(report)).rejected("replicas_changed");
    world.when(parked("node-b", blob, cause)).rejected("cause_outdated");
    world.when(parked("node-b", blob, asked)).applied();
    let redriven = world.redriven("node-a", &[blob]);
    world.when(redriven).rejected("replicas_changed");
    let redriven = world.redriven("node-b", &[blob]);
    world.when(redriven).applied();

    let late = FileUploaded { on_conflict: OnConflict::Fail, ..world.upload("a") };
    world.when(Fact::FileUploaded(late.clone())).rejected_upload("file_exists");
    world.when(condemn(&[late.blob_id])).applied();
    world.when(order(&[late.blob_id])).applied();
    let cause = world.last_seq();
    world.when(parked("node-c", late.blob_id, cause)).applied();
    for node in ["node-a", "node-b", "node-c"] {
        world.when(erased(node, &[late.blob_id], cause)).applied();
    }
    world.when(parked("node-c", late.blob_id, cause)).rejected("already_erased");
    let redriven = world.redriven("node-c", &[late.blob_id]);
    world.when(redriven).rejected("replicas_changed");
}

/// Nothing is below a file.
fn refuse_places(world: &mut World) {
    world.when(create_folder("a/x")).rejected("parent_is_a_file");
    let only_new = FileUploaded { on_conflict: OnConflict::Fail, ..world.upload("a/x") };
    world.when(Fact::FileUploaded(only_new)).rejected_upload("parent_is_a_file");
    let upload = world.upload("a/x");
    world.when(Fact::FileUploaded(upload)).copied("parent_is_a_file", "x (conflicted copy alice 2026-11-23)");
    let moved = world.move_to("b", "a/x");
    world.when(Fact::FileMoved(moved)).rejected("parent_is_a_file");
    let copied = world.copy_to("b", "a/x");
    world.when(Fact::FileCopied(copied)).rejected("parent_is_a_file");
    let item = world.file_deleted("b");
    world.when(Fact::FileUndeleted(undelete(item, "a/x"))).rejected("parent_is_a_file");
    world.when(Fact::FileUndeleted(undelete(item, "b"))).applied();
}

/// Content that is not there, or not for long.
fn refuse_content(world: &mut World) {
    let upload = world.uploaded("c");
    let other = FileUploaded { size_bytes: upload.size_bytes + 1, ..instant("d", &upload) };
    world.when(Fact::FileUploaded(other)).rejected("blob_unknown");
    let report = world.lost("node-a", &[upload.blob_id], world.last_seq());
    world.when(Fact::ReplicaLost(report)).applied();
    world.when(Fact::FileUploaded(instant("d", &upload))).rejected("blob_lost");

    let (file, old) = (world.file("c"), world.version("c"));
    world.uploaded("c");
    let [b, nobodys] = [world.version("b"), VersionId::new(Uuid::nil())];
    for wrong in [b, nobodys] {
        let restored = world.restore("c", wrong);
        world.when(Fact::VersionRestored(restored)).rejected("version_unknown");
        let copied = FileCopied { version_id: wrong, ..world.copy_to("c", "d") };
        world.when(Fact::FileCopied(copied)).rejected("version_unknown");
    }
    let pruned = world.prune(&[(old, file, None)]);
    world.when(Fact::VersionsPruned(pruned)).applied();
    let restored = world.restore("c", old);
    world.when(Fact::VersionRestored(restored)).rejected("version_pruned");
    let copied = FileCopied { version_id: old, ..world.copy_to("c", "d") };
    world.when(Fact::FileCopied(copied)).rejected("version_pruned");

    world.when(condemn(&[upload.blob_id])).applied();
    world.when(Fact::FileUploaded(instant("d", &upload))).rejected("blob_condemned");
    let again = FileUploaded { path: "d".parse().unwrap(), ..upload };
    world.when(Fact::FileUploaded(again)).rejected("blob_condemned");
}

/// A node joins once, and the last one stays.
fn refuse_nodes(world: &mut World) {
    let retired = |name: &str| Fact::NodeRetired(NodeRetired { node: name.parse().unwrap(), marker_id: marker(name) });
    world.when(joined("node-a")).rejected("node_already_joined");
    world.when(retired("node-c")).applied();
    world.when(joined("node-c")).applied();
    for name in ["node-a", "node-c"] {
        world.when(retired(name)).applied();
    }
    world.when(retired("node-b")).rejected("last_node");
    world.uploaded("e");
}

/// Events that only the surviving journal had come after those that both had, and after the note that says so.
#[test]
fn a_restored_journal() {
    check("restored_journal", || {
        let mut world = World::with(&["a", "b"]);
        let last_common = world.last_seq();
        let old_incarnation = Incarnation::new(Uuid::from_u128(7));
        world.when(Fact::JournalRestored(JournalRestored { old_incarnation, last_common })).applied();
        world.uploaded("c");
        let again = world.last_seq();
        world.when(Fact::JournalRestored(JournalRestored { old_incarnation, last_common: again })).applied();
        world
    });
}

#[test]
fn many_steps_over_few_names() {
    check("many_steps", || {
        let mut runner = TestRunner::deterministic();
        let steps = proptest::collection::vec(step(), 150).new_tree(&mut runner).unwrap().current();
        play(&steps)
    });
}

fn check(name: &str, make: impl FnOnce() -> World) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (journal_file, told_file) = (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.txt")));
    let write = std::env::var_os("HIGHWATER_WRITE_GOLDEN").is_some();
    if write && !journal_file.exists() {
        fs::create_dir_all(&folder).unwrap();
        let world = make();
        let lines = world.journal.0.iter().flat_map(|recorded| [&recorded.payload[..], b"\n"]);
        fs::write(&journal_file, lines.flatten().copied().collect::<Vec<u8>>()).unwrap();
    }
    let mut journal = Journal::default();
    for line in fs::read(&journal_file).unwrap().split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        journal.add_bytes("", line.to_vec());
    }
    if write && !told_file.exists() {
        fs::write(&told_file, tell(&journal.0)).unwrap();
    }
    let told = fs::read_to_string(&told_file).unwrap();
    assert_eq!(tell(&journal.0), told, "{name}: something is decided in another way than it was");
}

/// The digests of all that the journal folds to, and what became of each event.
fn tell(journal: &[Recorded]) -> String {
    let store = Store::fold(journal, |n| n % 7 == 0);
    let digest = |text: String| Sha256Digest::of(text.as_bytes());
    // What was added to the rows later is left out while it says nothing, so that earlier journals keep their digests.
    let rows =
        digest(format!("{:?}", store.rows()).replace(&format!("placement: {:?}, ", PlacementRow::default()), ""));
    let receipts = digest(format!("{:?}", store.receipts));
    let mut text = format!("rows {rows}\nreceipts {receipts}\n");
    for row in &store.events {
        write!(text, "{} {} {}", row.seq, row.kind, row.outcome).unwrap();
        if let Some(reason) = &row.reason {
            write!(text, ": {reason}").unwrap();
        }
        if let Some(path) = &row.path {
            write!(text, " [{path}]").unwrap();
        }
        writeln!(text).unwrap();
    }
    text
}
