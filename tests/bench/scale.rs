//! What more replicators are worth, and how soon a node that was away is caught up.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use runtime::config::Environment;
use tests::{Cluster, Content, Link, eventually_within};
use tokio::time::MissedTickBehavior;

use crate::Load;
use crate::report::median;
use crate::transfer;

/// What each process's line to each node carries each way in a second, so that the machine's CPU is not the limit: some
/// twenty objects of 4 KiB.
const RATE: u64 = 96 * 1024;
/// Uploads a second while a node is away.
const UPLOADS: u64 = 40;
/// Longer than anything here takes; a bench that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(20);

fn setting(name: &str, default: u64) -> anyhow::Result<u64> {
    Environment::process().var(name).map_or(Ok(default), str::parse).with_context(|| name.to_owned())
}

/// Copies `HIGHWATER_BENCH_SCALE_OBJECTS` objects of 4 KiB with one, two and four replicator processes, each on lines of its
/// own of the same width. Leaves no replicator running.
pub(crate) async fn speed_up(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    let count = setting("HIGHWATER_BENCH_SCALE_OBJECTS", 2000)?;
    let load = Load { name: "4 KiB", size: 4 * 1024, count, clients: 32 };
    let content = Content::new(4, load.size).bytes();
    let mut rows = Vec::new();
    let mut alone = None;
    for processes in [1, 2, 4] {
        cluster.stack.scale(0).await?;
        transfer::upload(cluster, load, &format!("scale/{processes}"), &content).await?;
        let mut links = Vec::new();
        for n in 1..=processes {
            let own = Link::to_nodes(cluster, &format!("replicator-{n}")).await?;
            for link in &own {
                link.rate(RATE);
            }
            links.push(own);
        }
        let started = Instant::now();
        cluster.stack.scale(processes).await?;
        caught_up(cluster).await;
        let seconds = started.elapsed().as_secs_f64();
        let alone = *alone.get_or_insert(seconds);
        rows.push(vec![
            processes.to_string(),
            format!("{} KiB/s", RATE / 1024),
            format!("{count} x 2"),
            format!("{seconds:.1} s"),
            format!("{:.0}/s", (count * 2) as f64 / seconds),
            format!("{:.2}", alone / seconds),
        ]);
    }
    cluster.stack.scale(0).await?;
    for n in 1..=4 {
        // What is started later goes straight to the nodes again.
        cluster.stack.set_env(
            &format!("replicator-{n}"),
            "HIGHWATER_NODES",
            &serde_json::to_string(cluster.stack.nodes())?,
        )?;
    }
    Ok(rows)
}

/// One node is away for `HIGHWATER_BENCH_OUTAGE` seconds under a steady rate of uploads, which goes on until it is caught
/// up. The copy rate is that of a backlog of the same size with no uploads beside.
pub(crate) async fn recovery(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let outage = Duration::from_secs(setting("HIGHWATER_BENCH_OUTAGE", 20)?);
    let node = cluster.stack.nodes().last().context("no nodes")?.id.clone();
    let content = Content::new(5, 4 * 1024).bytes();
    let rate = copies_a_second(cluster, &node, UPLOADS * outage.as_secs(), &content).await?;
    cluster.stack.stop(&node).await?;
    let measured = async {
        tokio::time::sleep(outage).await;
        cluster.stack.start(&node).await?;
        let (started, backlog) = (Instant::now(), pending(cluster, &node).await?);
        // Uploads go on, so that there is always one under way: done is what is no more than those of a second.
        wait_until(cluster, &node, UPLOADS).await;
        anyhow::Ok((backlog, started.elapsed().as_secs_f64()))
    };
    let (backlog, seconds) = tokio::select! {
        measured = measured => measured?,
        failed = steadily(cluster, &content) => return Err(failed),
    };
    caught_up(cluster).await;
    let ideal = backlog as f64 / rate;
    Ok(vec![
        format!("{} s", outage.as_secs()),
        format!("{UPLOADS}/s"),
        backlog.to_string(),
        format!("{rate:.0}/s"),
        format!("{seconds:.1} s"),
        format!("{:.2}", seconds / ideal),
    ])
}

/// How fast one node gets what it lacks, when that is all there is to do.
async fn copies_a_second(cluster: &Cluster, node: &str, count: u64, content: &Bytes) -> anyhow::Result<f64> {
    let load = Load { name: "4 KiB", size: 4 * 1024, count, clients: 8 };
    let mut rates = Vec::new();
    for round in 0..3 {
        cluster.stack.stop(node).await?;
        transfer::upload(cluster, load, &format!("rate/{round}"), content).await?;
        // The others are served first, as they are in an outage.
        wait_for_others(cluster, node).await;
        let backlog = pending(cluster, node).await?;
        cluster.stack.start(node).await?;
        let started = Instant::now();
        caught_up(cluster).await;
        rates.push(backlog as f64 / started.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// Uploads at the rate until dropped; answers only when it cannot.
async fn steadily(cluster: &Cluster, content: &Bytes) -> anyhow::Error {
    let mut client = match cluster.client().await {
        Ok(client) => client,
        Err(error) => return error,
    };
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(UPLOADS).unwrap_or(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0_u64.. {
        ticks.tick().await;
        if let Err(status) = client.put_bytes(&format!("steady/{n}"), content.clone()).await {
            return anyhow::Error::from(status).context("upload");
        }
    }
    anyhow::anyhow!("there are no more numbers")
}

async fn pending(cluster: &Cluster, node: &str) -> anyhow::Result<u64> {
    let status = cluster.client().await?.status().await?;
    let found = status.nodes.iter().find(|status| status.node == node).context("no such node")?;
    Ok(found.blobs_pending)
}

async fn wait_until(cluster: &Cluster, node: &str, at_most: u64) {
    eventually_within(PATIENCE, "the node is caught up", async || {
        let pending = pending(cluster, node).await?;
        anyhow::ensure!(pending <= at_most, "it lacks {pending}");
        Ok(())
    })
    .await;
}

async fn wait_for_others(cluster: &Cluster, node: &str) {
    for other in cluster.stack.nodes().iter().filter(|other| other.id != node) {
        wait_until(cluster, &other.id, 0).await;
    }
}

/// Everything is folded and on every node.
async fn caught_up(cluster: &Cluster) {
    eventually_within(PATIENCE, "everything is everywhere", async || {
        let status = cluster.client().await?.status().await?;
        let (catalog, journal) = (status.catalog.context("no catalog")?, status.journal.context("no journal")?);
        anyhow::ensure!(catalog.checkpoint == journal.head, "the catalog is at {}", catalog.checkpoint);
        let pending: u64 = status.nodes.iter().map(|node| node.blobs_pending).sum();
        anyhow::ensure!(pending == 0, "{pending} copies are left");
        Ok(())
    })
    .await;
}
