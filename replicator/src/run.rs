//! Opening what the lanes share, and starting them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use blobs::Nodes;
use journal::Journal;
use proto::NodeId;
use runtime::config::{Faults, within};
use runtime::program::Process;
use tokio::sync::Semaphore;

use crate::config::{Config, LaneName};
use crate::confirm::{Limits, Reporter, Reports, What};
use crate::lane::Lane;

/// Copies until the soft shutdown, then ends what is under way.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let faults = within("nodes", blobs::check_secrets(&config.nodes));
    if !faults.is_empty() {
        return Err(Faults(faults).into());
    }
    let journal = Journal::open(&config.nats, &process.shutdown, &process.tasks).await?;
    let cluster = journal.identity().cluster;
    let (tasks, clock) = (&process.tasks, process.clock.clone());
    let nodes = Nodes::open(&config.nodes, config.blobs.clone(), Some(cluster), tasks, clock).await?;
    for target in config.targets() {
        let limits = Limits {
            batch: config.replicator.confirm_batch,
            within: config.replicator.confirm_within,
            queue: config.replicator.confirm_queue,
        };
        let [stored, erased] = [What::Stored, What::Erased].map(|what| {
            let (clock, ids) = (process.clock.clone(), process.ids.clone());
            let (reports, reporter) = Reporter::new(what, target.clone(), limits, journal.clone(), clock, ids);
            tasks.spawn(format!("replicator.report.{target}.{what}"), reporter.run());
            reports
        });
        for name in &config.replicator.lanes {
            let reports = (stored.clone(), erased.clone());
            let lane = lane(&config, &process, &nodes, &journal, &target, *name, reports);
            tasks.spawn(format!("replicator.copy.{target}.{name}"), Arc::new(lane).run());
        }
    }
    tracing::info!("copying to {}, lanes {}", words(&config.targets()), words(&config.replicator.lanes));
    process.shutdown.soft_cancelled().await;
    Ok(())
}

fn lane(
    config: &Config,
    process: &Process,
    nodes: &Nodes,
    journal: &Journal,
    target: &NodeId,
    name: LaneName,
    (stored, erased): (Reports, Reports),
) -> Lane {
    let settings = config.replicator.clone();
    Lane {
        target: target.clone(),
        consumers: name.lane(),
        concurrency: settings.concurrency(name),
        node_ids: config.node_ids(),
        nodes: nodes.clone(),
        journal: journal.clone(),
        stored,
        erased,
        clock: process.clock.clone(),
        ids: process.ids.clone(),
        shutdown: process.shutdown.clone(),
        waiting: Semaphore::new(usize::from(settings.max_waiting)),
        erasing: Semaphore::new(usize::from(settings.erase_concurrency)),
        named: Mutex::new(BTreeSet::new()),
        settings,
    }
}

fn words(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
