//! What is true after every event, whatever came before.

use std::collections::{BTreeMap, BTreeSet};

use fold::rows::{BlobState, Outcome, ReplicaState, Target, VersionKind};
use proptest::prelude::*;
use proto::{Fact, FolderId, OnConflict, Recorded};

use crate::generated::{play, step};
use crate::store::Store;
use crate::world::World;

proptest! {
    #[test]
    fn hold_after_every_journal(steps in prop::collection::vec(step(), 0..80)) {
        let world = play(&steps);
        names(&world.store);
        entries(&world.store);
        items(&world.store);
        blobs(&world.store);
        replicas(&world);
        spaces(&world.store);
        outcomes(&world);
    }
}

/// A name stands for one thing at a time, and a thing has one name at a time.
fn names(store: &Store) {
    let mut by_place: BTreeMap<_, Vec<(u64, Option<u64>)>> = BTreeMap::new();
    let mut targets = BTreeSet::new();
    for row in store.names.values() {
        by_place.entry((row.parent, row.name.clone())).or_default().push((row.from_seq, row.to_seq));
        assert!(row.to_seq.is_none_or(|to| to > row.from_seq), "{row:?} is an interval");
        assert!(row.to_seq.is_some() || targets.insert(row.target), "{row:?} has another name");
        assert!(store.folders.contains_key(&row.parent));
    }
    for (place, intervals) in by_place {
        for pair in intervals.windows(2) {
            assert!(pair[0].1.is_some_and(|to| to <= pair[1].0), "{place:?} stands for two things");
        }
    }
}

fn entries(store: &Store) {
    let mut counted: BTreeMap<FolderId, u64> = BTreeMap::new();
    for row in store.names.values().filter(|row| row.to_seq.is_none()) {
        *counted.entry(row.parent).or_default() += 1;
    }
    for row in store.folders.values() {
        assert_eq!(row.entries, counted.get(&row.folder_id).copied().unwrap_or_default(), "{row:?}");
    }
}

/// Files and folders have a name unless they are deleted, and lie below a root or something deleted.
fn items(store: &Store) {
    let current: BTreeMap<Target, FolderId> =
        store.names.values().filter(|row| row.to_seq.is_none()).map(|row| (row.target, row.parent)).collect();
    for row in store.files.values() {
        assert_eq!(row.deleted_seq.is_none(), current.contains_key(&Target::File(row.file_id)), "{row:?}");
        let newest = store.versions.values().filter(|v| v.file_id == row.file_id).max_by_key(|v| v.seq).unwrap();
        assert_eq!(newest.version_id, row.version_id, "{row:?}");
        assert_eq!(newest.kind == VersionKind::Tombstone, row.deleted_seq.is_some(), "{row:?}");
        assert!(row.changed_seq >= newest.seq && row.created_seq <= newest.seq);
    }
    for row in store.folders.values() {
        let is_root = store.spaces.contains_key(&proto::SpaceId::new(row.folder_id.uuid()));
        let named = current.contains_key(&Target::Folder(row.folder_id));
        assert_eq!(row.deleted_seq.is_none(), named || is_root, "{row:?}");
        let mut above = row.folder_id;
        for _ in 0..store.folders.len() {
            let Some(parent) = current.get(&Target::Folder(above)) else { break };
            above = *parent;
            assert_ne!(above, row.folder_id, "a folder is in itself");
        }
    }
}

fn blobs(store: &Store) {
    for row in store.blobs.values() {
        let refs = store.versions.values().filter(|v| v.blob_id == Some(row.blob_id) && v.pruned_seq.is_none()).count();
        assert_eq!(row.refs, refs as u64, "{row:?}");
        assert_eq!(row.refs == 0, row.unreferenced_at.is_some(), "{row:?}");
        assert!(row.refs == 0 || row.state == BlobState::Live, "a version names {row:?}");
    }
    for row in store.versions.values() {
        assert_eq!(row.blob_id.is_none(), row.kind == VersionKind::Tombstone);
        assert_eq!(row.source_version.is_none(), row.kind == VersionKind::Upload);
        assert!(row.blob_id.is_none_or(|blob| store.blobs.contains_key(&blob)));
        assert!(store.files.contains_key(&row.file_id));
    }
}

/// Each pair of a blob and a node is in the state that the blob's is made of.
fn replicas(world: &World) {
    let store = &world.store;
    let is_everywhere = !world.journal.0.iter().any(places_on_some);
    assert!(store.replicas.values().all(|row| store.nodes.contains_key(&row.node)), "a pair with a node that is gone");
    for blob in store.blobs.values() {
        let of_blob: Vec<_> = store.replicas.values().filter(|row| row.blob_id == blob.blob_id).collect();
        let all = |wanted: &[ReplicaState]| of_blob.iter().all(|row| wanted.contains(&row.state));
        match blob.state {
            BlobState::Live if is_everywhere => {
                assert_eq!(of_blob.len(), store.nodes.len(), "{blob:?} is placed on each node");
            }
            BlobState::Live | BlobState::Condemned => {}
            BlobState::Erasing => {
                assert!(all(&[ReplicaState::Erasing, ReplicaState::Erased]), "{of_blob:?}");
                assert!(!all(&[ReplicaState::Erased]), "{of_blob:?}");
            }
            BlobState::Erased => assert!(all(&[ReplicaState::Erased]), "{of_blob:?}"),
        }
        if matches!(blob.state, BlobState::Live | BlobState::Condemned) {
            assert!(of_blob.iter().all(|row| !matches!(row.state, ReplicaState::Erasing | ReplicaState::Erased)));
        }
    }
}

/// Whether the event says that not all blobs shall be on all nodes.
fn places_on_some(recorded: &Recorded) -> bool {
    match recorded.decode().map(|event| event.fact) {
        Ok(Fact::FileUploaded(uploaded)) => uploaded.targets.is_some(),
        Ok(Fact::PlacementChanged(_)) => true,
        Ok(_) | Err(_) => false,
    }
}

fn spaces(store: &Store) {
    let mut names = BTreeSet::new();
    for row in store.spaces.values() {
        assert!(row.deleted_seq.is_some() || names.insert(row.name.clone()), "{row:?} has another's name");
        assert!(store.folders.contains_key(&row.space_id.root()), "{row:?} has no root");
    }
}

/// Every event has an outcome, and an upload of new bytes without a condition is never rejected, unless they were taken
/// for nobody's before.
fn outcomes(world: &World) {
    assert_eq!(world.store.events.len(), world.journal.0.len());
    for (event, recorded) in world.store.events.iter().zip(&world.journal.0) {
        assert_eq!(event.reason.is_none(), matches!(event.outcome, Outcome::Applied | Outcome::Repeated));
        let Ok(decoded) = recorded.decode() else { continue };
        assert!(world.store.receipts[&decoded.id].seq <= event.seq);
        if let Fact::FileUploaded(uploaded) = &decoded.fact {
            let sure = uploaded.if_version.is_none() && uploaded.on_conflict != OnConflict::Fail && !uploaded.instant;
            let is_late = event.reason.as_deref() == Some("blob_condemned");
            assert!(!sure || event.outcome != Outcome::Rejected || is_late, "{event:?}");
            assert!(uploaded.instant || world.store.blobs.contains_key(&uploaded.blob_id));
        }
    }
}
