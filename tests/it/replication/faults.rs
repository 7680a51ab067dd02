//! A node in trouble delays nobody but itself, and is caught up by itself. What is asserted is an order: the others have
//! everything while it still has not.

use anyhow::{Context as _, ensure};
use proto::v1::{self, ReplicaState};
use tests::{Act, Cluster, Content, Link, Proxy, Rule, eventually, run};

use crate::s3;

const SICK: &str = "node-b";
const FILES: u64 = 30;
const SIZE: u64 = 40_000;

fn replica<'a>(file: &'a v1::File, node: &str) -> anyhow::Result<&'a v1::Replica> {
    file.replicas.iter().find(|replica| replica.node == node).with_context(|| format!("no row for {node}"))
}

async fn pending(cluster: &Cluster) -> anyhow::Result<u64> {
    let status = cluster.client().await?.status().await?;
    let sick = status.nodes.iter().find(|node| node.node == SICK).context("no such node")?;
    Ok(sick.blobs_pending)
}

/// Uploads to the other nodes, lets the replicators work while `break_it` holds, and heals the node once the others have
/// everything. Nothing is given up for a node's own faults.
async fn sick_node(
    cluster: &Cluster,
    break_it: impl AsyncFn() -> anyhow::Result<()>,
    heal: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    let mut paths = Vec::new();
    for n in 0.. {
        // What only the sick node has cannot be on the others.
        let path = format!("f{n}");
        if client.put(&path, Content::new(n, SIZE)).await?.node != SICK {
            paths.push(path);
        }
        if paths.len() as u64 == FILES {
            break;
        }
    }
    break_it().await?;
    cluster.stack.scale(2).await?;
    for path in &paths {
        eventually("the other nodes have it", async || {
            let file = cluster.client().await?.file(path).await?;
            for node in ["node-a", "node-c"] {
                let state = replica(&file, node)?.state();
                ensure!(state == ReplicaState::Stored, "{path} is {state:?} on {node}");
            }
            anyhow::Ok(())
        })
        .await;
    }
    let backlog = pending(cluster).await?;
    assert!(backlog > 0, "the sick node was as fast as the others");
    heal().await?;
    let status = cluster.settle().await;
    for node in &status.nodes {
        assert_eq!((node.blobs_parked, node.blobs_lost), (0, 0), "{node:?}");
    }
    let mut client = cluster.client().await?;
    for path in &paths {
        cluster.replicated(path, 3).await;
        let kinds: Vec<String> = client.events(path).await?.into_iter().map(|event| event.r#type).collect();
        assert!(!kinds.iter().any(|kind| kind == "highwater.replication.parked.v1"), "{path}: {kinds:?}");
    }
    let stored = status.nodes.iter().find(|node| node.node == SICK).context("no such node")?.blobs_stored;
    assert_eq!(s3::keys(cluster, SICK, "blobs/").await?.len() as u64, stored);
    cluster.verify().await
}

/// Faults of a node count at once, and a blob's own reasons park it at once: none of them may be taken for the other.
fn strict(builder: compose::Builder) -> compose::Builder {
    let settings = [
        ("HIGHWATER_REPLICATOR__PARK_AFTER", "1"),
        ("HIGHWATER_BLOBS__READ_TIMEOUT", "2s"),
        ("HIGHWATER_BLOBS__OPERATION_TIMEOUT", "4s"),
        ("HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s"),
    ];
    settings.into_iter().fold(builder.replicators(0), |b, (key, value)| b.env("replicator", key, value))
}

#[test]
fn a_node_that_is_down() {
    run(strict, async |cluster| {
        let stop = async || cluster.stack.kill(SICK).await;
        sick_node(cluster, stop, async || cluster.stack.start(SICK).await).await
    });
}

#[test]
fn a_node_that_hangs() {
    run(strict, async |cluster| {
        let pause = async || cluster.stack.pause(SICK).await;
        sick_node(cluster, pause, async || cluster.stack.resume(SICK).await).await
    });
}

/// The line to the sick node is made bad for the replicators.
fn on_a_line(spoil: impl Fn(&Link)) {
    run(strict, async |cluster| {
        let links = Link::to_nodes(cluster, "replicator").await?;
        let (_, line) =
            cluster.stack.nodes().iter().zip(&links).find(|(node, _)| node.id == SICK).context("no node")?;
        let spoil = async || {
            spoil(line);
            Ok(())
        };
        let heal = async || {
            line.heal();
            Ok(())
        };
        sick_node(cluster, spoil, heal).await
    });
}

#[test]
fn a_node_that_is_slow() {
    on_a_line(|line| {
        line.delay(std::time::Duration::from_millis(200));
        line.rate(64 * 1024);
    });
}

#[test]
fn a_node_behind_a_cut_line() {
    on_a_line(Link::blackhole);
}

#[test]
fn a_node_that_answers_garbage() {
    on_a_line(Link::garble);
}

/// The sick node answers this to every request that writes a blob.
fn answering(status: u16, code: &'static str) {
    run(strict, async |cluster| {
        let proxies = Proxy::between(cluster, "replicator").await?;
        let proxy = proxies.iter().find(|proxy| proxy.id() == SICK).context("no such node")?;
        let spoil = async || {
            proxy.add(Rule::writes("blobs/", Act::Answer { status, code }));
            Ok(())
        };
        let heal = async || {
            proxy.clear();
            Ok(())
        };
        sick_node(cluster, spoil, heal).await
    });
}

#[test]
fn a_node_that_is_full() {
    answering(507, "InsufficientStorage");
}

#[test]
fn a_node_that_is_overloaded() {
    answering(503, "SlowDown");
}

#[test]
fn a_node_that_denies_access() {
    answering(403, "AccessDenied");
}

#[test]
fn a_node_that_refuses_every_request() {
    answering(400, "InvalidRequest");
}
