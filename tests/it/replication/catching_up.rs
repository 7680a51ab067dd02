//! More blobs wait for a node that is down than a consumer may hold: they do not keep what is new from coming, and are copied
//! when the node is there again.

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use futures::future::try_join_all;
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, run};

use crate::s3;

const ORIGIN: &str = "node-b";
const OLD: u64 = 150;
const NEW: u64 = 20;
const SIZE: u64 = 5_000;
const CLIENTS: u64 = 8;
/// Deliveries of one consumer that may be unacknowledged; far fewer than there are blobs.
const MAX_ACK_PENDING: usize = 64;
/// Copies that one process makes at once to catch up.
const PLACES: usize = 4;

fn small_bounds(builder: compose::Builder) -> compose::Builder {
    let quarter = (MAX_ACK_PENDING / 4).to_string();
    let of_all = [
        ("HIGHWATER_NATS__MAX_ACK_PENDING", MAX_ACK_PENDING.to_string()),
        ("HIGHWATER_NATS__ACK_WAIT", "4s".to_owned()),
        ("HIGHWATER_NATS__LEASE_TTL", "3s".to_owned()),
    ];
    let of_replicators = [
        ("HIGHWATER_BLOBS__READ_TIMEOUT", "2s".to_owned()),
        ("HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s".to_owned()),
        ("HIGHWATER_BLOBS__BREAKER__MAX_DELAY", "1s".to_owned()),
        ("HIGHWATER_REPLICATOR__MAX_WAITING", quarter.clone()),
        ("HIGHWATER_REPLICATOR__MAX_SOURCE_WAITING", quarter),
        ("HIGHWATER_REPLICATOR__SOURCE_WAIT__MAX_DELAY", "3s".to_owned()),
        ("HIGHWATER_REPLICATOR__REFILL_CONCURRENCY", PLACES.to_string()),
        ("HIGHWATER_REPLICATOR__REFILL_INTERVAL", "500ms".to_owned()),
        ("HIGHWATER_REPLICATOR__REFILL_SAVE_WITHIN", "500ms".to_owned()),
    ];
    let builder = ["gateway", "replicator", "projector"]
        .into_iter()
        .fold(builder.replicators(0), |b, service| of_all.iter().fold(b, |b, (key, value)| b.env(service, key, value)));
    of_replicators.iter().fold(builder, |b, (key, value)| b.env("replicator", key, value))
}

/// Has all uploads go to this node.
fn only(proxies: &[Proxy], node: &str) {
    for proxy in proxies {
        proxy.clear();
        if node != proxy.id() {
            proxy.add(Rule::writes("blobs/", Act::Answer { status: 507, code: "InsufficientStorage" }));
        }
    }
}

async fn upload(cluster: &Cluster, folder: &str, count: u64, node: &str) -> anyhow::Result<()> {
    let upload = async |first: u64| -> anyhow::Result<()> {
        for n in (first..count).step_by(usize::try_from(CLIENTS)?) {
            let content = Content::new(if folder == "old" { n } else { OLD + n }, SIZE);
            eventually("the node takes it", async || {
                let receipt = cluster.client().await?.put(&format!("{folder}/{n}"), content).await?;
                ensure!(receipt.node == node, "{} took it", receipt.node);
                anyhow::Ok(())
            })
            .await;
        }
        Ok(())
    };
    try_join_all((0..CLIENTS).map(upload)).await.map(drop)
}

/// Nothing is left to the lanes of a node: all is acknowledged.
async fn is_all_acknowledged(cluster: &Cluster, node: &str) -> anyhow::Result<()> {
    let jetstream = jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
    let stream = jetstream.get_stream("HIGHWATER").await?;
    let info = stream.consumer_info(&format!("replicator-{node}")).await?;
    ensure!(info.num_pending + info.num_ack_pending as u64 == 0, "{info:?}");
    Ok(())
}

async fn pending(cluster: &Cluster, node: &str) -> anyhow::Result<u64> {
    let status = cluster.client().await?.status().await?;
    Ok(status.nodes.iter().find(|told| told.node == node).context("no such node")?.blobs_pending)
}

#[test]
fn more_than_may_wait_for_a_node_that_is_down_keep_nobody_waiting_and_are_copied_when_it_is_back() {
    run(small_bounds, async |cluster| {
        let takers = Proxy::between(cluster, "gateway").await?;
        cluster.stack.restart("gateway").await?;
        let counters = Proxy::between(cluster, "replicator").await?;
        for proxy in &counters {
            proxy.add(Rule::writes("blobs/", Act::Pass));
        }
        only(&takers, ORIGIN);
        upload(cluster, "old", OLD, ORIGIN).await?;
        cluster.stack.kill(ORIGIN).await?;
        only(&takers, "node-a");
        cluster.stack.scale(2).await?;
        upload(cluster, "new", NEW, "node-a").await?;
        // Only what waits for the node that is down is left.
        eventually("another node has what is new", async || {
            let pending = pending(cluster, "node-c").await?;
            ensure!(pending == OLD, "{pending} are pending");
            anyhow::Ok(())
        })
        .await;
        for node in ["node-a", "node-c"] {
            eventually("nothing waits in the lanes", async || is_all_acknowledged(cluster, node).await).await;
        }
        let explained = cluster.highwater(&["explain", "old/0"]).await?;
        let said = String::from_utf8(explained.stdout)?;
        assert!(said.contains("node-a is healthy, but node-b, which has the blob, is unavailable"), "{said}");

        // What was left is known to whoever comes next.
        let replicators = ["replicator-1", "replicator-2"];
        for name in replicators {
            cluster.stack.kill(name).await?;
        }
        cluster.stack.start(ORIGIN).await?;
        for name in replicators {
            cluster.stack.start(name).await?;
        }
        eventually("a part of it is copied", async || {
            let pending = pending(cluster, "node-c").await?;
            ensure!(pending < OLD, "{pending} are pending");
            anyhow::Ok(())
        })
        .await;
        for name in replicators {
            cluster.stack.kill(name).await?;
        }
        for name in replicators {
            cluster.stack.start(name).await?;
        }
        takers.iter().for_each(Proxy::clear);
        let status = cluster.settle().await;
        assert!(status.nodes.iter().all(|node| node.blobs_parked == 0 && node.blobs_stored == OLD + NEW), "{status:?}");
        for proxy in counters.iter().filter(|proxy| proxy.id() != ORIGIN) {
            let copies = s3::keys(cluster, proxy.id(), "blobs/").await?.len();
            let copies = if proxy.id() == "node-a" { copies - usize::try_from(NEW)? } else { copies };
            let surplus = proxy.hits().checked_sub(copies).context("copies that nobody made")?;
            assert!(surplus <= PLACES, "{surplus} of {copies} copies to {} were made twice", proxy.id());
        }
        cluster.verify().await
    });
}
