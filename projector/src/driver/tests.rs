use proto::{
    Actor, BlobId, EventId, Fact, MarkerId, NodeJoined, RULES, ReplicaStored, SpaceCreated, SpaceName, StoredReplica,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;

fn recorded(n: u64, payload: Vec<u8>) -> Recorded {
    Recorded { n, subject: "hw.v1.test".to_owned(), message_id: String::new(), payload: payload.into() }
}

fn event(n: u64, fact: Fact) -> Recorded {
    let event = Event {
        id: EventId::new(Uuid::from_u128(n.into())),
        source: "/highwater/test".to_owned(),
        time: OffsetDateTime::UNIX_EPOCH,
        actor: Actor::system(),
        request_id: None,
        fingerprint: None,
        rules: RULES,
        fact,
    };
    recorded(n, event.encode())
}

fn space(n: u64) -> Recorded {
    event(n, Fact::SpaceCreated(SpaceCreated { name: SpaceName::main() }))
}

fn joined(n: u64) -> Recorded {
    event(
        n,
        Fact::NodeJoined(NodeJoined {
            node: "node-a".parse().unwrap(),
            marker_id: MarkerId::new(Uuid::nil()),
            endpoint: String::new(),
            bucket: String::new(),
        }),
    )
}

fn stored(n: u64, replicas: u128) -> Recorded {
    let replica = |blob| StoredReplica { blob_id: BlobId::new(Uuid::from_u128(blob)), cause: 1 };
    event(
        n,
        Fact::ReplicaStored(ReplicaStored {
            node: "node-a".parse().unwrap(),
            marker_id: MarkerId::new(Uuid::nil()),
            replicas: (0..replicas).map(replica).collect(),
        }),
    )
}

fn decoded(recorded: Vec<Recorded>) -> Batch {
    let mut batch = Batch::default();
    let _ = recorded.into_iter().all(|recorded| batch.push(recorded));
    batch
}

fn cut(recorded: Vec<Recorded>, max_rows: usize) -> Vec<Vec<u64>> {
    let parts = parts(decoded(recorded).entries, max_rows);
    parts.iter().map(|part| part.iter().map(|entry| entry.recorded.n).collect()).collect()
}

#[test]
fn a_joining_node_ends_its_transaction() {
    assert_eq!(cut(vec![space(1), joined(2), space(3), joined(4)], 1000), [vec![1, 2], vec![3, 4]]);
}

#[test]
fn a_transaction_touches_a_limited_number_of_rows() {
    assert_eq!(cut(vec![stored(1, 10), stored(2, 10), stored(3, 10)], 30), [vec![1, 2], vec![3]]);
}

#[test]
fn one_event_may_touch_more_than_the_limit() {
    assert_eq!(cut(vec![stored(1, 50), stored(2, 50)], 30), [vec![1], vec![2]]);
}

#[test]
fn garbage_is_folded_and_a_later_versions_event_halts() {
    let later = String::from_utf8(space(3).payload.to_vec()).unwrap().replace("created.v1", "created.v2");
    let batch = decoded(vec![space(1), recorded(2, b"{".to_vec()), recorded(3, later.into_bytes()), space(4)]);
    assert_eq!(batch.entries.iter().map(|entry| entry.event.is_some()).collect::<Vec<_>>(), [true, false]);
    let halt = batch.halt.unwrap().to_string();
    for part in ["event 3", "highwater.space.created.v2", "a newer one is needed", "stays at event 2"] {
        assert!(halt.contains(part), "{halt}");
    }
}
