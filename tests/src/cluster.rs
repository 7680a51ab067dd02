//! A running cluster, and what tests ask of it.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use compose::Stack;
use proto::v1::{self, ReplicaState};
use tokio::process::Child;

use crate::{Client, eventually};

/// What a fold must not depend on.
const SHORT: [&str; 2] = ["projector.batch_events=97", "projector.view_rows=500"];

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    pub stack: Stack,
}

impl Cluster {
    pub fn new(stack: Stack) -> anyhow::Result<Self> {
        Ok(Self { stack })
    }

    /// A new client, with a connection of its own.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.stack.gateway_addr()?).await
    }

    /// A second gateway beside the cluster's, on a port of its own; ended when dropped.
    pub async fn second_gateway(&self) -> anyhow::Result<(Child, SocketAddr)> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = self.stack.command("gateway", ["run"])?;
        command.env("HIGHWATER_LISTEN", free.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn()?;
        eventually("the second gateway serves", async || {
            Client::connect(free).await?.status().await.map(drop).map_err(anyhow::Error::from)
        })
        .await;
        Ok((child, free))
    }

    /// Waits until the catalog has everything that is in the journal, and no blob is pending or lost. Answers the last
    /// status.
    pub async fn settle(&self) -> v1::GetStatusResponse {
        eventually("everything is folded and replicated", async || {
            let mut client = self.client().await?;
            let status = client.status().await?;
            let catalog = status.catalog.clone().context("no catalog in the status")?;
            let journal = status.journal.clone().context("no journal in the status")?;
            ensure!(
                catalog.checkpoint == journal.head,
                "the checkpoint is {}, the head {}",
                catalog.checkpoint,
                journal.head
            );
            for node in &status.nodes {
                let open = node.blobs_pending + node.blobs_lost;
                ensure!(open == 0, "{} lacks {} blobs and lost {}", node.node, node.blobs_pending, node.blobs_lost);
            }
            anyhow::Ok(status)
        })
        .await
    }

    /// Waits until the catalog has everything that is in the journal.
    pub async fn settle_catalog(&self) {
        eventually("everything is folded", async || {
            let status = self.client().await?.status().await?;
            let catalog = status.catalog.context("no catalog in the status")?;
            ensure!(catalog.events_behind == 0, "{} events behind", catalog.events_behind);
            anyhow::Ok(())
        })
        .await;
    }

    /// Waits until the file's blob is stored on so many nodes.
    pub async fn replicated(&self, path: &str, nodes: usize) -> v1::File {
        eventually(&format!("{path} is on {nodes} nodes"), async || {
            let file = self.client().await?.file(path).await?;
            let stored = file.replicas.iter().filter(|r| r.state() == ReplicaState::Stored).count();
            ensure!(stored == nodes, "it is on {stored}: {:?}", file.replicas);
            anyhow::Ok(file)
        })
        .await
    }

    /// Runs `highwater` to its end.
    pub async fn highwater(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.output("highwater", args).await
    }

    /// Runs `projector` to its end.
    pub async fn projector(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.output("projector", args).await
    }

    /// Runs one of our programs to its end.
    pub async fn output(&self, program: &str, args: &[&str]) -> anyhow::Result<Output> {
        self.stack.command(program, args)?.output().await.with_context(|| format!("run {program}"))
    }

    /// `projector verify` finds the catalog equal to the fold of the journal, in shorter transactions and with less in memory
    /// than the projector that runs has; and folding the same events in memory, without a server, comes to the same rows.
    pub async fn verify(&self) -> anyhow::Result<()> {
        let [batch, view] = SHORT;
        let output = self.projector(&["verify", "--json", "--set", batch, "--set", view]).await?;
        ensure!(output.status.success(), "projector verify: {output:?}");
        let verified: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let to = verified["sequence"].as_str().context("no sequence")?;
        let folded = self.fold_slice(&["--to", to]).await?;
        ensure!(folded["digest"] == verified["digest_live"], "folded in memory: {folded}, in Postgres: {verified}");
        Ok(())
    }

    /// What `projector fold --json` says of the slice that `projector export` with these flags writes.
    pub async fn fold_slice(&self, flags: &[&str]) -> anyhow::Result<serde_json::Value> {
        let file = tempfile::NamedTempFile::new_in(self.stack.data())?;
        let path = file.path().to_str().context("no UTF-8")?;
        let output = self.projector(&[&["export", "--out", path], flags].concat()).await?;
        ensure!(output.status.success(), "projector export: {output:?}");
        let output = self.projector(&["fold", "--json", "--from", path]).await?;
        ensure!(output.status.success(), "projector fold: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
