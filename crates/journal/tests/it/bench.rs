//! A server with a journal on it, and the events to put there.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream;
use journal::{Config, Error, Journal, Plan, Report};
use proto::{
    Actor, BlobErasureOrdered, BlobId, Event, EventId, Fact, FileUploaded, MarkerId, NodeId, OnConflict, RULES,
    ReplicaStored, Sha256Digest, SpaceId, SpaceName, StoredReplica,
};
use runtime::clock::Ids;
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use time::OffsetDateTime;

use crate::server::Server;

/// Everything that one test needs.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    pub(crate) tasks: Tasks,
    pub(crate) ids: Ids,
}

impl Bench {
    /// A server without a stream.
    pub(crate) async fn empty() -> Result<Self> {
        Ok(Self::on(Server::start().await?))
    }

    /// A server with the stream, the buckets and the consumers of node `a`.
    pub(crate) async fn start() -> Result<Self> {
        let bench = Self::empty().await?;
        bench.init().await?;
        Ok(bench)
    }

    pub(crate) fn on(server: Server) -> Self {
        let config = Config {
            url: server.url.clone(),
            monitor_url: server.monitor_url.clone(),
            max_bytes: 64 << 20,
            request_timeout: Duration::from_secs(2),
            publish_timeout: Duration::from_secs(2),
            publish_max_elapsed: Duration::from_secs(30),
            // Small ones too, since it is batches that can go wrong in many ways.
            publish_batch_min: 3,
            retry_first_delay: Duration::from_millis(10),
            retry_max_delay: Duration::from_millis(200),
            check_interval: Duration::from_millis(200),
            pull_expires: Duration::from_secs(2),
            pull_heartbeat: Duration::from_millis(300),
            ack_wait: Duration::from_secs(2),
            max_ack_pending: 64,
            lease_ttl: Duration::from_secs(2),
            ..Config::default()
        };
        let shutdown = Shutdown::new();
        Self { server, config, tasks: Tasks::new(shutdown.clone()), shutdown, ids: Ids::system() }
    }

    pub(crate) async fn init(&self) -> Result<Report, Error> {
        journal::init(&self.config, Plan { nodes: &[node()], marked: &[], ids: &self.ids }, &self.shutdown).await
    }

    pub(crate) async fn open(&self) -> Result<Journal, Error> {
        Journal::open(&self.config, &self.shutdown, &self.tasks).await
    }

    /// JetStream without any of our care.
    pub(crate) async fn jetstream(&self) -> Result<jetstream::Context> {
        Ok(jetstream::new(async_nats::connect(&self.server.url).await?))
    }

    pub(crate) fn event_id(&self) -> EventId {
        EventId::new(self.ids.v7())
    }

    /// An upload of so many bytes.
    pub(crate) fn upload(&self, size_bytes: u64) -> Event {
        upload(&self.ids, size_bytes)
    }

    /// An order to erase a blob.
    pub(crate) fn order(&self) -> Event {
        let blob_ids = vec![BlobId::new(self.ids.v7())];
        event(&self.ids, Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids }))
    }

    /// An event about so many replicas, some 80 bytes each.
    pub(crate) fn stored(&self, replicas: usize) -> Event {
        let replica = || StoredReplica { blob_id: BlobId::new(self.ids.v7()), cause: 1 };
        let fact = Fact::ReplicaStored(ReplicaStored {
            node: node(),
            marker_id: MarkerId::new(self.ids.v4()),
            replicas: std::iter::repeat_with(replica).take(replicas).collect(),
        });
        event(&self.ids, fact)
    }
}

/// An upload of so many bytes.
pub(crate) fn upload(ids: &Ids, size_bytes: u64) -> Event {
    let fact = Fact::FileUploaded(FileUploaded {
        space_id: SpaceId::new(ids.v4()),
        space: SpaceName::main(),
        path: "folder/file.txt".parse().unwrap(),
        blob_id: BlobId::new(ids.v7()),
        size_bytes,
        sha256: Sha256Digest::new([7; 32]),
        slices_sha256: None,
        slice_bytes: None,
        content_type: String::new(),
        modified_at: None,
        node: node(),
        marker_id: MarkerId::new(ids.v4()),
        targets: None,
        if_version: None,
        on_conflict: OnConflict::Overwrite,
        instant: false,
    });
    event(ids, fact)
}

fn event(ids: &Ids, fact: Fact) -> Event {
    Event {
        id: EventId::new(ids.v7()),
        source: "/highwater/test".to_owned(),
        time: OffsetDateTime::UNIX_EPOCH,
        actor: Actor::system(),
        request_id: None,
        fingerprint: None,
        rules: RULES,
        fact,
    }
}

pub(crate) fn node() -> NodeId {
    "a".parse().unwrap()
}

/// Every event of the journal: its number and the id it was published with.
pub(crate) async fn everything(journal: &Journal) -> Result<Vec<(u64, String)>> {
    let to = journal.head().await?.n;
    let mut replay = journal.replay(1, Some(to));
    let mut all = Vec::new();
    while !replay.is_finished() {
        let batch = replay.next_batch(1000, Duration::from_secs(10)).await?;
        all.extend(batch.into_iter().map(|recorded| (recorded.n, recorded.message_id)));
    }
    Ok(all)
}
