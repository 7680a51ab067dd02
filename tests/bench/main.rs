//! `make bench`: Highwater beside the same work done directly, on real MinIO, in one run; prints Markdown tables.
//!
//! Read ratios and CPU seconds, not rates: everything shares one machine. A and B take turns, and each figure is the
//! median of the rounds. Nothing is deleted before the end, because deleting slows MinIO's next writes down.
//!
//! `HIGHWATER_BENCH_LOADS` chooses among `4 KiB`, `1 MiB`, `64 MiB`, `journal`, `scale` and `recovery`; without it, all are
//! measured. `NODES=embedded` measures without MinIO.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

mod database;
mod direct;
mod fold;
mod folder;
mod kinds;
mod process;
mod replicate;
mod report;
mod scale;
mod transfer;
mod waiting;

use std::time::Duration;

use anyhow::Context as _;
use compose::{Durability, NodeKind, Stack};
use runtime::config::Environment;
use tests::Cluster;

use report::Table;

/// What is moved: how large, how many in a round, by how many at once.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    size: u64,
    count: u64,
    clients: u64,
}

const LOADS: [Load; 3] = [
    Load { name: "4 KiB", size: 4 * 1024, count: 2000, clients: 32 },
    Load { name: "1 MiB", size: 1024 * 1024, count: 300, clients: 8 },
    Load { name: "64 MiB", size: 64 * 1024 * 1024, count: 12, clients: 4 },
];

/// Events of each kind whose folding is measured.
const KIND_EVENTS: usize = 5000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let env = Environment::process();
    let rounds: u64 = env.var("HIGHWATER_BENCH_ROUNDS").map_or(Ok(3), str::parse).context("HIGHWATER_BENCH_ROUNDS")?;
    let kind = match NodeKind::from_environment(&env)? {
        NodeKind::Auto => NodeKind::Minio,
        kind => kind,
    };
    let stack = Stack::builder()
        .nodes(kind)
        .replicators(1)
        .durability(Durability::Full)
        .start_timeout(Duration::from_mins(2))
        .start()
        .await?;
    let cluster = Cluster::new(stack)?;
    let outcome = measure(&cluster, rounds, kind).await;
    cluster.stack.shutdown().await?;
    outcome
}

async fn measure(cluster: &Cluster, rounds: u64, kind: NodeKind) -> anyhow::Result<()> {
    println!("{rounds} rounds, medians; nodes: {kind:?}; {} cores\n", std::thread::available_parallelism()?);
    cluster.stack.stop("replicator-1").await?;
    let mut transfers = Table::new(&[
        "size",
        "clients",
        "direct up",
        "gateway up",
        "ratio",
        "direct down",
        "gateway down",
        "ratio",
        "gateway CPU up",
        "gateway CPU down",
        "gateway peak",
    ]);
    let mut copies = Table::new(&[
        "size",
        "copies",
        "Highwater",
        "rclone",
        "faster by",
        "replicator CPU",
        "nodes' CPU",
        "nodes' CPU (rclone)",
        "replicator peak",
    ]);
    for load in LOADS.into_iter().filter(|load| is_wanted(load.name)) {
        let (row, seed) = transfer::measure(cluster, load, rounds).await?;
        transfers.row(row);
        copies.row(replicate::measure(cluster, load, rounds, seed).await?);
    }
    println!("### Uploads and downloads, replicators stopped\n\n{transfers}");
    println!("### From one node to the two others\n\n{copies}");
    cluster.stack.start("replicator-1").await?;
    services(cluster, rounds).await
}

/// What is measured with a replicator running, and with several.
async fn services(cluster: &Cluster, rounds: u64) -> anyhow::Result<()> {
    if is_wanted("journal") {
        let mut journal = Table::new(&["what", "figure"]);
        let running = transfer::acknowledged_per_second(cluster, LOADS[0], rounds).await?;
        let what = "acknowledged 4 KiB uploads, 32 clients, replicator running".to_owned();
        journal.row(vec![what, format!("{running:.0}/s")]);
        for row in fold::measure(cluster).await? {
            journal.row(row);
        }
        println!("### Journal and catalog\n\n{journal}");
    }
    if is_wanted("recovery") {
        let mut recovery = Table::new(&["away for", "uploads", "backlog", "copy rate", "caught up in", "R"]);
        recovery.row(scale::recovery(cluster).await?);
        println!("### One node away: caught up in R x backlog / copy rate\n\n{recovery}");
    }
    if is_wanted("scale") {
        let mut scaling = Table::new(&["replicators", "each line", "copies", "seconds", "rate", "speed-up"]);
        for row in scale::speed_up(cluster).await? {
            scaling.row(row);
        }
        println!("### More replicators, each on lines of its own\n\n{scaling}");
    }
    if is_wanted("catalog") {
        let mut catalog = Table::new(&["what", "figure"]);
        cluster.stack.scale(0).await?;
        for row in waiting::measure(cluster, LOADS[0], rounds).await? {
            catalog.row(row);
        }
        // From here on the catalog and the journal hold what is on no node.
        for row in kinds::measure(cluster, KIND_EVENTS).await? {
            catalog.row(row);
        }
        for row in folder::measure(cluster).await? {
            catalog.row(row);
        }
        println!("### The catalog\n\n{catalog}");
    }
    Ok(())
}

/// Whether `HIGHWATER_BENCH_LOADS` asks for it.
fn is_wanted(name: &str) -> bool {
    let environment = Environment::process();
    environment.var("HIGHWATER_BENCH_LOADS").is_none_or(|names| names.split(',').any(|wanted| wanted == name))
}
