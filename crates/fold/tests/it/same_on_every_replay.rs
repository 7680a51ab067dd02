//! The same journal folds to the same rows, whatever the batches are.

use proptest::prelude::*;
use proto::{FileUploaded, OnConflict};

use crate::journal::Journal;
use crate::store::Store;

#[derive(Debug, Clone)]
enum Step {
    Upload { id: u128, path: &'static str, on_conflict: OnConflict },
    Stored { id: u128, node: &'static str, blob: u128, cause: u64 },
    Parked { id: u128, node: &'static str, blob: u128, cause: u64 },
    Join { id: u128, node: &'static str },
    Garbage,
}

fn step() -> impl Strategy<Value = Step> {
    let path = prop::sample::select(vec!["a", "a/b", "a/b/c", "b", "b/c", "d.txt", "d.txt/e"]);
    let node = prop::sample::select(vec!["node-a", "node-b", "node-c", "node-d", "node-e"]);
    let on_conflict = prop::sample::select(vec![OnConflict::Overwrite, OnConflict::Fail, OnConflict::KeepBoth]);
    // Few ids, so that some come twice.
    let id = 1..40_u128;
    prop_oneof![
        6 => (id.clone(), path, on_conflict).prop_map(|(id, path, on_conflict)| Step::Upload { id, path, on_conflict }),
        4 => (id.clone(), node.clone(), 1..40_u128, 1..60_u64)
            .prop_map(|(id, node, blob, cause)| Step::Stored { id, node, blob, cause }),
        1 => (id.clone(), node.clone(), 1..40_u128, 1..60_u64)
            .prop_map(|(id, node, blob, cause)| Step::Parked { id, node, blob, cause }),
        1 => (id, node).prop_map(|(id, node)| Step::Join { id, node }),
        1 => Just(Step::Garbage),
    ]
}

fn journal(steps: &[Step]) -> Journal {
    let mut journal = Journal::new();
    for step in steps {
        match step {
            Step::Upload { id, path, on_conflict } => {
                journal.upload_with(*id, path, |uploaded: &mut FileUploaded| uploaded.on_conflict = *on_conflict)
            }
            Step::Stored { id, node, blob, cause } => journal.stored(*id, node, &[(*blob, *cause)]),
            Step::Parked { id, node, blob, cause } => journal.parked(*id, node, *blob, *cause),
            Step::Join { id, node } => {
                journal.join(*id, node);
                0
            }
            Step::Garbage => journal.add_bytes("hw.v1.file_uploaded", b"{".to_vec()),
        };
    }
    journal
}

proptest! {
    #[test]
    fn batches_do_not_matter(steps in prop::collection::vec(step(), 0..60), cuts in prop::collection::vec(any::<bool>(), 80)) {
        let journal = journal(&steps);
        let one_by_one = Store::fold(&journal.0, |_| true);
        let all_at_once = Store::fold(&journal.0, |_| false);
        let cut = Store::fold(&journal.0, |n| cuts[usize::try_from(n).unwrap() % cuts.len()]);
        prop_assert_eq!(&one_by_one, &all_at_once);
        prop_assert_eq!(&one_by_one, &cut);
    }

    #[test]
    fn every_event_has_an_outcome_and_every_blob_a_state_on_every_node(steps in prop::collection::vec(step(), 0..60)) {
        let journal = journal(&steps);
        let store = Store::fold(&journal.0, |_| false);
        prop_assert_eq!(store.events.len(), journal.0.len());
        for blob in store.blobs.keys() {
            for node in store.nodes.keys() {
                prop_assert!(store.replicas.contains_key(&(*blob, node.clone())));
            }
        }
        for version in &store.versions {
            prop_assert!(store.blobs.contains_key(&version.blob_id));
            prop_assert!(store.files.contains_key(&version.file_id));
        }
    }
}
