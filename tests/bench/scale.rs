//! What more replicators are worth, and how soon a node that was away is caught up.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use proto::Sequence;
use tests::{Cluster, Content, Link};
use tokio::time::MissedTickBehavior;

use crate::Load;
use crate::database::Database;
use crate::follow::Follower;
use crate::report::{median, percentile};
use crate::transfer;
use crate::wanted::setting;

/// What each process's line to each node carries each way in a second, so that the machine's CPU is not the limit: some
/// twenty objects of 4 KiB.
const RATE: u64 = 96 * 1024;
/// Uploads a second while a node is away, and for so long while all are there.
const UPLOADS: u64 = 40;
const LAG_SECONDS: u64 = 20;

/// Copies `HIGHWATER_BENCH_SCALE_OBJECTS` objects of 4 KiB with one, two and four replicator processes, each on lines of its
/// own of the same width. Leaves no replicator running.
pub(crate) async fn speed_up(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    let count = setting("HIGHWATER_BENCH_SCALE_OBJECTS", 2000)?;
    let load = Load { name: "4 KiB", size: 4 * 1024, count, clients: 32 };
    let content = Content::new(4, load.size).bytes();
    let mut rows = Vec::new();
    let database = Database::open(cluster).await?;
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
        caught_up(cluster, &database).await?;
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
    database.close().await;
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
    let outage = Duration::from_secs(setting("HIGHWATER_BENCH_OUTAGE", 60)?);
    let database = Database::open(cluster).await?;
    let node = cluster.stack.nodes().last().context("no nodes")?.id.clone();
    let content = Content::new(5, 4 * 1024).bytes();
    let rate = copies_a_second(cluster, &database, &node, UPLOADS * outage.as_secs(), &content).await?;
    cluster.stack.stop(&node).await?;
    let measured = async {
        tokio::time::sleep(outage).await;
        cluster.stack.start(&node).await?;
        let (started, backlog) = (Instant::now(), database.pending(&node).await?);
        // Uploads go on, so that there is always one under way: done is what is no more than those of a second.
        database.pending_at_most(&node, UPLOADS).await?;
        anyhow::Ok((backlog, started.elapsed().as_secs_f64()))
    };
    let (backlog, seconds) = tokio::select! {
        measured = measured => measured?,
        failed = steadily(cluster, "steady", &content) => return Err(failed),
    };
    caught_up(cluster, &database).await?;
    database.close().await;
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

/// How long it takes until an upload is on all healthy nodes, when there are so few that nothing has to wait: with all
/// nodes well, then with one that is down, and with one that hangs.
pub(crate) async fn lag(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    let sick = cluster.stack.nodes().last().context("no nodes")?.id.clone();
    let database = Database::open(cluster).await?;
    let well = lag_of_healthy(cluster, None).await?;
    cluster.stack.kill(&sick).await?;
    let down = lag_of_healthy(cluster, Some(&sick)).await?;
    cluster.stack.start(&sick).await?;
    caught_up(cluster, &database).await?;
    cluster.stack.pause(&sick).await?;
    let hangs = lag_of_healthy(cluster, Some(&sick)).await?;
    cluster.stack.resume(&sick).await?;
    caught_up(cluster, &database).await?;
    database.close().await;
    let row = |what: &str, [p50, p99]: [f64; 2]| {
        let times = [p50, p99].map(|lag| format!("{:.0} ms", lag * 1e3));
        let [p50_of, p99_of] = [p50 / well[0], p99 / well[1]].map(|ratio| format!("{ratio:.2}"));
        let [p50, p99] = times;
        vec![what.to_owned(), format!("{UPLOADS}/s for {LAG_SECONDS} s"), p50, p99, p50_of, p99_of]
    };
    Ok(vec![row("all nodes are well", well), row("one is down", down), row("one hangs", hangs)])
}

/// The lag at the median and at the 99th percentile, in seconds.
async fn lag_of_healthy(cluster: &Cluster, sick: Option<&str>) -> anyhow::Result<[f64; 2]> {
    let content = Content::new(5, 4 * 1024).bytes();
    let mut follower = Follower::open_without(cluster, sick).await?;
    let (count, prefix) = (UPLOADS * LAG_SECONDS, format!("lag-without-{}", sick.unwrap_or("none")));
    tokio::select! {
        seen = follower.uploaded(count) => seen?,
        failed = steadily(cluster, &prefix, &content) => return Err(failed),
    }
    follower.complete(count).await?;
    Ok([50, 99].map(|percent| percentile(follower.lags(), percent)))
}

/// How fast one node gets what it lacks, when that is all there is to do.
async fn copies_a_second(
    cluster: &Cluster,
    database: &Database,
    node: &str,
    count: u64,
    content: &Bytes,
) -> anyhow::Result<f64> {
    let load = Load { name: "4 KiB", size: 4 * 1024, count, clients: 8 };
    let mut rates = Vec::new();
    for round in 0..3 {
        cluster.stack.stop(node).await?;
        transfer::upload(cluster, load, &format!("rate/{round}"), content).await?;
        // The others are served first, as they are in an outage.
        for other in cluster.stack.nodes().iter().filter(|other| other.id != node) {
            database.pending_at_most(&other.id, 0).await?;
        }
        let backlog = database.pending(node).await?;
        cluster.stack.start(node).await?;
        let started = Instant::now();
        caught_up(cluster, database).await?;
        rates.push(backlog as f64 / started.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// Uploads at the rate until dropped; answers only when it cannot.
async fn steadily(cluster: &Cluster, prefix: &str, content: &Bytes) -> anyhow::Error {
    let mut client = match cluster.client().await {
        Ok(client) => client,
        Err(error) => return error,
    };
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(UPLOADS).unwrap_or(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0_u64.. {
        ticks.tick().await;
        if let Err(status) = client.put_bytes(&format!("{prefix}/{n}"), content.clone()).await {
            return anyhow::Error::from(status).context("upload");
        }
    }
    anyhow::anyhow!("there are no more numbers")
}

/// Everything is folded and on every node.
async fn caught_up(cluster: &Cluster, database: &Database) -> anyhow::Result<()> {
    let journal = cluster.client().await?.status().await?.journal.context("no journal")?;
    database.reaches(journal.head.parse::<Sequence>()?.n).await?;
    for node in cluster.stack.nodes() {
        database.pending_at_most(&node.id, 0).await?;
    }
    Ok(())
}
