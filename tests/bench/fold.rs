//! How fast the journal is folded.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use proto::Sequence;
use tests::Cluster;

pub(crate) async fn measure(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    let status = cluster.settle().await;
    let head: Sequence = status.journal.context("no journal")?.head.parse()?;
    let started = Instant::now();
    let output = cluster.projector(&["rebuild", "--switch"]).await?;
    ensure!(output.status.success(), "projector rebuild: {output:?}");
    let rebuild = head.n as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let output = cluster.projector(&["verify"]).await?;
    ensure!(output.status.success(), "projector verify: {output:?}");
    let verify = head.n as f64 / started.elapsed().as_secs_f64();
    Ok(vec![
        vec!["events in the journal".to_owned(), head.n.to_string()],
        vec!["`projector rebuild --switch`".to_owned(), format!("{rebuild:.0} events/s")],
        vec!["`projector verify`".to_owned(), format!("{verify:.0} events/s")],
    ])
}
