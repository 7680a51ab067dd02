use std::collections::BTreeMap;

use proto::{BlobId, MarkerId};
use runtime::clock::{Clock, Ids};
use runtime::config::{Environment, Faults, Options, load};
use uuid::Uuid;

use super::*;
use crate::confirm::{Done, What, system_event};

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
    for (waiting, for_sources) in [(26, 25), (25, 26)] {
        let waiting = format!("replicator.max_waiting={waiting}");
        let for_sources = format!("replicator.max_source_waiting={for_sources}");
        let faults = loaded(&["nats.max_ack_pending=100", &waiting, &for_sources]).unwrap_err();
        assert!(faults.to_string().contains("at most 25"), "{faults}");
    }
}

#[test]
fn the_longest_list_of_what_is_done_stays_below_32_kib() {
    let done = Done { blob_id: BlobId::new(Uuid::from_u128(u128::MAX)), cause: u64::MAX };
    let list = vec![done; MAX_CONFIRMED_AT_ONCE];
    for what in [What::Stored, What::Erased] {
        let fact = what.fact("n".repeat(32).parse().unwrap(), MarkerId::new(Uuid::nil()), &list);
        let event = system_event(&Clock::system(), &Ids::seeded(1), fact);
        assert!(event.encode().len() <= 32 * 1024, "{what}: {}", event.encode().len());
    }
}
