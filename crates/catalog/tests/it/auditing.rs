//! What the nodes should hold.

use catalog::{BlobState, ReplicaState};
use proto::{BlobId, OnConflict, SLICE_BYTES};
use uuid::Uuid;

use crate::world::{Journal, World, marker, node};

#[tokio::test]
async fn blobs_are_answered_as_they_are_on_a_node() {
    let mut journal = Journal::begun(1);
    let (_, long) = journal.upload("long", SLICE_BYTES + 1);
    let (_, short) = journal.upload("short", 5);
    journal.stored("node-b", &[long]);
    let reported = journal.n();
    journal.upload_as("short", 6, OnConflict::Fail);
    let rejected = journal.last_upload().blob_id;
    journal.condemn(&[rejected]);
    journal.order_erasure(&[rejected]);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();

    let asked = [long, short, rejected, BlobId::new(Uuid::nil())];
    let (rows, at) = reader.audited(&node("node-b"), &asked).await.unwrap();
    assert_eq!(at, journal.n());
    let row = |blob| rows.iter().find(|row| row.blob_id == blob).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(row(long).replica, Some((ReplicaState::Stored, reported)));
    assert_eq!((row(long).size_bytes, row(long).slices.unwrap().1), (SLICE_BYTES + 1, SLICE_BYTES));
    assert_eq!((row(short).replica.unwrap().0, row(short).slices), (ReplicaState::Pending, None));
    assert_eq!((row(rejected).state, row(rejected).replica.unwrap().0), (BlobState::Erasing, ReplicaState::Erasing));
    let (rows, at) = reader.audited(&node("node-x"), &[short]).await.unwrap();
    assert_eq!((rows[0].replica, at), (None, journal.n()));
    assert_eq!(reader.audited(&node("node-b"), &[]).await.unwrap(), (Vec::new(), journal.n()));
    let markers = ["node-a", "node-b", "node-c"].map(|name| (node(name), marker(name)));
    assert_eq!(reader.markers().await.unwrap(), markers);
}

#[tokio::test]
async fn what_is_stored_on_a_node_is_paged_by_folder() {
    let mut journal = Journal::begun(2);
    let mut blobs: Vec<BlobId> = (0..40).map(|n| journal.upload(&format!("{n}"), 5).1).collect();
    blobs.sort_unstable();
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let here = node("node-a");
    let mut found = Vec::new();
    while let page = reader.stored_on(&here, 0..=u8::MAX, found.last().copied(), 7).await.unwrap()
        && !page.is_empty()
    {
        assert!(page.len() <= 7);
        found.extend(page);
    }
    assert_eq!(found, blobs);
    let mut parts = Vec::new();
    for folders in [0..=0x3f, 0x40..=0x40, 0x41..=u8::MAX] {
        let part = reader.stored_on(&here, folders.clone(), None, 100).await.unwrap();
        assert!(part.iter().all(|blob| folders.contains(&blob.uuid().as_bytes()[15])));
        parts.extend(part);
    }
    parts.sort_unstable();
    assert_eq!(parts, blobs);
    assert_eq!(reader.stored_on(&node("node-b"), 0..=u8::MAX, None, 100).await.unwrap(), []);
}

#[tokio::test]
async fn a_copy_is_asked_for_with_all_that_making_it_needs() {
    let mut journal = Journal::begun(3);
    let (event_id, long) = journal.upload("long", SLICE_BYTES + 1);
    let uploaded = journal.last_upload();
    let (_, short) = journal.upload("short", 5);
    journal.stored("node-b", &[long]);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();

    let wanted = reader.wanted_copies(&node("node-a"), &[long, short]).await.unwrap();
    let alone = (wanted[1].blob_id, wanted[1].source.as_str());
    assert_eq!((wanted.len(), alone), (2, (short, "node-a")), "no other node holds the short one");
    let copy = &wanted[0];
    assert_eq!((copy.blob_id, copy.event_id, copy.source.as_str()), (long, event_id, "node-b"));
    assert_eq!((copy.size_bytes, copy.sha256, copy.space_id), (SLICE_BYTES + 1, uploaded.sha256, uploaded.space_id));
    assert_eq!((copy.slices_sha256, copy.slice_bytes), (uploaded.slices_sha256, uploaded.slice_bytes));
    let wanted = reader.wanted_copies(&node("node-c"), &[short, long]).await.unwrap();
    let sources: Vec<_> = wanted.iter().map(|copy| (copy.blob_id, copy.source.as_str())).collect();
    assert_eq!(sources, [(long, "node-a"), (short, "node-a")], "where it was uploaded to, first");
}
