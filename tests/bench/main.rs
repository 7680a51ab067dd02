//! `make bench`: Highwater beside the same work done directly and by others, on real MinIO, in one run; prints Markdown
//! tables.
//!
//! Read ratios and CPU seconds, not rates: everything shares one machine. A and B take turns, and each figure is the
//! median of the rounds. Nothing is deleted before what it could slow down was measured: deleting many objects slows
//! MinIO's next small writes down for minutes. Only the large loads, which do not mind and would not fit the disk together,
//! get clusters of their own, one after the other.
//!
//! `HIGHWATER_BENCH_LOADS` chooses among the sizes `4 KiB`, `1 MiB`, `64 MiB` and `256 MiB` and the parts `transfer`,
//! `replication`, `journal`, `recovery`, `scale`, `catalog` and `rebuild`; without it, all are measured. `HIGHWATER_BENCH_ROUNDS` is
//! how often (3), `HIGHWATER_BENCH_OUTAGE` for how many seconds a node is away (60), `HIGHWATER_BENCH_SCALE_OBJECTS` how
//! many objects several replicators share (2000), `HIGHWATER_BENCH_EVENTS` how long the journals are whose catalogs are
//! rebuilt (100000,1000000,3000000). `NODES=embedded` measures without MinIO.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

mod database;
mod direct;
mod fold;
mod folder;
mod follow;
mod kinds;
mod machine;
mod mix;
mod process;
mod rebuild;
mod replicate;
mod report;
mod scale;
mod transfer;
mod waiting;
mod wanted;

use std::time::Duration;

use compose::{Durability, NodeKind, Stack};
use runtime::config::Environment;
use tests::Cluster;

use replicate::{Bench, Figures, bytes_written};
use report::Table;
use wanted::{Wanted, setting};

/// What is moved: how large, how many in a round, by how many at once.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    size: u64,
    count: u64,
    clients: u64,
}

const MIB: u64 = 1024 * 1024;

/// What is uploaded and downloaded.
const LOADS: [Load; 3] = [
    Load { name: "4 KiB", size: 4 * 1024, count: 2000, clients: 32 },
    Load { name: "1 MiB", size: MIB, count: 300, clients: 8 },
    Load { name: "64 MiB", size: 64 * MIB, count: 12, clients: 4 },
];

/// What is replicated. The large ones have a cluster each.
const SMALL_COPIES: [Load; 2] = [LOADS[0], LOADS[1]];
const LARGE_COPIES: [Load; 2] = [
    Load { name: "64 MiB", size: 64 * MIB, count: 6, clients: 4 },
    Load { name: "256 MiB", size: 256 * MIB, count: 4, clients: 4 },
];

/// Events of each kind whose folding is measured.
const KIND_EVENTS: usize = 5000;

/// What is asked for.
struct Plan {
    wanted: Wanted,
    rounds: u64,
    kind: NodeKind,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let kind = match NodeKind::from_environment(&Environment::process())? {
        NodeKind::Auto => NodeKind::Minio,
        kind => kind,
    };
    let wanted = Wanted::new(&["4 KiB", "1 MiB", "64 MiB", "256 MiB"])?;
    let plan = Plan { wanted, rounds: setting("HIGHWATER_BENCH_ROUNDS", 3)?, kind };
    println!("{} rounds, medians; nodes: {kind:?}; {} cores\n", plan.rounds, std::thread::available_parallelism()?);
    machine::touch_memory()?;
    let mut figures = Vec::new();
    if plan.wants_first() {
        figures = plan.on_cluster(plan.bytes_of_first(), async |cluster| plan.first(cluster).await).await?;
    }
    for load in LARGE_COPIES.into_iter().filter(|load| plan.wanted.size("replication", load.name)) {
        let copies = async |cluster: &Cluster| plan.copies(cluster, &[load]).await;
        figures.extend(plan.on_cluster(bytes_written(load, plan.rounds), copies).await?);
    }
    if !figures.is_empty() {
        print_copies(&figures);
    }
    if plan.wanted.part("rebuild") {
        let lengths = rebuild::lengths()?;
        let bytes = lengths.iter().max().copied().unwrap_or_default() * rebuild::BYTES_PER_EVENT;
        let rebuilds = async |cluster: &Cluster| rebuild::measure(cluster, &lengths).await;
        println!("### Rebuilding the catalog\n\n{}", plan.on_cluster(bytes, rebuilds).await?);
    }
    Ok(())
}

// === impl Plan ===

impl Plan {
    /// Lets something happen on a cluster of its own, on a disk that has room for so many bytes.
    async fn on_cluster<T>(
        &self,
        bytes: u64,
        work: impl AsyncFnOnce(&Cluster) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        machine::ensure_room(bytes)?;
        let stack = Stack::builder()
            .nodes(self.kind)
            .replicators(1)
            .durability(Durability::Full)
            .start_timeout(Duration::from_mins(2))
            .start()
            .await?;
        let cluster = Cluster::new(stack)?;
        let outcome = work(&cluster).await;
        cluster.stack.shutdown().await?;
        machine::settle_disk();
        outcome
    }

    /// Whether anything is wanted but the copies of large objects.
    fn wants_first(&self) -> bool {
        let services = ["journal", "recovery", "scale", "catalog"];
        services.iter().any(|part| self.wanted.part(part))
            || LOADS.iter().any(|load| self.wanted.size("transfer", load.name))
            || SMALL_COPIES.iter().any(|load| self.wanted.size("replication", load.name))
    }

    fn bytes_of_first(&self) -> u64 {
        let wanted = |part: &'static str| move |load: &Load| self.wanted.size(part, load.name);
        // Straight to a node, and uploads, which are on three nodes soon after.
        let transfers =
            LOADS.into_iter().filter(wanted("transfer")).map(|load| load.size * load.count * self.rounds * 4);
        let copies =
            SMALL_COPIES.into_iter().filter(wanted("replication")).map(|load| bytes_written(load, self.rounds));
        transfers.sum::<u64>() + copies.sum::<u64>()
    }

    /// Everything but the copies of large objects.
    async fn first(&self, cluster: &Cluster) -> anyhow::Result<Vec<Figures>> {
        let wanted = |part: &'static str| move |load: &Load| self.wanted.size(part, load.name);
        let transfers: Vec<Load> = LOADS.into_iter().filter(wanted("transfer")).collect();
        if !transfers.is_empty() {
            cluster.stack.stop("replicator-1").await?;
            let mut table = Table::new(&transfer::HEAD);
            for load in transfers {
                table.row(transfer::measure(cluster, load, self.rounds).await?);
            }
            println!("### Uploads and downloads, replicators stopped\n\n{table}");
            cluster.stack.start("replicator-1").await?;
        }
        let copies: Vec<Load> = SMALL_COPIES.into_iter().filter(wanted("replication")).collect();
        let figures = self.copies(cluster, &copies).await?;
        self.services(cluster).await?;
        Ok(figures)
    }

    async fn copies(&self, cluster: &Cluster, loads: &[Load]) -> anyhow::Result<Vec<Figures>> {
        let mut figures = Vec::new();
        if loads.is_empty() {
            return Ok(figures);
        }
        let bench = Bench::open(cluster, self.kind).await?;
        for load in loads {
            figures.push(bench.measure(*load, self.rounds).await?);
        }
        bench.close().await;
        cluster.stack.start("replicator-1").await?;
        Ok(figures)
    }

    /// What is measured with a replicator running, and with several.
    async fn services(&self, cluster: &Cluster) -> anyhow::Result<()> {
        if self.wanted.part("journal") {
            let mut journal = Table::new(&["what", "figure"]);
            let running = transfer::acknowledged_per_second(cluster, LOADS[0], self.rounds).await?;
            let what = "acknowledged 4 KiB uploads, 32 clients, replicator running".to_owned();
            journal.row(vec![what, format!("{running:.0}/s")]);
            for row in fold::measure(cluster).await? {
                journal.row(row);
            }
            println!("### Journal and catalog\n\n{journal}");
            println!("### What each program has used since its last start\n\n{}", process::used(cluster)?);
        }
        if self.wanted.part("recovery") {
            let mut lag =
                Table::new(&["nodes", "uploads", "lag p50", "lag p99", "p50, of the first", "p99, of the first"]);
            for row in scale::lag(cluster).await? {
                lag.row(row);
            }
            println!(
                "### A steady rate of uploads, until each is on all healthy nodes (goal: within 2 of the first)\n\n{lag}"
            );
            let mut recovery = Table::new(&["away for", "uploads", "backlog", "copy rate", "caught up in", "R"]);
            recovery.row(scale::recovery(cluster).await?);
            println!("### One node away: caught up in R x backlog / copy rate (goal: R at most 1.5)\n\n{recovery}");
        }
        if self.wanted.part("scale") {
            let mut scaling = Table::new(&["replicators", "each line", "copies", "seconds", "rate", "speed-up"]);
            for row in scale::speed_up(cluster).await? {
                scaling.row(row);
            }
            println!("### More replicators, each on lines of its own\n\n{scaling}");
        }
        if self.wanted.part("catalog") {
            let mut catalog = Table::new(&["what", "figure"]);
            cluster.stack.scale(0).await?;
            for row in waiting::measure(cluster, LOADS[0], self.rounds).await? {
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
}

fn print_copies(figures: &[Figures]) {
    let mut copies = Table::new(&replicate::COPIES);
    let mut puts = Table::new(&replicate::PUTS);
    let mut ours = Table::new(&replicate::OURS);
    let mut theirs = Table::new(&replicate::THEIRS);
    let mut goals = Table::new(&replicate::GOALS);
    for load in figures {
        copies.row(load.copies());
        puts.row(load.puts());
        load.ours().into_iter().for_each(|row| ours.row(row));
        load.theirs().into_iter().for_each(|row| theirs.row(row));
        load.goals().into_iter().for_each(|row| goals.row(row));
    }
    println!("### Copying what is there, from one node to the two others\n\n{copies}");
    println!("### Putting, until everything is on all three nodes\n\n{puts}");
    println!("### CPU time of Highwater, and the replicator's memory\n\n{ours}");
    println!("### CPU time of the others\n\n{theirs}");
    println!("### Against the goals\n\n{goals}");
}
