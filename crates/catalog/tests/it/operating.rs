//! What people ask who run the system: what was given up, what to ask for again, why, and what one node alone holds.

use catalog::{GivenUp, Reader, Redrive, ReplicaState};
use proto::{
    BlobCondemned, BlobErased, BlobErasureOrdered, BlobId, ErasedBlob, Fact, MarkerId, NodeRetired, NodeWiped,
    ReplicaLost, ReplicationParked, WantedCopy,
};
use uuid::Uuid;

use crate::short::{catch_up, status};
use crate::world::{Journal, World, marker, node};

/// Everything that was given up, page by page.
async fn given_up(reader: &Reader, only: Option<&str>, limit: u32) -> Vec<GivenUp> {
    let (mut all, mut token, only) = (Vec::new(), String::new(), only.map(node));
    loop {
        let page = reader.given_up(only.as_ref(), limit, &token).await.unwrap();
        assert!(page.given_up.len() <= limit as usize);
        all.extend(page.given_up);
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

fn lose(journal: &mut Journal, on: &str, blob_id: BlobId) {
    let copy = WantedCopy {
        blob_id,
        size_bytes: 1,
        sha256: proto::Sha256Digest::of(b""),
        slices_sha256: None,
        slice_bytes: None,
        space_id: journal.space(),
        event_id: proto::EventId::new(Uuid::nil()),
        source: node("node-a"),
    };
    let (evaluated_at, reason) = (journal.n(), "missing".to_owned());
    let lost = ReplicaLost { node: node(on), marker_id: marker(on), evaluated_at, reason, replicas: vec![copy] };
    journal.publish(Fact::ReplicaLost(lost));
}

/// Orders the erasure of a blob that nothing names; the sequence of the order.
fn order_erasure(journal: &mut Journal, blob_id: BlobId) -> u64 {
    journal.publish(Fact::BlobCondemned(BlobCondemned { blob_ids: vec![blob_id], orphans: Vec::new() }));
    journal.publish(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: vec![blob_id] }));
    journal.n()
}

/// An upload that was refused because the path had another version: its blob is nobody's.
fn nobodys(journal: &mut Journal, path: &str) -> BlobId {
    journal.upload_as(path, 7, proto::OnConflict::Fail).1
}

#[tokio::test]
async fn what_was_given_up_is_told_page_by_page_with_a_place_in_the_tree() {
    let mut journal = Journal::begun(1);
    let (_, parked) = journal.upload("docs/a.txt", 5);
    journal.parked("node-b", parked, "the key is refused");
    let (_, lost) = journal.upload("docs/b.txt", 6);
    journal.stored("node-c", &[lost]);
    lose(&mut journal, "node-c", lost);
    let (_, replaced) = journal.upload("docs/c.txt", 7);
    journal.parked("node-b", replaced, "the node says no");
    journal.upload("docs/c.txt", 8);
    let erasing = nobodys(&mut journal, "docs/a.txt");
    let ordered = order_erasure(&mut journal, erasing);
    journal.publish(Fact::ReplicationParked(ReplicationParked {
        node: node("node-c"),
        marker_id: marker("node-c"),
        blob_id: erasing,
        cause: ordered,
        attempts: 3,
        reason: "it is locked".to_owned(),
    }));
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();

    let all = given_up(&reader, None, 10).await;
    for limit in 1..4 {
        assert_eq!(given_up(&reader, None, limit).await, all, "pages of {limit}");
    }
    let told: Vec<_> = all
        .iter()
        .map(|one| (one.node.as_str(), one.blob_id, one.state, one.reason.as_str(), one.path.as_deref()))
        .collect();
    let expected = [
        ("node-b", parked, ReplicaState::Parked, "the key is refused", Some("main/docs/a.txt")),
        ("node-b", replaced, ReplicaState::Parked, "the node says no", None),
        ("node-c", lost, ReplicaState::Lost, "missing", Some("main/docs/b.txt")),
        ("node-c", erasing, ReplicaState::Erasing, "it is locked", None),
    ];
    assert_eq!(told, expected);
    assert_eq!((all[0].attempts, all[0].size_bytes, all[3].attempts), (7, 5, 3));
    assert_eq!(given_up(&reader, Some("node-c"), 1).await, all[2..]);
    assert_eq!(given_up(&reader, Some("node-a"), 1).await, []);
    assert!(reader.given_up(Some(&node("node-a")), 1, "00").await.is_err());

    let status = status(&reader).await.unwrap();
    let counted: Vec<_> = status.nodes.iter().map(|n| (n.blobs_parked, n.blobs_lost, n.blobs_erasing)).collect();
    assert_eq!(counted, [(0, 0, 1), (2, 0, 1), (0, 1, 1)]);

    // What is copied in the end is none of it any more.
    journal.stored("node-b", &[parked, replaced]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(given_up(&reader, None, 10).await, all[2..]);
}

#[tokio::test]
async fn what_can_be_asked_for_again_has_all_that_a_copy_needs() {
    let mut journal = Journal::begun(1);
    let (uploaded, parked) = journal.upload("a", 5);
    journal.parked("node-b", parked, "refused");
    let (_, pending) = journal.upload("b", 6);
    journal.stored("node-c", &[pending]);
    let erasing = nobodys(&mut journal, "a");
    order_erasure(&mut journal, erasing);
    let up_to = journal.n();
    let (_, later) = journal.upload("c", 9);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let on = node("node-b");
    let what = Redrive { blob_id: None, pending: false, up_to };

    let copies = reader.open_copies(&on, what, None, 10).await.unwrap();
    assert_eq!(copies.len(), 1);
    let copy = &copies[0].copy;
    assert_eq!((copy.blob_id, copy.size_bytes, copy.event_id), (parked, 5, uploaded));
    assert_eq!((copy.space_id, copy.source.as_str()), (journal.space(), "node-a"));
    assert_eq!(reader.open_copies(&on, what, copies.last(), 10).await.unwrap(), []);

    let all = Redrive { pending: true, ..what };
    let ids = |copies: Vec<catalog::Wanted>| copies.iter().map(|one| one.copy.blob_id).collect::<Vec<_>>();
    assert_eq!(ids(reader.open_copies(&on, all, None, 10).await.unwrap()), [parked, pending], "{later} came later");
    let first = reader.open_copies(&on, all, None, 1).await.unwrap();
    assert_eq!(ids(reader.open_copies(&on, all, first.last(), 1).await.unwrap()), [pending]);
    let only = Redrive { blob_id: Some(parked), ..all };
    assert_eq!(ids(reader.open_copies(&on, only, None, 10).await.unwrap()), [parked]);

    assert_eq!(reader.open_erasures(Some(&on), what, None, 10).await.unwrap(), []);
    assert_eq!(reader.open_erasures(Some(&on), all, None, 10).await.unwrap(), [erasing]);
    assert_eq!(reader.open_erasures(None, all, Some(erasing), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_blob_is_explained_by_the_events_that_name_it_and_those_that_changed_all() {
    let mut journal = Journal::begun(1);
    journal.upload("other", 1);
    let (_, blob) = journal.upload("a", 5);
    let first = journal.n();
    journal.stored("node-b", &[blob]);
    let new = MarkerId::new(Uuid::from_u128(9));
    let (old_marker_id, marker_id) = (marker("node-b"), new);
    journal.publish(Fact::NodeWiped(NodeWiped { node: node("node-b"), old_marker_id, marker_id }));
    journal.join("node-d");
    journal.parked("node-c", blob, "refused");
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let explained = reader.explain(blob, 100).await.unwrap().unwrap();
    let seqs: Vec<u64> = explained.events.iter().map(|event| event.seq - first).collect();
    assert_eq!((seqs, explained.is_cut), (vec![0, 1, 2, 3, 4], false));
    let pairs: Vec<_> = explained.replicas.iter().map(|r| (r.node.as_str(), r.state.unwrap(), r.seq - first)).collect();
    let expected = [
        ("node-a", ReplicaState::Stored, 0),
        ("node-b", ReplicaState::Pending, 2),
        ("node-c", ReplicaState::Parked, 4),
        ("node-d", ReplicaState::Pending, 3),
    ];
    assert_eq!(pairs, expected);

    // What made the states stays, however few are asked for.
    let cut = reader.explain(blob, 1).await.unwrap().unwrap();
    let seqs: Vec<u64> = cut.events.iter().map(|event| event.seq - first).collect();
    assert_eq!((seqs, cut.is_cut), (vec![0, 2, 3, 4], true));
    assert!(reader.explain(BlobId::new(Uuid::nil()), 1).await.unwrap().is_none());

    // A node that was wiped before the blob came has nothing to do with it.
    let (_, younger) = journal.upload("b", 6);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.explain(younger, 10).await.unwrap().unwrap().events.len(), 1);

    // The last node that had to erase a blob is retired: that ends it.
    let gone = nobodys(&mut journal, "a");
    let cause = order_erasure(&mut journal, gone);
    for on in ["node-a", "node-c", "node-d"] {
        let blobs = vec![ErasedBlob { blob_id: gone, cause }];
        journal.publish(Fact::BlobErased(BlobErased { node: node(on), marker_id: marker(on), blobs }));
    }
    journal.publish(Fact::NodeRetired(NodeRetired { node: node("node-b"), marker_id: new }));
    catch_up(&mut writer, &reader, &journal).await;
    let explained = reader.explain(gone, 10).await.unwrap().unwrap();
    assert_eq!((explained.blob.state, explained.blob.state_seq), (catalog::BlobState::Erased, journal.n()));
    assert_eq!(explained.events.last().unwrap().kind, "highwater.node.retired.v1");
    assert_eq!(explained.replicas.len(), 3);
}

#[tokio::test]
async fn what_one_node_alone_holds_is_counted() {
    let mut journal = Journal::begun(1);
    let (_, first) = journal.upload("a", 5);
    let (_, second) = journal.upload("b", 6);
    journal.stored("node-b", &[first]);
    let gone = nobodys(&mut journal, "a");
    order_erasure(&mut journal, gone);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let (a, b, c) = (node("node-a"), node("node-b"), node("node-c"));
    let held = reader.held_only_by(&a, &[b.clone(), c.clone()]).await.unwrap();
    assert_eq!((held.only_there, held.pending_elsewhere, held.checkpoint), (1, 1, journal.n()));
    let held = reader.held_only_by(&a, std::slice::from_ref(&b)).await.unwrap();
    assert_eq!((held.only_there, held.pending_elsewhere), (1, 0), "nobody waits for node-c");
    let held = reader.held_only_by(&b, &[a.clone(), c.clone()]).await.unwrap();
    assert_eq!((held.only_there, held.pending_elsewhere), (0, 0));
    assert_eq!(reader.still_on_their_way_from(&a).await.unwrap(), 0);

    journal.publish(Fact::NodeRetired(NodeRetired { node: a.clone(), marker_id: marker("node-a") }));
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.still_on_their_way_from(&a).await.unwrap(), 1, "the second file");
    let names: Vec<_> = reader.joined().await.unwrap().into_iter().map(|row| row.node).collect();
    assert_eq!(names, [b, c]);
    journal.stored("node-c", &[second]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.still_on_their_way_from(&a).await.unwrap(), 0);
}
