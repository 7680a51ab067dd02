//! Getting objects onto all three nodes, beside `rclone copy`, `mc mirror` and MinIO's own bucket replication, between the
//! same nodes, in turns: copying what is there, and putting what gets replicated.
//!
//! Highwater's blobs are spread over the nodes and each is copied to the two others; all peers start from the first node.
//! On one machine that is the same work.

mod figures;
mod peers;

use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use compose::NodeKind;
use tests::{Cluster, Content};

pub(crate) use figures::{COPIES, Figures, GOALS, OURS, PUTS, THEIRS};

use crate::Load;
use crate::database::Database;
use crate::follow::Follower;
use crate::machine::at_rest;
use crate::process::{Cpu, ended_seconds, nodes_cpu_seconds, peak_bytes};
use crate::transfer;
use peers::Peers;

/// How many bytes are on the nodes in the end: those of a load are on three for each way of Highwater's and for MinIO's
/// own, on two for each program that copies from the one source.
pub(crate) fn bytes_written(load: Load, rounds: u64) -> u64 {
    load.size * load.count * (rounds * 13 + 1)
}

/// Who gets objects onto the nodes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// The replicator copies what it was stopped for.
    Copy,
    Rclone,
    Mirror,
    /// Uploads while the replicator runs.
    Put,
    /// Puts on a node that replicates by itself.
    Own,
}

const WAYS: [Way; 5] = [Way::Copy, Way::Rclone, Way::Mirror, Way::Put, Way::Own];

/// One way, once.
#[derive(Debug, Clone, Default)]
struct Sample {
    seconds: f64,
    /// What everything of the cluster has used. The peers use the nodes only, but the rest runs beside them.
    cpu: Cpu,
    /// What the copying program has used.
    program: f64,
    /// From the upload until the object is on all nodes.
    lags: Vec<f64>,
    /// The replicator's peak of memory.
    peak: u64,
}

/// A cluster with its peers.
pub(crate) struct Bench<'a> {
    cluster: &'a Cluster,
    database: Database,
    peers: Peers,
}

// === impl Bench ===

impl<'a> Bench<'a> {
    /// The replicator is running when this begins, and stopped from then on.
    pub(crate) async fn open(cluster: &'a Cluster, kind: NodeKind) -> anyhow::Result<Self> {
        let database = Database::open(cluster).await?;
        let mut follower = Follower::open(cluster).await?;
        // What earlier measurements left for it, if anything, is done before this one.
        cluster.client().await?.put_bytes("copies/first", "x").await?;
        follower.complete(1).await?;
        for node in cluster.stack.nodes() {
            database.pending_at_most(&node.id, 0).await?;
        }
        cluster.stack.stop("replicator-1").await?;
        Ok(Self { cluster, database, peers: Peers::open(cluster, kind).await? })
    }

    /// Measures one load.
    pub(crate) async fn measure(&self, load: Load, rounds: u64) -> anyhow::Result<Figures> {
        let content = Content::new(load.size + 1, load.size).bytes();
        self.peers.put_source(load, &content).await?;
        let mut figures = Figures::new(load);
        for round in 0..rounds {
            // Each round begins with another one, so that nobody always comes after the same.
            let turn = usize::try_from(round)? % WAYS.len();
            for way in WAYS[turn..].iter().chain(&WAYS[..turn]) {
                let sample = self.sample(*way, load, &round.to_string(), &content).await;
                let Some(sample) = sample.with_context(|| format!("{way:?}, {}", load.name))? else { continue };
                eprintln!("{} {way:?} {:.2} s", load.name, sample.seconds);
                figures.add(*way, sample);
            }
        }
        Ok(figures)
    }

    pub(crate) async fn close(self) {
        self.database.close().await;
    }

    /// Nothing when who goes that way is not there.
    async fn sample(&self, way: Way, load: Load, round: &str, content: &Bytes) -> anyhow::Result<Option<Sample>> {
        Ok(Some(match way {
            Way::Copy => self.copy(load, round, content).await?,
            Way::Put => self.put(load, round, content).await?,
            Way::Rclone if self.peers.has_rclone() => self.other(self.peers.rclone(load, round)).await?,
            Way::Mirror if self.peers.has_mc() => self.other(self.peers.mirror(load, round)).await?,
            Way::Own if self.peers.has_own() => self.other(self.peers.own(load, round, content)).await?,
            Way::Rclone | Way::Mirror | Way::Own => return Ok(None),
        }))
    }

    /// From the replicator's start until the journal has the last copy, as the others' programs are started, too.
    async fn copy(&self, load: Load, round: &str, content: &Bytes) -> anyhow::Result<Sample> {
        let mut follower = Follower::open(self.cluster).await?;
        transfer::upload(self.cluster, load, &format!("copies/{}/{round}", load.size), content).await?;
        follower.uploaded(load.count).await?;
        self.database.reaches(follower.last()).await?;
        at_rest(self.cluster).await?;
        let (before, started) = (Cpu::now(self.cluster)?, Instant::now());
        self.cluster.stack.start("replicator-1").await?;
        follower.complete(load.count).await?;
        let seconds = started.elapsed().as_secs_f64();
        self.ended(before, seconds, &follower).await
    }

    /// From the first byte of the first upload until the journal has the last copy.
    async fn put(&self, load: Load, round: &str, content: &Bytes) -> anyhow::Result<Sample> {
        self.cluster.stack.start("replicator-1").await?;
        let mut follower = Follower::open(self.cluster).await?;
        let prefix = format!("puts/{}/{round}", load.size);
        self.cluster.client().await?.put_bytes(&format!("{prefix}/first"), "x").await?;
        follower.complete(1).await?;
        at_rest(self.cluster).await?;
        let mut follower = Follower::open(self.cluster).await?;
        let (before, started) = (Cpu::now(self.cluster)?, Instant::now());
        let uploads = transfer::upload(self.cluster, load, &prefix, content);
        tokio::try_join!(uploads, follower.complete(load.count))?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Sample { lags: follower.lags(), ..self.ended(before, seconds, &follower).await? })
    }

    /// What was used, when all is over, and the replicator stopped.
    async fn ended(&self, before: Cpu, seconds: f64, follower: &Follower) -> anyhow::Result<Sample> {
        // Folding the last reports is work for these copies, too.
        self.database.reaches(follower.last()).await?;
        let cpu = Cpu::now(self.cluster)?.since(before);
        let peak = peak_bytes(self.cluster, "replicator-1")?;
        self.cluster.stack.stop("replicator-1").await?;
        Ok(Sample { seconds, cpu, peak, ..Sample::default() })
    }

    async fn other(&self, work: impl Future<Output = anyhow::Result<f64>>) -> anyhow::Result<Sample> {
        at_rest(self.cluster).await?;
        let (before, ended_before) = (nodes_cpu_seconds(self.cluster)?, ended_seconds()?);
        let seconds = work.await?;
        let program = ended_seconds()? - ended_before;
        // MinIO marks what it has replicated after it has answered; that belongs to it.
        at_rest(self.cluster).await?;
        let cpu = Cpu { nodes: nodes_cpu_seconds(self.cluster)? - before, ..Cpu::default() };
        Ok(Sample { seconds, cpu, program, ..Sample::default() })
    }
}
