//! Blobs whose only copy is on a node that is down or slow wait for it, and keep nobody else waiting.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use proto::v1::ReplicaState;
use tests::{Act, Cluster, Content, Link, Proxy, Rule, eventually, run};

const ORIGIN: &str = "node-b";
const BLOBS: u64 = 400;
const SIZE: u64 = 20_000;
const CLIENTS: usize = 8;

fn setup(builder: compose::Builder) -> compose::Builder {
    let settings = [
        ("HIGHWATER_REPLICATOR__PARK_AFTER", "1"),
        // What waits comes again before what is new: so much of it, so often, must be little on a busy machine, too.
        ("HIGHWATER_REPLICATOR__SOURCE_WAIT__MAX_DELAY", "10s"),
        ("HIGHWATER_BLOBS__READ_TIMEOUT", "2s"),
        ("HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s"),
        ("HIGHWATER_BLOBS__BREAKER__MAX_DELAY", "1s"),
    ];
    settings.into_iter().fold(builder.replicators(0), |b, (key, value)| b.env("replicator", key, value))
}

/// Uploads everything to one node, and then makes it sick.
async fn waits_for_origin(
    cluster: &Cluster,
    processes: usize,
    spoil: impl AsyncFn() -> anyhow::Result<()>,
    heal: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let proxies = Proxy::between(cluster, "gateway").await?;
    cluster.stack.restart("gateway").await?;
    let only = |node: Option<&str>| {
        for proxy in &proxies {
            proxy.clear();
            if node.is_some_and(|node| node != proxy.id()) {
                proxy.add(Rule::writes("blobs/", Act::Answer { status: 507, code: "InsufficientStorage" }));
            }
        }
    };
    only(Some(ORIGIN));
    let upload = async |first: u64| -> anyhow::Result<()> {
        let mut client = cluster.client().await?;
        for n in (first..BLOBS).step_by(CLIENTS) {
            let receipt = client.put(&format!("old/{n}"), Content::new(n, SIZE)).await?;
            assert_eq!(receipt.node, ORIGIN);
        }
        Ok(())
    };
    try_join_all((0..CLIENTS as u64).map(upload)).await?;
    only(Some("node-a"));
    spoil().await?;
    cluster.stack.scale(processes).await?;
    let mut new = Vec::new();
    for n in 0..20 {
        let path = format!("new/{n}");
        let receipt = eventually("another node takes it", async || {
            let receipt = cluster.client().await?.put(&path, Content::new(BLOBS + n, SIZE)).await?;
            ensure!(receipt.node == "node-a", "{} took it", receipt.node);
            anyhow::Ok(receipt)
        })
        .await;
        new.push((path, receipt));
    }
    for (path, _) in &new {
        eventually("the other node has what is new", async || {
            let file = cluster.client().await?.file(path).await?;
            let there = file.replicas.iter().find(|replica| replica.node == "node-c").context("no row")?;
            ensure!(there.state() == ReplicaState::Stored, "{path} is {:?} on node-c", there.state());
            anyhow::Ok(())
        })
        .await;
    }
    let status = cluster.client().await?.status().await?;
    let waiting = status.nodes.iter().find(|node| node.node == "node-c").context("no node-c")?.blobs_pending;
    assert!(waiting > 0, "the origin was not sick");
    heal().await?;
    only(None);
    let status = cluster.settle().await;
    assert!(status.nodes.iter().all(|node| node.blobs_parked == 0 && node.blobs_stored == BLOBS + 20), "{status:?}");
    cluster.verify().await
}

fn down(processes: usize) {
    run(setup, async |cluster| {
        let stop = async || cluster.stack.kill(ORIGIN).await;
        waits_for_origin(cluster, processes, stop, async || cluster.stack.start(ORIGIN).await).await
    });
}

#[test]
fn an_origin_that_is_down_keeps_nobody_waiting() {
    down(1);
}

#[test]
fn an_origin_that_is_down_keeps_none_of_four_processes_waiting() {
    down(4);
}

#[test]
fn an_origin_that_is_slow_does_not_get_all_places() {
    run(setup, async |cluster| {
        let links = Link::to_nodes(cluster, "replicator").await?;
        let (_, line) =
            cluster.stack.nodes().iter().zip(&links).find(|(node, _)| node.id == ORIGIN).context("no such node")?;
        let spoil = async || {
            line.delay(Duration::from_millis(200));
            line.rate(64 * 1024);
            Ok(())
        };
        let heal = async || {
            line.heal();
            Ok(())
        };
        waits_for_origin(cluster, 1, spoil, heal).await
    });
}
