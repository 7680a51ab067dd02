//! Erasing blobs from the nodes. Only replicators run: what they are told stands in the journal as these tests write it,
//! whatever the fold would make of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{Consumer, pull};
use compose::Builder;
use http::Method;
use proto::{
    Actor, BlobErasureOrdered, BlobId, Event, EventId, Fact, FileUploaded, MarkerId, NodeId, OnConflict, RULES,
    Recorded, SLICE_BYTES, Sha256Digest, SliceDigests, SpaceId, SpaceName,
};
use runtime::clock::{Clock, Ids};
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, run};
use time::OffsetDateTime;

use crate::s3;

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const MONTH: time::Duration = time::Duration::days(30);

/// The journal, past everything of ours.
struct Log {
    jetstream: jetstream::Context,
    ids: Ids,
}

impl Log {
    async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let client = async_nats::connect(cluster.stack.nats_url()?).await?;
        Ok(Self { jetstream: jetstream::new(client), ids: Ids::system() })
    }

    async fn publish(&self, fact: Fact, time: OffsetDateTime) -> anyhow::Result<u64> {
        let event = Event {
            id: EventId::new(self.ids.v7()),
            source: "/highwater/tests".to_owned(),
            time,
            actor: Actor::system(),
            request_id: None,
            fingerprint: None,
            rules: RULES,
            fact,
        };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", event.id.to_string());
        let sent = self.jetstream.publish_with_headers(event.fact.subject(), headers, event.encode().into()).await?;
        Ok(sent.await?.sequence)
    }

    async fn order(&self, blobs: &[BlobId]) -> anyhow::Result<u64> {
        let ordered = BlobErasureOrdered { blob_ids: blobs.to_vec() };
        self.publish(Fact::BlobErasureOrdered(ordered), Clock::system().now()).await
    }

    /// All that happened since event `n`.
    async fn since(&self, n: u64) -> anyhow::Result<Vec<Fact>> {
        let mut stream = self.jetstream.get_stream("HIGHWATER").await?;
        let last = stream.info().await?.state.last_sequence;
        let mut facts = Vec::new();
        for n in n + 1..=last {
            let message = stream.get_raw_message(n).await?;
            let (subject, payload) = (message.subject.to_string(), message.payload);
            facts.push(Recorded { n, subject, message_id: String::new(), payload }.decode()?.fact);
        }
        Ok(facts)
    }

    /// Waits until the replicators have nothing to do.
    async fn settled(&self) {
        eventually("nothing is left to do for the replicators", async || {
            let stream = self.jetstream.get_stream("HIGHWATER").await?;
            for node in NODES {
                let mut consumer: Consumer<pull::Config> =
                    stream.get_consumer(&format!("replicator-{node}")).await.map_err(anyhow::Error::from_boxed)?;
                let info = consumer.info().await?;
                let left = info.num_pending + info.num_ack_pending as u64;
                ensure!(left == 0, "{left} events are left for {node}");
            }
            anyhow::Ok(())
        })
        .await;
    }

    /// The blobs whose erasure each node has reported for the order `n`, with the marker of its disk.
    async fn erased(&self, n: u64) -> anyhow::Result<BTreeSet<(NodeId, MarkerId, BlobId)>> {
        let mut all = BTreeSet::new();
        for fact in self.since(n).await? {
            if let Fact::BlobErased(erased) = fact {
                let caused = erased.blobs.iter().filter(|blob| blob.cause == n);
                all.extend(caused.map(|blob| (erased.node.clone(), erased.marker_id, blob.blob_id)));
            }
        }
        Ok(all)
    }

    /// Waits until each of these nodes has reported each of these blobs, and nobody anything else.
    async fn erased_from(&self, cluster: &Cluster, n: u64, nodes: &[&str], blobs: &[BlobId]) -> anyhow::Result<()> {
        let mut expected = BTreeSet::new();
        for node in nodes {
            let marker = marker(cluster, node).await?;
            expected.extend(blobs.iter().map(|blob| (node.parse().unwrap(), marker, *blob)));
        }
        eventually("the erasure is reported", async || {
            let found = self.erased(n).await?;
            ensure!(found == expected, "{found:?} instead of {expected:?}");
            anyhow::Ok(())
        })
        .await;
        for node in nodes {
            only_tombstones(cluster, node, blobs).await?;
        }
        Ok(())
    }

    async fn parked(&self) -> anyhow::Result<Vec<Fact>> {
        let facts = self.since(0).await?;
        Ok(facts.into_iter().filter(|fact| matches!(fact, Fact::ReplicationParked(_))).collect())
    }

    /// Puts a blob on node-a, as a gateway would, and answers what to say of it.
    async fn put(&self, cluster: &Cluster, content: Content) -> anyhow::Result<FileUploaded> {
        let (client, bucket) = s3::client(cluster, "node-a");
        let (blob_id, bytes) = (BlobId::new(self.ids.v7()), content.bytes());
        client.put_object().bucket(&bucket).key(blob_id.key()).body(bytes.to_vec().into()).send().await?;
        let mut slices_sha256 = None;
        if content.size > SLICE_BYTES {
            let mut slices = SliceDigests::default();
            bytes.chunks(usize::try_from(SLICE_BYTES)?).for_each(|slice| slices.push(Sha256Digest::of(slice)));
            let list = slices.to_bytes();
            slices_sha256 = Some(Sha256Digest::of(&list));
            client.put_object().bucket(bucket).key(blob_id.parts_key()).body(list.into()).send().await?;
        }
        Ok(FileUploaded {
            space_id: SpaceId::new(self.ids.v4()),
            space: SpaceName::main(),
            path: "a".parse()?,
            blob_id,
            size_bytes: content.size,
            sha256: content.sha256(),
            slices_sha256,
            slice_bytes: slices_sha256.map(|_| SLICE_BYTES),
            content_type: String::new(),
            modified_at: None,
            node: "node-a".parse()?,
            marker_id: marker(cluster, "node-a").await?,
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        })
    }

    /// Puts so many blobs on node-a and has them copied to the others.
    async fn put_everywhere(&self, cluster: &Cluster, sizes: &[u64]) -> anyhow::Result<Vec<FileUploaded>> {
        let mut all = Vec::new();
        for (seed, size) in (1..).zip(sizes) {
            let uploaded = self.put(cluster, Content::new(seed, *size)).await?;
            self.publish(Fact::FileUploaded(uploaded.clone()), Clock::system().now()).await?;
            all.push(uploaded);
        }
        eventually("the blobs are on all nodes", async || {
            for node in NODES {
                let keys = s3::keys(cluster, node, "blobs/").await?;
                let missing = all.iter().map(|uploaded| uploaded.blob_id.key()).find(|key| !keys.contains(key));
                ensure!(missing.is_none(), "{node} lacks {missing:?}");
            }
            anyhow::Ok(())
        })
        .await;
        self.settled().await;
        Ok(all)
    }
}

/// Only replicators, so many.
fn replicators(count: usize) -> impl FnOnce(Builder) -> Builder {
    move |b| b.gateway(false).projector(false).replicators(count)
}

fn ids(all: &[FileUploaded]) -> Vec<BlobId> {
    all.iter().map(|uploaded| uploaded.blob_id).collect()
}

async fn marker(cluster: &Cluster, node: &str) -> anyhow::Result<MarkerId> {
    let (client, bucket) = s3::client(cluster, node);
    let marker = client.get_object().bucket(bucket).key("highwater-marker.json").send().await?;
    let marker: serde_json::Value = serde_json::from_slice(&marker.body.collect().await?.into_bytes())?;
    Ok(marker["marker_id"].as_str().context("a marker without id")?.parse()?)
}

async fn only_tombstones(cluster: &Cluster, node: &str, blobs: &[BlobId]) -> anyhow::Result<()> {
    ensure!(s3::keys(cluster, node, "blobs/").await?.is_empty(), "{node} has blobs");
    let tombstones: BTreeSet<String> = s3::keys(cluster, node, "erased/").await?.into_iter().collect();
    let expected: BTreeSet<String> = blobs.iter().map(|blob| blob.erased_key()).collect();
    ensure!(tombstones == expected, "{node}: {tombstones:?} instead of {expected:?}");
    Ok(())
}

#[test]
fn what_is_ordered_is_erased_from_every_node_and_reported() {
    run(replicators(2), async |cluster| {
        let log = Log::open(cluster).await?;
        let all = log.put_everywhere(cluster, &[0, 5000, SLICE_BYTES + 1, 66 * 1024 * 1024]).await?;
        let mut blobs = ids(&all);
        // One that no node ever had.
        blobs.push(BlobId::new(log.ids.v7()));
        // The second order is for what is erased already.
        for _ in 0..2 {
            let n = log.order(&blobs).await?;
            log.erased_from(cluster, n, &NODES, &blobs).await?;
        }
        log.settled().await;
        assert_eq!(log.parked().await?, vec![]);
        assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_node_that_is_down_erases_when_it_is_back() {
    run(replicators(1), async |cluster| {
        let log = Log::open(cluster).await?;
        let blobs = ids(&log.put_everywhere(cluster, &[5000, 6000]).await?);
        cluster.stack.stop("node-b").await?;
        let n = log.order(&blobs).await?;
        eventually("the others have erased", async || {
            let found = log.erased(n).await?.len();
            ensure!(found == 4, "{found} reports");
            anyhow::Ok(())
        })
        .await;
        cluster.stack.start("node-b").await?;
        log.erased_from(cluster, n, &NODES, &blobs).await?;
        log.settled().await;
        assert_eq!(log.parked().await?, vec![]);
        Ok(())
    });
}

#[test]
fn more_blobs_than_one_report_holds_are_all_reported() {
    let small = |b: Builder| {
        replicators(2)(b).env("replicator", "HIGHWATER_REPLICATOR__CONFIRM_BATCH", "7").env(
            "replicator",
            "HIGHWATER_REPLICATOR__CONFIRM_QUEUE",
            "3",
        )
    };
    run(small, async |cluster| {
        let log = Log::open(cluster).await?;
        let blobs: Vec<BlobId> = (0..100).map(|_| BlobId::new(log.ids.v7())).collect();
        let n = log.order(&blobs).await?;
        log.erased_from(cluster, n, &NODES, &blobs).await
    });
}

#[test]
fn a_blob_that_a_node_keeps_is_parked_there_with_the_reason() {
    let impatient = |b: Builder| replicators(0)(b).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2");
    run(impatient, async |cluster| {
        let proxies = Proxy::between(cluster, "replicator").await?;
        cluster.stack.scale(1).await?;
        let log = Log::open(cluster).await?;
        let blobs = ids(&log.put_everywhere(cluster, &[5000, 6000]).await?);
        let keeps = Act::Answer { status: 403, code: "AccessDenied" };
        proxies[1].add(Rule::new(&[Method::DELETE], blobs[0].key(), keeps));
        let n = log.order(&blobs).await?;
        log.settled().await;
        let parked = log.parked().await?;
        let [Fact::ReplicationParked(parked)] = parked.as_slice() else { panic!("{parked:?}") };
        assert_eq!((parked.blob_id, parked.cause, parked.attempts), (blobs[0], n, 2));
        assert_eq!(parked.node.as_str(), proxies[1].id());
        assert!(parked.reason.contains("AccessDenied"), "{}", parked.reason);
        let reported: Vec<(String, BlobId)> =
            log.erased(n).await?.into_iter().map(|(node, _, blob)| (node.to_string(), blob)).collect();
        assert_eq!(reported.len(), 5, "{reported:?}");
        assert!(!reported.contains(&(parked.node.to_string(), blobs[0])), "{reported:?}");
        Ok(())
    });
}

/// Erases a blob, and says long after that it shall be copied: with no node that has it, and with one that got it back.
async fn copies_do_not_bring_it_back(cluster: &Cluster, time: OffsetDateTime) -> anyhow::Result<()> {
    let log = Log::open(cluster).await?;
    let all = log.put_everywhere(cluster, &[5000, SLICE_BYTES + 1]).await?;
    let blobs = ids(&all);
    let n = log.order(&blobs).await?;
    log.erased_from(cluster, n, &NODES, &blobs).await?;
    for uploaded in &all {
        log.publish(Fact::FileUploaded(uploaded.clone()), time).await?;
    }
    log.settled().await;
    for node in NODES {
        only_tombstones(cluster, node, &blobs).await?;
    }

    // A node's disk was restored from a backup.
    let (client, bucket) = s3::client(cluster, "node-a");
    let key = all[0].blob_id.key();
    client.put_object().bucket(bucket).key(&key).body(Content::new(1, 5000).bytes().to_vec().into()).send().await?;
    log.publish(Fact::FileUploaded(all[0].clone()), time).await?;
    log.settled().await;
    for node in ["node-b", "node-c"] {
        only_tombstones(cluster, node, &blobs).await?;
    }
    assert_eq!(log.parked().await?, vec![]);
    let since = log.since(n).await?;
    assert!(!since.iter().any(|fact| matches!(fact, Fact::ReplicaStored(_))), "{since:?}");
    Ok(())
}

#[test]
fn a_copy_that_is_asked_for_by_an_old_event_does_not_bring_an_erased_blob_back() {
    run(replicators(2), async |cluster| copies_do_not_bring_it_back(cluster, Clock::system().now() - MONTH).await);
}

#[test]
fn what_is_old_follows_from_the_grace_period() {
    let short = |b: Builder| replicators(2)(b).env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms");
    run(short, async |cluster| {
        copies_do_not_bring_it_back(cluster, Clock::system().now() - Duration::from_secs(1)).await
    });
}
