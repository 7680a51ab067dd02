//! The others: `rclone copy`, `mc mirror`, and MinIO's own bucket replication, between the cluster's nodes, in buckets of
//! their own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use compose::{NodeEntry, NodeKind, Tool};
use tempfile::TempDir;
use tests::Cluster;
use tokio::process::Command;

use crate::Load;
use crate::direct::Direct;
use crate::transfer;

/// The bucket that the programs copy from and to, and the one that MinIO replicates by itself.
const COPIED: &str = "bench-copied";
const REPLICATED: &str = "bench-replicated";

/// How long MinIO's replication may take; what it lets fall is left to its scanner, which comes by in hours.
const OWN_WITHIN: Duration = Duration::from_mins(5);
/// How often a target is asked for the last object, and how often for all of them once it is there.
const ASK: Duration = Duration::from_millis(10);
const ASK_ALL: Duration = Duration::from_millis(50);

/// What is there to be measured beside Highwater.
pub(super) struct Peers {
    nodes: Vec<NodeEntry>,
    copied: Vec<Direct>,
    replicated: Vec<Direct>,
    rclone: Option<PathBuf>,
    mc: Option<PathBuf>,
    /// Whether MinIO replicates [`REPLICATED`].
    has_own: bool,
    /// Where the programs keep what they keep.
    home: TempDir,
}

// === impl Peers ===

impl Peers {
    /// Makes the buckets, and has each peer move a few small objects: one that cannot is left out, and the others have
    /// everything open that they will need.
    pub(super) async fn open(cluster: &Cluster, kind: NodeKind) -> anyhow::Result<Self> {
        let nodes = cluster.stack.nodes().to_vec();
        let clients = |bucket| nodes.iter().map(|node| Direct::of_bucket(node, bucket)).collect::<Result<Vec<_>, _>>();
        let (copied, replicated) = (clients(COPIED)?, clients(REPLICATED)?);
        for node in &copied {
            node.create_bucket().await.context("make a bucket")?;
        }
        let [rclone, mc] = [Tool::Rclone, Tool::Mc].map(|tool| cluster.stack.tool(tool));
        let home = tempfile::tempdir()?;
        let mut peers = Self { nodes, copied, replicated, rclone, mc, has_own: false, home };
        if kind == NodeKind::Minio && peers.mc.is_some() {
            peers.has_own = works("MinIO's own replication", &peers.set_up_own().await);
        }
        peers.try_out().await?;
        Ok(peers)
    }

    /// Puts the load's objects on the first node, to be copied from there.
    pub(super) async fn put_source(&self, load: Load, content: &Bytes) -> anyhow::Result<()> {
        transfer::direct(&self.copied[..1], load, &source(load), Some(content)).await?;
        Ok(())
    }

    pub(super) fn has_rclone(&self) -> bool {
        self.rclone.is_some()
    }

    pub(super) fn has_mc(&self) -> bool {
        self.mc.is_some()
    }

    pub(super) fn has_own(&self) -> bool {
        self.has_own
    }

    /// `rclone copy` of the source to both others, side by side; answers the seconds.
    pub(super) async fn rclone(&self, load: Load, round: &str) -> anyhow::Result<f64> {
        let program = self.rclone.as_ref().context("no rclone")?;
        let to = format!("rclone/{}/{round}", load.size);
        let copy = |target: &NodeEntry| {
            let mut command = Command::new(program);
            command.args(["copy", "--transfers", "32", "--checkers", "32", "--s3-no-check-bucket"]);
            command.args(["--config", "/dev/null"]);
            command.arg(format!("source:{COPIED}/{}", source(load))).arg(format!("target:{COPIED}/{to}"));
            for (remote, node) in [("SOURCE", &self.nodes[0]), ("TARGET", target)] {
                for (key, value) in [
                    ("TYPE", "s3"),
                    ("PROVIDER", "Minio"),
                    ("ENDPOINT", &node.endpoint),
                    ("REGION", &node.region),
                    ("ACCESS_KEY_ID", &node.access_key),
                    ("SECRET_ACCESS_KEY", &node.secret_key()?),
                ] {
                    command.env(format!("RCLONE_CONFIG_{remote}_{key}"), value);
                }
            }
            anyhow::Ok(command)
        };
        self.side_by_side([copy(&self.nodes[1])?, copy(&self.nodes[2])?], load, &to).await
    }

    /// `mc mirror` of the source to both others, side by side; answers the seconds.
    pub(super) async fn mirror(&self, load: Load, round: &str) -> anyhow::Result<f64> {
        let to = format!("mirror/{}/{round}", load.size);
        let copy = |n: usize| {
            let from = format!("node0/{COPIED}/{}", source(load));
            self.mc(&["mirror", &from, &format!("node{n}/{COPIED}/{to}")])
        };
        self.side_by_side([copy(1)?, copy(2)?], load, &to).await
    }

    /// Puts the load's objects on the first node, which replicates them by itself; answers the seconds until the two
    /// others have all of them, infinite when they do not get them.
    pub(super) async fn own(&self, load: Load, round: &str, content: &Bytes) -> anyhow::Result<f64> {
        let prefix = format!("{}/{round}", load.size);
        let last = format!("{prefix}/{}", load.count - 1);
        let started = Instant::now();
        transfer::direct(&self.replicated[..1], load, &prefix, Some(content)).await?;
        let targets = &self.replicated[1..];
        while started.elapsed() < OWN_WITHIN {
            // Objects go in about the order in which they came, so that a look at the last one says when a listing, which
            // costs the nodes a lot more, is worth it. What counts is when the listing was asked for.
            let asked = started.elapsed();
            let mut are_all_there = true;
            for target in targets {
                are_all_there = are_all_there && target.has(&last).await?;
            }
            if !are_all_there {
                tokio::time::sleep(ASK).await;
                continue;
            }
            for target in targets {
                are_all_there = are_all_there && target.count(&prefix).await? == load.count;
            }
            if are_all_there {
                return Ok(asked.as_secs_f64());
            }
            tokio::time::sleep(ASK_ALL).await;
        }
        eprintln!("MinIO's own replication of {} x {} is not done after {OWN_WITHIN:?}", load.count, load.name);
        Ok(f64::INFINITY)
    }

    /// Runs both to their ends; answers the seconds. Then everything must be there.
    async fn side_by_side(&self, commands: [Command; 2], load: Load, to: &str) -> anyhow::Result<f64> {
        let started = Instant::now();
        let [one, other] = commands;
        tokio::try_join!(run(one), run(other))?;
        let seconds = started.elapsed().as_secs_f64();
        for target in &self.copied[1..] {
            let count = target.count(to).await?;
            ensure!(count == load.count, "{count} of {} objects were copied", load.count);
        }
        Ok(seconds)
    }

    /// Versioned buckets on all nodes; the first one's rules copy everything to the two others.
    async fn set_up_own(&self) -> anyhow::Result<()> {
        for n in 0..self.nodes.len() {
            run(self.mc(&["mb", "--with-versioning", &format!("node{n}/{REPLICATED}")])?).await?;
        }
        for (n, target) in self.nodes.iter().enumerate().skip(1) {
            let remote = format!("{}/{REPLICATED}", url_of(target)?);
            let bucket = format!("node0/{REPLICATED}");
            let priority = n.to_string();
            let add = ["replicate", "add", &bucket, "--remote-bucket", &remote, "--priority", &priority];
            run(self.mc(&add)?).await?;
        }
        Ok(())
    }

    async fn try_out(&mut self) -> anyhow::Result<()> {
        let load = Load { name: "trial", size: 1, count: 8, clients: 2 };
        let content = Bytes::from_static(b"x");
        self.put_source(load, &content).await?;
        if self.has_rclone() && !works("rclone", &self.rclone(load, "trial").await) {
            self.rclone = None;
        }
        if self.has_own {
            let tried = self.own(load, "trial", &content).await.and_then(|seconds| {
                ensure!(seconds.is_finite(), "it does not replicate");
                Ok(())
            });
            self.has_own = works("MinIO's own replication", &tried);
        }
        if self.has_mc() && !works("mc mirror", &self.mirror(load, "trial").await) {
            self.mc = None;
        }
        Ok(())
    }

    /// `mc` that knows the nodes as `node0`, `node1`, `node2`.
    fn mc(&self, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(self.mc.as_ref().context("no mc")?);
        command.arg("--config-dir").arg(self.home.path()).arg("--quiet").args(args);
        for (n, node) in self.nodes.iter().enumerate() {
            command.env(format!("MC_HOST_node{n}"), url_of(node)?);
        }
        Ok(command)
    }
}

/// Where a load's objects are copied from.
fn source(load: Load) -> String {
    format!("source/{}", load.size)
}

/// The node's address with its keys, which are letters and digits only.
fn url_of(node: &NodeEntry) -> anyhow::Result<String> {
    let host = node.endpoint.strip_prefix("http://").context("a node's endpoint is not http")?;
    Ok(format!("http://{}:{}@{host}", node.access_key, node.secret_key()?))
}

/// Says why a peer is left out.
fn works<T>(peer: &str, tried: &anyhow::Result<T>) -> bool {
    if let Err(error) = tried {
        eprintln!("{peer} is left out: {error:#}");
    }
    tried.is_ok()
}

async fn run(mut command: Command) -> anyhow::Result<()> {
    let name = command.as_std().get_program().display().to_string();
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("run {name}"))?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name}: {} {}", said.trim(), errors.trim());
    Ok(())
}
