use std::collections::BTreeMap;

use proto::{BlobId, StoredReplica};
use runtime::config::{Environment, Faults, Options, load};
use uuid::Uuid;

use super::*;

const NODES: &str = r#"[
    {"id": "node-a", "endpoint": "http://127.0.0.1:9001", "region": "us-east-1", "bucket": "highwater",
     "access_key": "a", "secret_key_file": "/a"},
    {"id": "node-b", "endpoint": "http://127.0.0.1:9002", "region": "us-east-1", "bucket": "highwater",
     "access_key": "b", "secret_key_file": "/b"}
]"#;

fn loaded(set: &[&str]) -> Result<Config, Faults> {
    let options = Options { set: set.iter().map(ToString::to_string).collect(), ..Options::default() };
    let env = Environment::of(BTreeMap::from([("HIGHWATER_NODES".to_owned(), NODES.to_owned())]));
    load(DEFAULTS, &options, &env).map(|loaded| loaded.value)
}

#[test]
fn the_libraries_tables_have_the_libraries_defaults() {
    let config = loaded(&[]).unwrap();
    assert_eq!(config.nats, journal::Config::default());
    assert_eq!(config.blobs, blobs::Config::default());
    assert_eq!(config.targets(), config.node_ids());
}

#[test]
fn an_unknown_target_is_a_fault() {
    let faults = loaded(&[r#"replicator.serve=["node-x"]"#]).unwrap_err();
    assert!(faults.to_string().contains("node-x is not one of the configured nodes"), "{faults}");
}

#[test]
fn the_waiting_are_at_most_a_quarter_of_the_unacknowledged() {
    let faults = loaded(&["nats.max_ack_pending=100", "replicator.max_waiting=26"]).unwrap_err();
    assert!(faults.to_string().contains("at most 25"), "{faults}");
}

#[test]
fn the_longest_list_of_copies_stays_below_32_kib() {
    let replica = StoredReplica { blob_id: BlobId::new(Uuid::from_u128(u128::MAX)), cause: u64::MAX };
    let replicas = vec![replica; MAX_CONFIRMED_AT_ONCE];
    let list = proto::ReplicaStored {
        node: "n".repeat(32).parse().unwrap(),
        marker_id: proto::MarkerId::new(Uuid::nil()),
        replicas,
    };
    let event = crate::confirm::event(&runtime::clock::Clock::system(), &runtime::clock::Ids::seeded(1), list);
    assert!(event.encode().len() <= 32 * 1024, "{}", event.encode().len());
}
