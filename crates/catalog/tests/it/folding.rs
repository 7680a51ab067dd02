//! Loading and saving: whatever the batches, the same rows.

use catalog::{Digest, Outcome, ReplicaState, Snapshot};
use proto::{Item, StoredReplica};

use crate::changes::everything;
use crate::world::{Journal, World, fold_up_to, main_space, node, path};

/// Folds in batches of a size, with a new writer after the first `head` events: that one does not know what was saved before.
async fn digest(world: &World, batch: usize, head: usize, journal: &Journal) -> anyhow::Result<Digest> {
    let mut generations = world.generations().await?;
    let generation = generations.create(journal.incarnation).await?;
    for events in [&journal.events[..head], &journal.events[..]] {
        let mut writer = catalog::Writer::open_generation(&world.config, generation).await?;
        fold_up_to(&mut writer, events, batch).await?;
        writer.close().await;
    }
    let mut snapshot = Snapshot::open(&world.config, generation).await?;
    let digest = snapshot.digest().await?;
    snapshot.close().await;
    Ok(digest)
}

/// More than are saved row by row, of every table: new rows, and rows that change.
fn many(journal: &mut Journal) {
    let mut blobs = Vec::new();
    for n in 0..100 {
        let at = format!("many/{n}/a file.txt");
        let (upload, blob) = journal.upload(&at, 10 * 1024 * 1024 * (n % 2));
        blobs.push(blob);
        match n % 4 {
            0 => drop(journal.delete(&at, upload.file_id())),
            1 => drop(journal.upload(&at, 5)),
            2 => drop(journal.rename(&at, &format!("moved/{n}"), Item::File(upload.file_id()))),
            _ => journal.repeat(),
        }
    }
    journal.stored("node-b", &blobs);
    journal.stored("node-c", &[blobs[0], blobs[1], blobs[0]]);
}

#[tokio::test]
async fn batches_of_any_size_make_the_same_rows() {
    let world = World::new().await.unwrap();
    let mut journal = everything();
    let before = journal.events.len();
    many(&mut journal);
    let one = digest(&world, 1, before, &journal).await.unwrap();
    assert_eq!(one.checkpoint.n, journal.n());
    assert!(one.rows > 1350, "{one:?}");
    for (batch, head) in [(2, 0), (3, 7), (7, before), (150, 0), (1000, 0), (1000, before), (1000, before + 100)] {
        let digest = digest(&world, batch, head, &journal).await.unwrap();
        assert_eq!(digest, one, "batches of {batch}, another writer after {head} events");
    }
}

#[tokio::test]
async fn what_was_saved_is_read() {
    let mut journal = everything();
    let (upload, blob) = journal.upload("docs/new name é.txt", 9 * 1024 * 1024);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();

    assert_eq!(reader.space(&main_space()).await.unwrap(), Some(journal.space()));
    let receipt = reader.receipt(upload).await.unwrap().unwrap();
    assert_eq!((receipt.event_id, receipt.seq, receipt.outcome), (upload, journal.n(), Outcome::Applied));
    assert_eq!(receipt.path, Some(path("docs/new name é.txt")));
    assert_eq!(receipt.version_id, Some(upload.version_id()));
    assert_eq!(receipt.blob_id, Some(blob));
    assert!(receipt.fingerprint.is_some());

    let version = reader.version(upload.version_id()).await.unwrap().unwrap();
    assert_eq!(version.row.event_id, upload);
    assert_eq!(version.row.content_type, "text/plain");
    assert_eq!(version.row.modified_at, Some(time::OffsetDateTime::UNIX_EPOCH));
    assert_eq!(version.blob.size_bytes, 9 * 1024 * 1024);
    assert_eq!(version.blob.slice_bytes, Some(proto::SLICE_BYTES));
    assert!(version.blob.slices_sha256.is_some());
    let states: Vec<_> = version.replicas.iter().map(|r| (r.node.as_str(), r.state)).collect();
    let pending = Some(ReplicaState::Pending);
    let others = ["node-b", "node-c", "node-d", "node-e", "node-g"].map(|node| (node, pending));
    assert_eq!(states, [&[("node-a", Some(ReplicaState::Stored))][..], &others].concat());
    assert_eq!(reader.replicas(blob).await.unwrap(), version.replicas);
}

#[tokio::test]
async fn a_joining_node_gets_every_blob_pending_but_no_more() {
    let mut journal = Journal::begun(2);
    let (_, first) = journal.upload("a", 5);
    journal.join("node-d");
    let joined = journal.n();
    let cause = joined;
    journal.publish(proto::Fact::ReplicaStored(proto::ReplicaStored {
        node: node("node-d"),
        marker_id: crate::world::marker("node-d"),
        replicas: vec![StoredReplica { blob_id: first, cause }],
    }));
    let (_, second) = journal.upload("b", 7);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let on_d = |replicas: Vec<catalog::Replica>| replicas.into_iter().find(|r| r.node == node("node-d")).unwrap();
    let first = on_d(reader.replicas(first).await.unwrap());
    assert_eq!((first.state, first.seq), (Some(ReplicaState::Stored), joined + 1));
    let second = on_d(reader.replicas(second).await.unwrap());
    assert_eq!((second.state, second.seq), (Some(ReplicaState::Pending), joined + 2));
}
