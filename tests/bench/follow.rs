//! Following the journal: which blobs are on how many nodes, and since when.
//!
//! Cheap, so that watching does not slow down what is watched: the events that are new, and nothing else, are asked for. The
//! status that `ops status` shows counts whole tables.
//!
//! The clock of all lags is nats-server's, which stamps each message as it stores it: one clock for both ends, whoever
//! published them. An upload is acknowledged right after its event was stored, and a copy is what no process knows before
//! ReplicaStored was stored; so a lag lacks only the time that the acknowledgement takes to the client.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Message};
use futures::StreamExt as _;
use proto::{BlobId, Event, Fact, NodeId};
use tests::Cluster;
use time::OffsetDateTime;

const STREAM: &str = "HIGHWATER";
/// Longer than anything here takes; a bench that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(20);
/// How often it is asked for what is new, and for how many events at most. No lag depends on that, see above.
const ASK: Duration = Duration::from_millis(5);
const AT_ONCE: usize = 500;

/// A reader of the journal from now on.
pub(crate) struct Follower {
    consumer: PullConsumer,
    /// On which nodes a blob must be.
    nodes: BTreeSet<NodeId>,
    blobs: HashMap<BlobId, Blob>,
    complete: usize,
    /// The last number that was read.
    last: u64,
}

struct Blob {
    uploaded_at: OffsetDateTime,
    nodes: BTreeSet<NodeId>,
    /// Since when it is where it must be.
    complete_at: Option<OffsetDateTime>,
}

// === impl Follower ===

impl Follower {
    /// Waits for blobs to be on all nodes.
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::open_without(cluster, None).await
    }

    /// Waits for blobs to be on all nodes but one.
    pub(crate) async fn open_without(cluster: &Cluster, sick: Option<&str>) -> anyhow::Result<Self> {
        let client = async_nats::connect(cluster.stack.nats_url()?).await.context("connect to NATS")?;
        let mut stream = jetstream::new(client).get_stream(STREAM).await.context("find the journal")?;
        let last = stream.info().await.context("ask for the journal's head")?.state.last_sequence;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: PATIENCE,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.context("make a consumer")?;
        let healthy = cluster.stack.nodes().iter().filter(|node| Some(node.id.as_str()) != sick);
        let nodes = healthy.map(|node| node.id.parse()).collect::<Result<_, _>>()?;
        Ok(Self { consumer, nodes, blobs: HashMap::new(), complete: 0, last })
    }

    /// Reads until so many uploads were seen.
    pub(crate) async fn uploaded(&mut self, count: u64) -> anyhow::Result<()> {
        self.until(|seen| seen.blobs.len() as u64 >= count).await
    }

    /// Reads until so many of these uploads are on all nodes.
    pub(crate) async fn complete(&mut self, count: u64) -> anyhow::Result<()> {
        self.until(|seen| seen.complete as u64 >= count).await
    }

    /// The number of the last event that was read.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// From the stored upload until the last of its copies was stored, in seconds, for each blob that is on all nodes.
    pub(crate) fn lags(&self) -> Vec<f64> {
        let lag = |blob: &Blob| Some((blob.complete_at? - blob.uploaded_at).as_seconds_f64());
        self.blobs.values().filter_map(lag).collect()
    }

    async fn until(&mut self, is_enough: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let reading = async {
            while !is_enough(self) {
                // Each request is read to its end: what it has asked for comes to nobody else any more.
                let mut messages = self.consumer.fetch().max_messages(AT_ONCE).messages().await?;
                let before = self.last;
                while let Some(message) = messages.next().await {
                    self.take(&message.map_err(anyhow::Error::from_boxed).context("read the journal")?)?;
                }
                if self.last == before {
                    tokio::time::sleep(ASK).await;
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, reading).await.context("the journal does not get there")?
    }

    fn take(&mut self, message: &Message) -> anyhow::Result<()> {
        let info = message.info().map_err(anyhow::Error::from_boxed)?;
        ensure!(info.stream_sequence == self.last + 1, "{} came after {}", info.stream_sequence, self.last);
        self.last = info.stream_sequence;
        let at = info.published;
        match Event::decode(&message.payload)?.fact {
            Fact::FileUploaded(uploaded) => {
                let nodes = BTreeSet::from([uploaded.node]);
                self.blobs.insert(uploaded.blob_id, Blob { uploaded_at: at, nodes, complete_at: None });
            }
            Fact::ReplicaStored(stored) => {
                for replica in &stored.replicas {
                    // Copies of what was uploaded before do not count.
                    let Some(blob) = self.blobs.get_mut(&replica.blob_id) else { continue };
                    blob.nodes.insert(stored.node.clone());
                    if blob.nodes.is_superset(&self.nodes) && blob.complete_at.is_none() {
                        blob.complete_at = Some(at);
                        self.complete += 1;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
