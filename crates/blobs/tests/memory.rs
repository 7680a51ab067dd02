//! How much memory uploads take. A test program of its own, because it measures the whole process.

#![expect(clippy::unwrap_used, reason = "this is all test code")]

use blobs::{Marker, Nodes};
use bytes::Bytes;
use proto::{BlobId, ClusterId, EventId, MarkerId, SpaceId};
use runtime::clock::{Clock, Ids};
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use tokio::sync::Barrier;

#[path = "it/minio.rs"]
mod minio;

const UPLOADS: usize = 16;
const CHUNK: usize = 256 * 1024;
/// Three slices, and the fourth almost full.
const CHUNKS: usize = 4 * 32 - 1;
/// The gateway's setting. With the 16 slices being filled that makes 160 MiB, and leaves the rest of its 256 MiB to its
/// connections. A test build adds some: its hash lags, and pieces that wait for it stay alive.
const SEND_BUDGET: u64 = 32 * 1024 * 1024;
const LIMIT_KIB: u64 = 216 * 1024;

fn resident_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_uploads_in_the_middle_of_their_stream_on_minio() {
    let address = tokio::task::spawn_blocking(|| minio::address("memory of sixteen uploads")).await.unwrap();
    let Some(address) = address else { return };
    let directory = tempfile::tempdir().unwrap();
    let secret_key_file = directory.path().join("secret");
    std::fs::write(&secret_key_file, minio::SECRET_KEY).unwrap();
    let config = blobs::NodeConfig {
        id: "node-a".parse().unwrap(),
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        bucket: "memory".to_owned(),
        access_key: minio::ACCESS_KEY.to_owned(),
        secret_key_file,
    };
    let (ids, tasks) = (Ids::system(), Tasks::new(Shutdown::new()));
    let settings = blobs::Config { send_budget: SEND_BUDGET, ..blobs::Config::default() };
    let nodes = Nodes::open(&[config], settings, None, &tasks, Clock::system()).await.unwrap();
    let node = &nodes.all()[0];
    node.ensure_bucket().await.unwrap();
    let marker = Marker {
        cluster_id: ClusterId::new(ids.v4()),
        node_id: node.id().clone(),
        marker_id: MarkerId::new(ids.v4()),
        created_at: Clock::system().now(),
    };
    node.write_marker(&marker).await.unwrap();

    let paused = std::sync::Arc::new(Barrier::new(UPLOADS + 1));
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..UPLOADS {
        let (nodes, ids, paused) = (nodes.clone(), ids.clone(), paused.clone());
        uploads.spawn(async move {
            let event_id = EventId::new(ids.v7());
            let space = SpaceId::new(ids.v4());
            let meta = blobs::ObjectMeta { event_id, space, version_id: event_id.version_id() };
            let mut upload = nodes.begin_upload(BlobId::new(ids.v7()), meta);
            for n in 0..CHUNKS {
                upload.write(Bytes::from(vec![u8::try_from(n).unwrap(); CHUNK])).await.unwrap();
            }
            paused.wait().await;
            paused.wait().await;
            upload.finish().await.unwrap();
        });
    }
    paused.wait().await;
    let (now, peak) = (resident_kib("VmRSS"), resident_kib("VmHWM"));
    println!("{UPLOADS} uploads in the middle of their stream: {now} KiB resident, {peak} KiB at most");
    paused.wait().await;
    uploads.join_all().await;
    println!("after they finished: {} KiB at most", resident_kib("VmHWM"));
    assert!(peak < LIMIT_KIB && resident_kib("VmHWM") < LIMIT_KIB);
}
