//! Puts the gateway together and lets it run.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use blobs::Nodes;
use catalog::{Checkpoint, Reader};
use journal::{Journal, Markers};
use runtime::config::{Fault, Faults, within};
use runtime::ports::holder_of;
use runtime::program::Process;
use tokio::net::TcpListener;
use tracing::info;

use crate::config::Config;
use crate::files::{Files, Opened};
use crate::plain::Plain;
use crate::server::Server;
use crate::{duties, grpc, watch};

/// Serves until the process is told to stop and what was in flight is finished.
///
/// The port is bound at once, and whatever is not there yet is waited for: until then requests get UNAVAILABLE and the
/// health says NOT_SERVING. A journal that is not safe to use ends the process.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    check_secrets(&config)?;
    let listener = bind(config.listen).await?;
    serve(config, listener, process).await
}

async fn serve(config: Config, listener: TcpListener, process: Process) -> anyhow::Result<()> {
    let Process { shutdown, tasks, .. } = process.clone();
    let catalog = Reader::open(&config.database, &tasks);
    let (files, finds) = Files::new(catalog.clone(), config.limits.clone(), process.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    let routes = grpc::routes(&files, health_service)?;

    let (health, readiness) = watch::HealthBoard::new(health).await;
    let plain = Plain::new(files.clone(), readiness, &config.metrics);
    let server = Server::new(routes, plain, &config, process.ids.clone());
    tasks.spawn("gateway.watch", watch::run(files.clone(), config.watch.clone(), health, shutdown.clone()));
    tasks.spawn("gateway.report", files.clone().report_bad_replicas(finds, shutdown.clone()));
    tasks.spawn("gateway.open", open(files, config, process));

    let address = listener.local_addr().context("read the address that was bound")?;
    info!(%address, "listening on {address}");
    server.serve(listener, &shutdown).await.context("serve connections")?;
    catalog.close();
    Ok(())
}

/// Opens the journal, then the nodes of its cluster, and takes them into use.
async fn open(files: Files, config: Config, process: Process) -> anyhow::Result<()> {
    let Process { shutdown, tasks, clock, ids } = process.clone();
    let journal = Journal::open(&config.nats, &shutdown, &tasks).await?;
    if let Some(checkpoint) = first_checkpoint(files.catalog(), config.watch.timeout).await {
        // The catalog knows which journal it was folded from: another one is refused before anything is written to it.
        watch::observe(&journal, &checkpoint);
        if let Err(error @ journal::Error::Diverged(_)) = journal.check().await {
            return Err(error.into());
        }
    }
    let cluster = journal.identity().cluster;
    let nodes = Nodes::open(&config.nodes, config.blobs, Some(cluster), &tasks, clock).await?;
    tasks.spawn("gateway.sweep", watch::sweep(nodes.clone(), journal.clone(), config.watch, shutdown.clone()));
    tasks.spawn("gateway.guard", watch::guard(files.catalog().clone(), journal.clone(), shutdown.clone()));
    let markers = Arc::new(Markers::new(journal.clone()));
    nodes.expect(markers.judge()).await;
    files.open(Opened { journal, nodes, learning: Arc::default() });
    tasks.spawn("gateway.standings", files.clone().watch_standings(shutdown.clone()));
    let holder = ids.v7().to_string();
    let wiped = duties::wiped(files.clone(), config.duties.clone(), markers, holder.clone(), process);
    tasks.spawn("gateway.wiped", wiped);
    tasks.spawn("gateway.erase", duties::erase(files.clone(), config.duties.clone(), holder.clone(), shutdown.clone()));
    tasks.spawn("gateway.prune", duties::prune(files.clone(), config.duties.clone(), holder.clone(), shutdown.clone()));
    let rebalance = duties::rebalance(files.clone(), config.duties.clone(), holder.clone(), shutdown.clone());
    tasks.spawn("gateway.rebalance", rebalance);
    tasks.spawn("gateway.scrub", duties::scrub(files, config.duties, holder, shutdown));
    Ok(())
}

/// The catalog's checkpoint, if the catalog can be reached soon.
async fn first_checkpoint(catalog: &Reader, timeout: Duration) -> Option<Checkpoint> {
    let mut checkpoints = catalog.checkpoints();
    match checkpoints.now() {
        Some(checkpoint) => Some(checkpoint),
        None => tokio::time::timeout(timeout, checkpoints.next()).await.ok().flatten(),
    }
}

/// A secret that cannot be read is a fault of the configuration: found before a port is bound.
pub(crate) fn check_secrets(config: &Config) -> Result<(), Faults> {
    let faults = within("nodes", blobs::check_secrets(&config.nodes));
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Faults> {
    TcpListener::bind(listen).await.map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::AddrInUse => format!("{listen} is taken by {}", holder_of(listen.port())),
            _ => format!("{listen} cannot be bound: {error}"),
        };
        Faults::from(Fault::new("listen", problem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_in_one_line() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = first.local_addr().unwrap();
        let fault = bind(address).await.unwrap_err();
        let said = fault.to_string();
        assert!(said.starts_with(&format!("listen: {address} is taken by ")), "{said}");
        assert!(said.ends_with(&format!(" (pid {})", std::process::id())), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
}
