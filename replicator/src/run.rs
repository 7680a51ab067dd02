//! Opening what the lanes share, and starting them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobs::Nodes;
use journal::{Journal, Markers};
use proto::NodeId;
use runtime::config::{Faults, within};
use runtime::program::Process;
use runtime::shutdown::Shutdown;
use runtime::{retry, telemetry};
use tokio::sync::Semaphore;

use crate::archive::Archiver;
use crate::config::Config;
use crate::confirm::{Limits, Reporter, Reports, What};
use crate::lane::{Account, CatchingUp, Lane, Sources};
use crate::refill::Refiller;

/// How often it is asked whether a node was retired.
const LOOK_EVERY: Duration = Duration::from_secs(10);

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
    let markers = Arc::new(Markers::new(journal.clone()));
    nodes.expect(markers.judge()).await;
    tasks.spawn("replicator.markers", watch(Arc::clone(&markers), process.shutdown.clone()));
    let shared = Shared { config: &config, process: &process, nodes: &nodes, journal: &journal, markers: &markers };
    let holder = process.ids.v4().to_string();
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
        let catching_up = Arc::new(CatchingUp::default());
        for name in &config.replicator.lanes {
            let Some(consumers) = name.consumers() else {
                let archiver = shared.archiver(&target, holder.clone());
                tasks.spawn(format!("replicator.archive.{target}"), archiver.run());
                continue;
            };
            let lane = shared.lane(&target, consumers, (stored.clone(), erased.clone()), &catching_up);
            tasks.spawn(format!("replicator.copy.{target}.{name}"), Arc::new(lane).run());
        }
        let lane = Arc::new(shared.lane(&target, journal::Lane::Small, (stored, erased), &catching_up));
        let refiller = Refiller::new(Arc::clone(&lane), None, holder.clone());
        tasks.spawn(format!("replicator.refill.{target}"), refiller.run());
        let catch_up = catch_up(process.clone(), lane, holder.clone());
        tasks.spawn(format!("replicator.catch_up.{target}"), catch_up);
    }
    tracing::info!("copying to {}, lanes {}", words(&config.targets()), words(&config.replicator.lanes));
    telemetry::ready("replicator");
    process.shutdown.soft_cancelled().await;
    Ok(())
}

/// What all lanes are made of.
struct Shared<'a> {
    config: &'a Config,
    process: &'a Process,
    nodes: &'a Nodes,
    journal: &'a Journal,
    markers: &'a Arc<Markers>,
}

impl Shared<'_> {
    fn archiver(&self, target: &NodeId, holder: String) -> Archiver {
        Archiver {
            target: target.clone(),
            nodes: self.nodes.clone(),
            journal: self.journal.clone(),
            markers: Arc::clone(self.markers),
            settings: self.config.replicator.clone(),
            holder,
            shutdown: self.process.shutdown.clone(),
        }
    }

    fn lane(
        &self,
        target: &NodeId,
        consumers: journal::Lane,
        (stored, erased): (Reports, Reports),
        catching_up: &Arc<CatchingUp>,
    ) -> Lane {
        let settings = self.config.replicator.clone();
        Lane {
            target: target.clone(),
            consumers,
            concurrency: settings.concurrency(consumers),
            node_ids: self.config.node_ids(),
            nodes: self.nodes.clone(),
            journal: self.journal.clone(),
            markers: Arc::clone(self.markers),
            stored,
            erased,
            clock: self.process.clock.clone(),
            ids: self.process.ids.clone(),
            shutdown: self.process.shutdown.clone(),
            waiting: Semaphore::new(usize::from(settings.max_waiting)),
            sources: Sources::new(settings.concurrency(consumers)),
            catching_up: Arc::clone(catching_up),
            account: Account::default(),
            erasing: Semaphore::new(usize::from(settings.erase_concurrency)),
            orders: Semaphore::new(usize::from(settings.max_waiting)),
            named: Mutex::new(BTreeSet::new()),
            settings,
        }
    }
}

/// Starts the catching up of a node with each other one, those included that are not configured any more.
async fn catch_up(process: Process, lane: Arc<Lane>, holder: String) {
    let mut sources: BTreeSet<NodeId> = lane.learn_what_is_left().await.into_iter().collect();
    sources.extend(lane.node_ids.iter().filter(|node| **node != lane.target).cloned());
    for source in sources {
        let name = format!("replicator.catch_up.{}.{source}", lane.target);
        let refiller = Refiller::new(Arc::clone(&lane), Some(source), holder.clone());
        process.tasks.spawn(name, refiller.run());
    }
}

/// Learns of nodes that are retired: they get no copies any more.
async fn watch(markers: Arc<Markers>, shutdown: Shutdown) {
    loop {
        if let Err(error) = markers.refresh().await {
            tracing::debug!("which nodes are part of the cluster is not known now: {error}");
        }
        if !retry::sleep(LOOK_EVERY, shutdown.soft_token()).await {
            return;
        }
    }
}

fn words(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
