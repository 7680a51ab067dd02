//! Three nodes, each behind a proxy.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use blobs::{BlobRef, Config, CopyOptions, Marker, Node, NodeConfig, Nodes, ObjectMeta, Written};
use bytes::Bytes;
use proto::{BlobId, ClusterId, EventId, MarkerId, NodeId, SpaceId, VersionId};
use runtime::clock::{Clock, Ids};
use runtime::retry::Policy;
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use time::PrimitiveDateTime;
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::{fs, minio};

/// Longer than a request takes on a busy machine, shorter than a person waits.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The first attempt at a copy that a young event asks for.
pub(crate) const FIRST: CopyOptions =
    CopyOptions { first_attempt: true, overwrite: false, safe_until: PrimitiveDateTime::MAX.assume_utc() };

static BUCKETS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) ids: Ids,
    pub(crate) configs: Vec<NodeConfig>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) is_minio: bool,
    pub(crate) tasks: Tasks,
    directory: tempfile::TempDir,
    _servers: Vec<JoinSet<()>>,
}

/// What is copied in parts: three slices.
pub(crate) const LARGE: usize = 24 * 1024 * 1024;

/// Settings with which tests need not wait.
pub(crate) fn config() -> Config {
    Config {
        retry: Policy::new(Duration::from_millis(20), Duration::from_millis(200))
            .with_max_elapsed(Duration::from_secs(2)),
        breaker: Policy::new(Duration::from_millis(50), Duration::from_millis(500)),
        health_interval: Duration::from_mins(1),
        // Large ones are large soon, so that copies in parts are tested without long bodies.
        copy_parts_from: LARGE as u64,
        // Each copy reads for itself, so that it is seen from whom.
        copy_memory: 0,
        // Which node gives the bytes must not depend on how busy the machine is.
        hedge_percent: 0,
        hedge_after_min: Duration::from_mins(1),
        ..Config::default()
    }
}

impl Cluster {
    pub(crate) async fn on_fs() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut proxies, mut servers) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let root = directory.path().join(n.to_string());
            std::fs::create_dir(&root).unwrap();
            let (address, tasks) = fs::start(&root, minio::ACCESS_KEY, minio::SECRET_KEY).await;
            proxies.push(Proxy::start(address).await);
            servers.push(tasks);
        }
        Self::new(directory, proxies, servers, false).await
    }

    /// `None`, and a line about it, when there is no `minio` program.
    pub(crate) async fn on_minio(test: &'static str) -> Option<Self> {
        let address = tokio::task::spawn_blocking(move || minio::address(test)).await.unwrap()?;
        let mut proxies = Vec::new();
        for _ in 0..3 {
            proxies.push(Proxy::start(address).await);
        }
        Some(Self::new(tempfile::tempdir().unwrap(), proxies, Vec::new(), true).await)
    }

    async fn new(directory: tempfile::TempDir, proxies: Vec<Proxy>, servers: Vec<JoinSet<()>>, is_minio: bool) -> Self {
        let secret_key_file = directory.path().join("secret");
        std::fs::write(&secret_key_file, minio::SECRET_KEY).unwrap();
        let configs = ["node-a", "node-b", "node-c"].into_iter().zip(&proxies).map(|(id, proxy)| NodeConfig {
            id: id.parse().unwrap(),
            endpoint: format!("http://{}", proxy.address),
            region: "us-east-1".to_owned(),
            bucket: format!("test-{}", BUCKETS.fetch_add(1, Ordering::Relaxed)),
            access_key: minio::ACCESS_KEY.to_owned(),
            secret_key_file: secret_key_file.clone(),
        });
        let configs: Vec<_> = configs.collect();
        let ids = Ids::system();
        let tasks = Tasks::new(Shutdown::new());
        let id = ClusterId::new(ids.v4());
        let cluster = Self { id, ids, configs, proxies, is_minio, tasks, directory, _servers: servers };
        cluster.mark().await;
        cluster
    }

    /// What `gateway init` does with nodes.
    async fn mark(&self) {
        let nodes = Nodes::open(&self.configs, config(), None, &self.tasks, Clock::system()).await.unwrap();
        for node in nodes.all() {
            assert!(node.ensure_bucket().await.unwrap());
            assert!(!node.ensure_bucket().await.unwrap());
            assert_eq!(node.read_marker().await.unwrap(), None);
            node.write_marker(&self.marker(node)).await.unwrap();
        }
    }

    pub(crate) fn marker(&self, node: &Node) -> Marker {
        Marker {
            cluster_id: self.id,
            node_id: node.id().clone(),
            marker_id: MarkerId::new(self.ids.v4()),
            created_at: Clock::system().now(),
        }
    }

    pub(crate) async fn nodes(&self) -> Nodes {
        self.nodes_with(config()).await
    }

    pub(crate) async fn nodes_with(&self, config: Config) -> Nodes {
        let nodes = Nodes::open(&self.configs, config, Some(self.id), &self.tasks, Clock::system()).await.unwrap();
        assert!(nodes.all().iter().all(|node| node.state().is_healthy()));
        nodes
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn blob(&self) -> BlobId {
        BlobId::new(self.ids.v7())
    }

    pub(crate) fn meta(&self) -> ObjectMeta {
        let event_id = EventId::new(self.ids.v7());
        ObjectMeta { event_id, space: SpaceId::new(self.ids.v4()), version_id: VersionId::new(event_id.derive(1)) }
    }

    /// The proxy before a node.
    pub(crate) fn proxy(&self, node: &NodeId) -> &Proxy {
        let index = self.configs.iter().position(|config| config.id == *node).unwrap();
        &self.proxies[index]
    }

    /// Uploads `content` and says where to.
    pub(crate) async fn upload(&self, nodes: &Nodes, content: &[u8]) -> (BlobRef, ObjectMeta, Written) {
        let (blob, meta) = (self.blob(), self.meta());
        let mut upload = nodes.begin_upload(blob, meta);
        for chunk in content.chunks(700_000) {
            upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let written = upload.finish().await.unwrap();
        (BlobRef::written(blob, &written), meta, written)
    }
}

/// Bytes that look random and are the same each time.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ len as u64;
    let mut content = Vec::with_capacity(len + 8);
    while content.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(len);
    content
}

/// All that a read gives.
pub(crate) async fn read_all(mut read: blobs::Read) -> Result<Vec<u8>, blobs::Error> {
    let mut all = Vec::new();
    while let Some(piece) = read.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// The object as the node has it.
pub(crate) async fn stored(node: &Node, key: &str) -> Option<Bytes> {
    node.get(key, u64::MAX).await.unwrap()
}
