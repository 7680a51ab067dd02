//! What waiting for the catalog costs small uploads: the cluster's gateway, which waits until an upload is decided, beside
//! one that answers as soon as the journal has it.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tests::{Client, Cluster, eventually};
use tokio::process::Child;

use crate::Load;
use crate::report::median;
use crate::transfer::upload_to;

pub(crate) async fn measure(cluster: &Cluster, load: Load, rounds: u64) -> anyhow::Result<Vec<Vec<String>>> {
    let waiting = cluster.stack.gateway_addr()?;
    let (mut second, hasty) = hasty_gateway(cluster).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        with.push(upload_to(waiting, load, &format!("waiting/{round}")).await?);
        cluster.settle_catalog().await;
        without.push(upload_to(hasty, load, &format!("hasty/{round}")).await?);
        cluster.settle_catalog().await;
    }
    second.kill().await?;
    let rate = |seconds: Vec<f64>| load.count as f64 / median(seconds);
    let (with, without) = (rate(with), rate(without));
    Ok(vec![
        vec![format!("{} uploads, {} clients, answered when decided", load.name, load.clients), format!("{with:.0}/s")],
        vec![
            format!("{} uploads, {} clients, answered when in the journal", load.name, load.clients),
            format!("{without:.0}/s, {:.2} of the former", without / with),
        ],
    ])
}

async fn hasty_gateway(cluster: &Cluster) -> anyhow::Result<(Child, SocketAddr)> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = cluster.stack.command("gateway", ["run"])?;
    command.env("HIGHWATER_LISTEN", free.to_string()).env("HIGHWATER_LIMITS__PROJECTION_WAIT", "1us");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    eventually("the second gateway answers", async || {
        Client::connect(free).await?.status().await.map_err(anyhow::Error::new)
    })
    .await;
    Ok((child, free))
}
