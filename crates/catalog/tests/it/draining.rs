//! How soon a backlog is gone, by the events of lately and nothing else. Each event is one second after the one before.

use std::time::Duration;

use proto::{BlobId, Fact, ReplicaLost, ReplicaStored, StoredReplica, WantedCopy};

use crate::short::time_of;
use crate::world::{Journal, World, marker, node};

const WINDOW: Duration = Duration::from_secs(20);

/// The last of the events that asked for the blobs of [`behind`].
const ASKED: u64 = 14;

/// What is told of `node-b` and `node-c` so many seconds after the last event.
async fn etas(journal: &Journal, after: u64) -> [Option<Duration>; 2] {
    let (_world, _writer, reader) = World::with(journal).await.unwrap();
    let status = reader.status(time_of(journal.n() + after), WINDOW).await.unwrap();
    assert_eq!(status.nodes[0].eta, Some(Duration::ZERO), "the node that takes all uploads lacks nothing");
    let again = reader.status(time_of(journal.n() + after), WINDOW).await.unwrap();
    assert_eq!(status.nodes, again.nodes);
    ["node-b", "node-c"].map(|id| status.nodes.iter().find(|told| told.node == node(id)).unwrap().eta)
}

/// Ten blobs of 1,000 bytes, of which nothing was heard for longer than the window.
fn behind() -> (Journal, Vec<BlobId>) {
    let mut journal = Journal::begun(1);
    let blobs = (0..10).map(|n| journal.upload(&format!("f{n}"), 1000).1).collect();
    assert_eq!(journal.n(), ASKED);
    (0..25).for_each(|_| journal.garbage());
    (journal, blobs)
}

/// Copies that the event `cause` asked for.
fn stored(journal: &mut Journal, on: &str, blobs: &[BlobId], cause: u64) {
    let replicas = blobs.iter().map(|&blob_id| StoredReplica { blob_id, cause }).collect();
    journal.publish(Fact::ReplicaStored(ReplicaStored { node: node(on), marker_id: marker(on), replicas }));
}

fn lost(journal: &mut Journal, on: &str, blob_id: BlobId, size_bytes: u64) {
    let (space_id, evaluated_at) = (journal.space(), journal.n());
    let event_id = proto::EventId::new(uuid::Uuid::from_u128(1));
    let sha256 = proto::Sha256Digest::of(b"");
    let (slices_sha256, slice_bytes, source) = (None, None, node("node-a"));
    let wanted = WantedCopy { blob_id, size_bytes, sha256, slices_sha256, slice_bytes, space_id, event_id, source };
    let (node, marker_id, reason) = (node(on), marker(on), "missing".to_owned());
    journal.publish(Fact::ReplicaLost(ReplicaLost { node, marker_id, evaluated_at, reason, replicas: vec![wanted] }));
}

#[tokio::test]
async fn what_was_stored_in_the_window_tells_how_soon_the_rest_is() {
    let (mut journal, blobs) = behind();
    stored(&mut journal, "node-b", &blobs[..3], ASKED);
    stored(&mut journal, "node-b", &blobs[3..4], ASKED);
    // Told twice, and refused: it counts once.
    stored(&mut journal, "node-b", &blobs[2..4], ASKED);
    let [b, c] = etas(&journal, 0).await;
    assert_eq!(b, Some(WINDOW * 6 / 4));
    assert_eq!(c, None, "nothing was stored there");
}

#[tokio::test]
async fn what_was_stored_before_the_window_does_not_count() {
    let (mut journal, blobs) = behind();
    stored(&mut journal, "node-b", &blobs[..4], ASKED);
    let [b, _] = etas(&journal, 19).await;
    assert_eq!(b, Some(WINDOW * 6 / 4));
    let [b, _] = etas(&journal, 20).await;
    assert_eq!(b, None, "the event at the beginning is before");
}

#[tokio::test]
async fn what_came_in_the_window_counts_against_it() {
    let (mut journal, blobs) = behind();
    stored(&mut journal, "node-b", &blobs[..4], ASKED);
    stored(&mut journal, "node-c", &blobs[..4], ASKED);
    let (_, passed) = journal.upload("passed", 9000);
    let cause = journal.n();
    stored(&mut journal, "node-b", &[passed], cause);
    stored(&mut journal, "node-c", &[passed], cause);
    journal.upload("new", 2000);
    lost(&mut journal, "node-c", blobs[0], 1000);
    let [b, c] = etas(&journal, 0).await;
    assert_eq!(b, Some(WINDOW * 8 / 2), "what came and was stored at once is no drain");
    // One of the four that were stored is lost again: three thousand bytes are stored, and three are asked for.
    assert_eq!(c, None);
}

#[tokio::test]
async fn of_more_reports_than_are_read_the_newest_tell() {
    let (mut journal, blobs) = behind();
    stored(&mut journal, "node-b", &blobs[..2], ASKED);
    // More than a mebibyte.
    stored(&mut journal, "node-b", &vec![blobs[9]; 20_000], ASKED);
    stored(&mut journal, "node-b", &blobs[2..5], ASKED);
    let [b, _] = etas(&journal, 2).await;
    assert_eq!(b, Some(Duration::from_secs(3) * 4 / 3), "three were stored in three seconds, and four are not there");
}

#[tokio::test]
async fn nothing_behind_takes_no_time() {
    let (mut journal, blobs) = behind();
    stored(&mut journal, "node-b", &blobs, ASKED);
    stored(&mut journal, "node-c", &blobs, ASKED);
    assert_eq!(etas(&journal, 0).await, [Some(Duration::ZERO); 2]);
}

#[tokio::test]
async fn a_journal_that_is_younger_than_the_window_tells_no_end() {
    let mut journal = Journal::begun(1);
    let (_, first) = journal.upload("first", 10);
    journal.upload("second", 10);
    journal.stored("node-b", &[first]);
    assert_eq!(etas(&journal, 0).await, [None, None]);
}
