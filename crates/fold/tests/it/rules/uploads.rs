//! Uploads, instant ones too, and replicas.

use fold::rows::{BlobState, Outcome, ReplicaState};
use proto::{
    Fact, FileUploaded, MarkerId, NodeWiped, OnConflict, ReplicaStored, Sha256Digest, SpaceId, StoredReplica, VersionId,
};
use uuid::Uuid;

use crate::journal::{Journal, blob_id, event_id, main_space, marker};
use crate::store::Store;
use crate::world::{World, create_space, instant};

fn fold(journal: &Journal) -> Store {
    Store::fold(&journal.0, |_| true)
}

#[test]
fn an_upload_makes_folders_a_file_a_version_and_one_stored_replica() {
    let mut journal = Journal::new();
    journal.upload(1, "docs/2026/a.txt");
    let store = fold(&journal);
    let file = store.file(main_space(), "docs/2026/a.txt").unwrap();
    assert_eq!(file.version_id, event_id(1).version_id());
    assert_eq!(store.folders.len(), 3, "the root counts");
    assert_eq!(store.state(blob_id(1), "node-a"), Some(ReplicaState::Stored));
    assert_eq!(store.state(blob_id(1), "node-b"), Some(ReplicaState::Pending));
    let receipt = store.receipt(event_id(1));
    assert_eq!((receipt.outcome, receipt.seq), (Outcome::Applied, 5));
    assert_eq!(receipt.path.as_ref().unwrap().as_str(), "docs/2026/a.txt");
}

#[test]
fn a_second_upload_makes_a_version_of_the_same_file() {
    let mut journal = Journal::new();
    journal.upload(1, "a");
    journal.upload(2, "a");
    let store = fold(&journal);
    let file = store.file(main_space(), "a").unwrap();
    assert_eq!(file.version_id, event_id(2).version_id());
    assert_eq!((file.created_seq, file.changed_seq), (5, 6));
    assert_eq!(store.files.len(), 1);
    assert_eq!(store.versions.len(), 2);
}

#[test]
fn an_upload_over_a_folder_becomes_a_conflicted_copy() {
    let mut journal = Journal::new();
    journal.upload(1, "a.d/b");
    journal.upload(2, "a.d");
    journal.upload(3, "a.d");
    let store = fold(&journal);
    let receipt = store.receipt(event_id(2));
    assert_eq!(receipt.outcome, Outcome::ConflictedCopy);
    assert_eq!(receipt.reason.as_deref(), Some("name_taken_by_folder"));
    assert_eq!(receipt.path.as_ref().unwrap().as_str(), "a (conflicted copy alice 2026-11-23).d");
    assert_eq!(store.receipt(event_id(3)).path.as_ref().unwrap().as_str(), "a (conflicted copy alice 2026-11-23 2).d");
}

#[test]
fn an_upload_below_a_file_becomes_a_conflicted_copy_beside_it() {
    let mut journal = Journal::new();
    journal.upload(1, "x/a");
    journal.upload(2, "x/a/b/c.txt");
    let store = fold(&journal);
    let receipt = store.receipt(event_id(2));
    assert_eq!(receipt.reason.as_deref(), Some("parent_is_a_file"));
    assert_eq!(receipt.path.as_ref().unwrap().as_str(), "x/c (conflicted copy alice 2026-11-23).txt");
}

#[test]
fn an_upload_to_a_space_that_is_gone_is_kept_in_the_recovered_one() {
    let mut journal = Journal::new();
    let gone = SpaceId::new(Uuid::from_u128(7));
    for (id, path) in [(1, "a/b"), (2, "a/c")] {
        journal.upload_with(id, path, |uploaded| {
            uploaded.space_id = gone;
            uploaded.space = "team".parse().unwrap();
        });
    }
    let store = fold(&journal);
    for (id, path) in [(1, "team/a/b"), (2, "team/a/c")] {
        let receipt = store.receipt(event_id(id));
        assert_eq!(receipt.outcome, Outcome::ConflictedCopy);
        assert_eq!(receipt.space.as_ref().unwrap().as_str(), fold::RECOVERED_SPACE);
        assert_eq!(receipt.path.as_ref().unwrap().as_str(), path);
    }
    assert_eq!(store.spaces.len(), 2);
}

#[test]
fn preconditions_are_decided_by_the_order_of_the_log() {
    let seen = event_id(1).version_id();
    let cases = [
        (OnConflict::Fail, None, Outcome::Rejected, Some("file_exists")),
        (OnConflict::KeepBoth, None, Outcome::ConflictedCopy, Some("file_exists")),
        (OnConflict::Overwrite, None, Outcome::Applied, None),
        (OnConflict::Fail, Some(seen), Outcome::Applied, None),
        (OnConflict::KeepBoth, Some(seen), Outcome::Applied, None),
        (OnConflict::Fail, Some(VersionId::new(Uuid::nil())), Outcome::Rejected, Some("version_changed")),
        (OnConflict::Overwrite, Some(VersionId::new(Uuid::nil())), Outcome::Rejected, Some("version_changed")),
        (OnConflict::KeepBoth, Some(VersionId::new(Uuid::nil())), Outcome::ConflictedCopy, Some("version_changed")),
    ];
    for (on_conflict, if_version, outcome, reason) in cases {
        let mut journal = Journal::new();
        journal.upload(1, "a");
        journal.upload_with(2, "a", |uploaded| {
            uploaded.on_conflict = on_conflict;
            uploaded.if_version = if_version;
        });
        let store = fold(&journal);
        let receipt = store.receipt(event_id(2));
        assert_eq!((receipt.outcome, receipt.reason.as_deref()), (outcome, reason), "{on_conflict:?} {if_version:?}");
        assert!(store.blobs.contains_key(&blob_id(2)), "a blob is registered whatever the outcome");
    }
}

#[test]
fn an_event_id_is_applied_at_most_once() {
    let mut journal = Journal::new();
    journal.upload(1, "a");
    journal.upload(2, "a");
    journal.upload_with(1, "elsewhere", |uploaded| uploaded.blob_id = blob_id(9));
    let store = fold(&journal);
    assert_eq!(store.file(main_space(), "a").unwrap().version_id, event_id(2).version_id());
    assert!(store.file(main_space(), "elsewhere").is_none());
    assert_eq!(store.receipt(event_id(1)).seq, 5);
    assert_eq!(store.events.last().unwrap().outcome, Outcome::Repeated);
    assert!(store.blobs.contains_key(&blob_id(9)), "the repeated upload's blob has an owner");
}

#[test]
fn replicas_become_stored_and_parked_and_stored_again() {
    let mut journal = Journal::new();
    let cause = journal.upload(1, "a");
    journal.parked(2, "node-b", 1, cause);
    journal.stored(3, "node-c", &[(1, cause), (99, cause)]);
    let store = fold(&journal);
    assert_eq!(store.state(blob_id(1), "node-b"), Some(ReplicaState::Parked));
    assert_eq!(store.state(blob_id(1), "node-c"), Some(ReplicaState::Stored));
    assert_eq!(store.state(blob_id(99), "node-c"), None, "nobody uploaded it");
    journal.stored(4, "node-b", &[(1, cause)]);
    journal.parked(5, "node-b", 1, cause);
    let store = fold(&journal);
    assert_eq!(store.state(blob_id(1), "node-b"), Some(ReplicaState::Stored));
    assert_eq!(store.receipt(event_id(5)).reason.as_deref(), Some("already_stored"));
}

#[test]
fn reports_of_unknown_nodes_and_of_old_disks_do_not_count() {
    let mut journal = Journal::new();
    let cause = journal.upload(1, "a");
    journal.stored(2, "node-x", &[(1, cause)]);
    let store = fold(&journal);
    assert_eq!(store.receipt(event_id(2)).reason.as_deref(), Some("node_unknown"));

    let mut journal = Journal::new();
    journal.upload_with(1, "a", |uploaded| uploaded.marker_id = MarkerId::new(Uuid::nil()));
    let store = fold(&journal);
    assert_eq!(store.receipt(event_id(1)).outcome, Outcome::Applied);
    assert_eq!(store.state(blob_id(1), "node-a"), Some(ReplicaState::Lost));

    let cause = journal.0.len() as u64;
    journal.stored(2, "node-a", &[(1, cause - 1)]);
    assert_eq!(fold(&journal).state(blob_id(1), "node-a"), Some(ReplicaState::Lost), "asked for before the loss");
    journal.stored(3, "node-a", &[(1, cause)]);
    assert_eq!(fold(&journal).state(blob_id(1), "node-a"), Some(ReplicaState::Stored));
}

#[test]
fn a_node_that_joins_late_gets_every_blob_pending() {
    let mut journal = Journal::new();
    journal.upload(1, "a");
    journal.join(2, "node-d");
    journal.upload(3, "b");
    let store = fold(&journal);
    for blob in [1, 3] {
        assert_eq!(store.state(blob_id(blob), "node-d"), Some(ReplicaState::Pending));
    }
    journal.join(4, "node-d");
    assert_eq!(fold(&journal).receipt(event_id(4)).reason.as_deref(), Some("node_already_joined"));
    assert_eq!(store.nodes[&"node-d".parse().unwrap()].marker_id, marker("node-d"));
}

#[test]
fn garbage_in_the_journal_has_a_fixed_outcome_and_is_kept() {
    let mut journal = Journal::new();
    let n = journal.add_bytes("hw.v1.file_uploaded", b"garbage".to_vec());
    let store = fold(&journal);
    let event = store.events.last().unwrap();
    assert_eq!((event.seq, event.outcome, event.reason.as_deref()), (n, Outcome::Rejected, Some("undecodable")));
    assert_eq!(event.raw, b"garbage");
}

/// One client that makes conflicted copies of one name all day must not hold up everybody's projector.
#[test]
fn a_name_for_the_next_of_many_conflicted_copies_is_found_in_few_loads() {
    let mut world = World::with(&["a.txt"]);
    let keep_both =
        |world: &World| Fact::FileUploaded(FileUploaded { on_conflict: OnConflict::KeepBoth, ..world.upload("a.txt") });
    world.when(keep_both(&world)).copied("file_exists", "a (conflicted copy alice 2026-11-23).txt");
    for copy in 2..=400 {
        let path = format!("a (conflicted copy alice 2026-11-23 {copy}).txt");
        world.when(keep_both(&world)).copied("file_exists", &path);
    }
    // A gap is filled first.
    world.file_deleted("a (conflicted copy alice 2026-11-23 300).txt");
    let mut journal = world.journal.clone();
    journal.add(event_id(1), keep_both(&world));
    let rounds = world.store.rounds(journal.0.last().unwrap());
    assert!(rounds <= 8, "{rounds} loads");
    world.when(keep_both(&world)).copied("file_exists", "a (conflicted copy alice 2026-11-23 300).txt");
    world.when(keep_both(&world)).copied("file_exists", "a (conflicted copy alice 2026-11-23 401).txt");
}

#[test]
fn long_names_are_cut_to_fit() {
    let mut journal = Journal::new();
    let name = format!("{}.txt", "é".repeat(125));
    journal.upload(1, &name);
    journal.upload_with(2, &name, |uploaded| uploaded.on_conflict = OnConflict::KeepBoth);
    let path = fold(&journal).receipt(event_id(2)).path.clone().unwrap();
    assert!(path.as_str().len() <= proto::MAX_SEGMENT_BYTES);
    assert!(path.as_str().ends_with("é (conflicted copy alice 2026-11-23).txt"), "{path}");
}

#[test]
fn an_instant_upload_names_what_the_space_has() {
    let mut world = World::with(&["a"]);
    let upload = world.uploaded("b");
    let replicas = world.store.replicas.clone();
    let fact = instant("c/d", &upload);
    let then = world.when(Fact::FileUploaded(fact.clone()));
    then.applied();
    assert_eq!((then.receipt.blob_id, then.receipt.version_id), (Some(upload.blob_id), Some(then.id.version_id())));
    assert_eq!(world.store.blobs[&upload.blob_id].refs, 2);
    assert_eq!(world.store.replicas, replicas, "no bytes were sent");
    let keep_both = FileUploaded { on_conflict: OnConflict::KeepBoth, ..fact.clone() };
    world.when(Fact::FileUploaded(keep_both)).copied("file_exists", "c/d (conflicted copy alice 2026-11-23)");
    let fail = FileUploaded { on_conflict: OnConflict::Fail, ..fact };
    world.when(Fact::FileUploaded(fail)).rejected("file_exists");
}

#[test]
fn an_instant_upload_of_what_the_space_has_not_is_rejected() {
    let mut world = World::with(&["a"]);
    let upload = world.uploaded("b");
    let then = world.when(create_space("team"));
    let team = SpaceId::new(then.id.derive(0));
    let good = instant("c", &upload);
    let wrong = [
        FileUploaded { blob_id: blob_id(999), ..good.clone() },
        FileUploaded { space_id: team, ..good.clone() },
        FileUploaded { size_bytes: 6, ..good.clone() },
        FileUploaded { sha256: Sha256Digest::of(b"other"), ..good.clone() },
    ];
    for fact in wrong {
        world.when(Fact::FileUploaded(fact)).rejected("blob_unknown");
    }
    let gone = FileUploaded { space_id: SpaceId::new(Uuid::nil()), ..good };
    world.when(Fact::FileUploaded(gone)).rejected("space_gone");
    assert!(!world.store.blobs.contains_key(&blob_id(999)), "what nobody sent is not registered");
}

/// Else an acknowledged upload could not be read by anybody.
#[test]
fn an_instant_upload_of_what_no_node_holds_is_rejected() {
    let mut world = World::with(&["a"]);
    let upload = world.uploaded("b");
    let stored = |world: &World, node: &str| {
        let (marker_id, cause) = (world.store.nodes[&node.parse().unwrap()].marker_id, world.last_seq());
        let replicas = vec![StoredReplica { blob_id: upload.blob_id, cause }];
        Fact::ReplicaStored(ReplicaStored { node: node.parse().unwrap(), marker_id, replicas })
    };
    let wiped = |node: &str| {
        let (old_marker_id, marker_id) = (marker(node), marker(&format!("{node}, the second disk")));
        Fact::NodeWiped(NodeWiped { node: node.parse().unwrap(), old_marker_id, marker_id })
    };
    let again = Fact::FileUploaded(instant("c", &upload));
    world.when(stored(&world, "node-b")).applied();
    world.when(wiped("node-a")).applied();
    world.when(again.clone()).applied();
    world.when(wiped("node-b")).applied();
    world.when(again.clone()).rejected("blob_lost");
    world.when(stored(&world, "node-c")).applied();
    world.when(again).applied();
}

#[test]
fn a_repeated_instant_upload_brings_no_blob() {
    let mut world = World::with(&["a"]);
    let upload = world.uploaded("b");
    let fact = instant("c", &upload);
    let id = world.when(Fact::FileUploaded(fact.clone())).id;
    let rows = world.store.rows();
    world.add(id, Fact::FileUploaded(FileUploaded { blob_id: blob_id(999), ..fact }));
    assert_eq!(world.store.rows(), rows);
    let event = world.store.events.last().unwrap();
    assert_eq!((event.outcome, event.space_id, &event.path), (Outcome::Repeated, None, &None));
}

#[test]
fn an_upload_counts_as_a_name_of_its_folder_and_of_its_blob() {
    let mut world = World::with(&["d/a", "d/a", "d/b"]);
    assert_eq!((world.entries(""), world.entries("d")), (1, 2));
    let upload = world.upload("d/a");
    let fail = FileUploaded { on_conflict: OnConflict::Fail, ..upload };
    let blob = fail.blob_id;
    world.when(Fact::FileUploaded(fail)).rejected_upload("file_exists");
    assert_eq!(world.entries("d"), 2);
    assert_eq!((world.store.blobs[&blob].refs, world.store.blobs[&blob].state), (0, BlobState::Live));
    let event = world.store.events.last().unwrap();
    assert_eq!((event.space_id, event.path.as_ref().unwrap().as_str()), (Some(main_space()), "d/a"));
}
