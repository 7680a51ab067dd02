use std::time::Duration;
use blobs::{Marker, Nodes, ObjectMeta};
use journal::{Journal, Plan};
use proto::*;
use runtime::clock::{Clock, Ids};
use runtime::config::{Environment, Options, load};
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use futures::StreamExt as _;

fn event(ids: &Ids, clock: &Clock, fact: Fact) -> Event {
    Event { id: EventId::new(ids.v7()), source: "/scratch".into(), time: clock.now(), actor: Actor::system(), request_id: None, fingerprint: None, rules: RULES, fact }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let options = Options { config: Some(args[1].clone().into()), ..Options::default() };
    let config = load::<replicator::Config>(replicator::DEFAULTS, &options, &Environment::process()).unwrap().value;
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let (ids, clock) = (Ids::system(), Clock::system());
    let node_ids = config.node_ids();
    let space_event_id = EventId::new(uuid::Uuid::from_u128(77));
    let space_id = SpaceId::new(space_event_id.derive(0));
    match args[2].as_str() {
        "init" => {
            let report = journal::init(&config.nats, Plan { nodes: &node_ids, marked: &[], ids: &ids }, &shutdown).await.unwrap();
            let cluster = report.identity.cluster;
            let journal = Journal::open(&config.nats, &shutdown, &tasks).await.unwrap();
            let mut e = event(&ids, &clock, Fact::SpaceCreated(SpaceCreated { name: SpaceName::main() }));
            e.id = space_event_id;
            journal.publish(&e).await.unwrap();
            let nodes = Nodes::open(&config.nodes, config.blobs.clone(), None, &tasks, clock.clone()).await.unwrap();
            for node in nodes.all() {
                if args.get(3).is_none() {
                    node.ensure_bucket().await.unwrap();
                }
                let marker = Marker { cluster_id: cluster, node_id: node.id().clone(), marker_id: MarkerId::new(uuid::Uuid::from_u128(node.id().as_str().bytes().map(u128::from).sum())), created_at: clock.now() };
                if args.get(3).is_none() {
                    node.write_marker(&marker).await.unwrap();
                }
                let fact = Fact::NodeJoined(NodeJoined { node: node.id().clone(), marker_id: marker.marker_id, endpoint: node.endpoint().into(), bucket: node.bucket().into() });
                journal.publish(&event(&ids, &clock, fact)).await.unwrap();
            }
        }
        "put" => {
            let (count, size, prefix): (usize, usize, String) = (args[3].parse().unwrap(), args[4].parse().unwrap(), args[5].clone());
            let journal = Journal::open(&config.nats, &shutdown, &tasks).await.unwrap();
            let nodes = Nodes::open(&config.nodes, config.blobs.clone(), Some(journal.identity().cluster), &tasks, clock.clone()).await.unwrap();
            futures::stream::iter(0..count).for_each_concurrent(8, |i| {
                let (nodes, journal, ids, clock, prefix) = (nodes.clone(), journal.clone(), ids.clone(), clock.clone(), prefix.clone());
                async move {
                    let id = EventId::new(ids.v7());
                    let blob = BlobId::new(ids.v7());
                    let mut upload = nodes.begin_upload(blob, ObjectMeta { event_id: id, space: space_id, version_id: id.version_id() });
                    let chunk = bytes::Bytes::from(vec![i as u8; size.min(1 << 20)]);
                    let mut left = size;
                    while left > 0 { let n = left.min(chunk.len()); upload.write(chunk.slice(..n)).await.unwrap(); left -= n; }
                    let w = upload.finish().await.unwrap();
                    let mut e = event(&ids, &clock, Fact::FileUploaded(FileUploaded { space_id, space: SpaceName::main(), path: format!("{prefix}/d{}/f{i}", i % 10).parse().unwrap(), blob_id: blob, size_bytes: w.size_bytes, sha256: w.sha256, slices_sha256: w.slices_sha256, slice_bytes: w.slice_bytes, content_type: String::new(), modified_at: None, node: w.node, marker_id: w.marker_id, if_version: None, on_conflict: OnConflict::Overwrite }));
                    e.id = id;
                    journal.publish(&e).await.unwrap();
                }
            }).await;
        }
        "fake" => {
            let (count, prefix): (usize, String) = (args[3].parse().unwrap(), args[4].clone());
            let journal = Journal::open(&config.nats, &shutdown, &tasks).await.unwrap();
            let marker = |n: &NodeId| MarkerId::new(uuid::Uuid::from_u128(n.as_str().bytes().map(u128::from).sum()));
            futures::stream::iter(0..count).for_each_concurrent(1000, |i| {
                let (journal, ids, clock, prefix, node_ids) = (journal.clone(), ids.clone(), clock.clone(), prefix.clone(), node_ids.clone());
                async move {
                    let node = node_ids[i % node_ids.len()].clone();
                    let blob = BlobId::new(ids.v7());
                    let e = event(&ids, &clock, Fact::FileUploaded(FileUploaded { space_id, space: SpaceName::main(), path: format!("{prefix}/d{}/f{i}", i / 1000).parse().unwrap(), blob_id: blob, size_bytes: 5, sha256: Sha256Digest::of(b"hello"), slices_sha256: None, slice_bytes: None, content_type: "text/plain".into(), modified_at: None, marker_id: marker(&node), node: node.clone(), if_version: None, on_conflict: OnConflict::Overwrite }));
                    let n = journal.publish(&e).await.unwrap().n;
                    for other in node_ids.iter().filter(|o| **o != node) {
                        if i % 20 == 0 {
                            let stored = Fact::ReplicaStored(ReplicaStored { node: other.clone(), marker_id: marker(other), replicas: vec![StoredReplica { blob_id: blob, cause: n }] });
                            journal.publish(&event(&ids, &clock, stored)).await.unwrap();
                        }
                    }
                }
            }).await;
        }
        "bad" => {
            // an upload whose bytes no node has
            let journal = Journal::open(&config.nats, &shutdown, &tasks).await.unwrap();
            let e = event(&ids, &clock, Fact::FileUploaded(FileUploaded { space_id, space: SpaceName::main(), path: "bad/one".parse().unwrap(), blob_id: BlobId::new(ids.v7()), size_bytes: 5, sha256: Sha256Digest::of(b"hello"), slices_sha256: None, slice_bytes: None, content_type: String::new(), modified_at: None, marker_id: MarkerId::new(uuid::Uuid::from_u128(1)), node: node_ids[0].clone(), if_version: None, on_conflict: OnConflict::Overwrite }));
            println!("{:?}", journal.publish(&e).await);
        }
        other => panic!("{other}"),
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
}
