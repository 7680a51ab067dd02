//! Copies from node to node: the replicator beside `rclone copy`, in turns.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use compose::NodeEntry;
use tests::{Cluster, Content};
use tokio::process::Command;

use crate::Load;
use crate::direct::Direct;
use crate::process::{cpu_seconds, nodes_cpu_seconds, peak_bytes};
use crate::report::{cpu, mebibytes, median, rate};
use crate::transfer;

/// Measures one load: the files that `transfer` has left, and new ones for each further round. The replicator is stopped
/// before and after.
pub(crate) async fn measure(cluster: &Cluster, load: Load, rounds: u64, waiting: u64) -> anyhow::Result<Vec<String>> {
    let nodes = cluster.stack.nodes();
    let source = Direct::new(&nodes[0])?;
    let content = Content::new(load.size + 1, load.size).bytes();
    let has_rclone = Command::new("rclone").arg("version").output().await.is_ok_and(|output| output.status.success());
    let (mut ours, mut theirs, mut ours_cpu, mut peak) = (vec![], vec![], vec![], 0);
    let (mut nodes_cpu, mut nodes_cpu_theirs) = (vec![], vec![]);
    let mut count = load.count * waiting;
    for round in 0..rounds {
        if round > 0 {
            transfer::upload(cluster, load, &format!("copy/{}/{round}", load.size), &content).await?;
            count = load.count;
        }
        let nodes_before = nodes_cpu_seconds(cluster)?;
        let started = Instant::now();
        cluster.stack.start("replicator-1").await?;
        cluster.settle().await;
        ours.push(started.elapsed().as_secs_f64() / count as f64);
        ours_cpu.push(cpu_seconds(cluster, "replicator-1")? / (count * 2) as f64);
        nodes_cpu.push((nodes_cpu_seconds(cluster)? - nodes_before) / (count * 2) as f64);
        peak = peak.max(peak_bytes(cluster, "replicator-1")?);
        cluster.stack.stop("replicator-1").await?;
        if has_rclone {
            let prefix = format!("rclone/{}/{round}", load.size);
            for n in 0..load.count {
                source.put(format!("{prefix}/{n}"), content.clone()).await?;
            }
            let nodes_before = nodes_cpu_seconds(cluster)?;
            theirs.push(rclone(nodes, &prefix).await? / load.count as f64);
            nodes_cpu_theirs.push((nodes_cpu_seconds(cluster)? - nodes_before) / (load.count * 2) as f64);
        }
    }
    let ours = median(ours);
    let theirs = (!theirs.is_empty()).then(|| median(theirs));
    Ok(vec![
        load.name.to_owned(),
        "2 of each".to_owned(),
        rate(load.size, 2, ours),
        theirs.map_or("not there".to_owned(), |theirs| rate(load.size, 2, theirs)),
        theirs.map_or(String::new(), |theirs| format!("{:.2}", theirs / ours)),
        cpu(load.size, 1, median(ours_cpu)),
        cpu(load.size, 1, median(nodes_cpu)),
        theirs.map_or(String::new(), |_| cpu(load.size, 1, median(nodes_cpu_theirs))),
        mebibytes(peak),
    ])
}

/// Copies from the first node to both others side by side; answers the seconds.
async fn rclone(nodes: &[NodeEntry], prefix: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let one = rclone_copy(nodes, prefix, &nodes[1]);
    let other = rclone_copy(nodes, prefix, &nodes[2]);
    tokio::try_join!(one, other)?;
    Ok(started.elapsed().as_secs_f64())
}

async fn rclone_copy(nodes: &[NodeEntry], prefix: &str, target: &NodeEntry) -> anyhow::Result<()> {
    let mut command = Command::new("rclone");
    command.args(["copy", "--transfers", "32", "--checkers", "32", "--s3-no-check-bucket", "--config", "/dev/null"]);
    command.arg(format!("source:{}/{prefix}", nodes[0].bucket)).arg(format!("target:{}/{prefix}", target.bucket));
    for (remote, node) in [("SOURCE", &nodes[0]), ("TARGET", target)] {
        let secret = std::fs::read_to_string(&node.secret_key_file)?;
        for (key, value) in [
            ("TYPE", "s3"),
            ("PROVIDER", "Minio"),
            ("ENDPOINT", node.endpoint.as_str()),
            ("REGION", node.region.as_str()),
            ("ACCESS_KEY_ID", node.access_key.as_str()),
            ("SECRET_ACCESS_KEY", secret.trim()),
        ] {
            command.env(format!("RCLONE_CONFIG_{remote}_{key}"), value);
        }
    }
    let output = command.output().await.context("run rclone")?;
    ensure!(output.status.success(), "rclone: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
