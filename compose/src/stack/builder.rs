//! What a stack shall have, before anything is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use runtime::config::Environment;

use super::{Inner, Stack, leftovers};
use crate::child::Guards;
use crate::data::Data;
use crate::install::{self, Install, Servers};
use crate::ports::Ports;
use crate::programs::{self, Programs};
use crate::servers::node::read_nodes_file;
use crate::servers::postgres::Postgres;
use crate::{Durability, NodeEntry, NodeKind, PortPlan, Progress};

/// The variable that keeps the data of temporary stacks, for looking at them after a test.
const KEEP_DATA: &str = "HIGHWATER_KEEP_DATA";

/// Servers that others started: only the rest is started here.
#[derive(Debug, Clone, Default)]
pub(crate) struct External {
    pub(crate) nats_url: Option<String>,
    pub(crate) nats_monitor_url: Option<String>,
    pub(crate) database_url: Option<String>,
    pub(crate) nodes: Option<Vec<NodeEntry>>,
}

/// Settings of a [`Stack`]. The default is what a test wants: everything, in a temporary directory that is deleted by
/// [`Stack::shutdown`], on free ports, nothing installed, nothing said.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one program whether it is started")]
pub struct Builder {
    pub(super) data: Option<PathBuf>,
    pub(super) ports: PortPlan,
    pub(super) nodes: NodeKind,
    pub(super) node_count: usize,
    pub(super) late_nodes: usize,
    pub(super) nats: bool,
    pub(super) postgres: bool,
    pub(super) init: bool,
    pub(super) gateway: bool,
    pub(super) projector: bool,
    pub(super) replicators: usize,
    pub(super) durability: Durability,
    pub(super) install: Install,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) external: External,
    pub(super) overrides: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) start_timeout: Duration,
    pub(super) stop_grace: Duration,
    pub(super) progress: Progress,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            data: None,
            ports: PortPlan::Free,
            nodes: NodeKind::Auto,
            node_count: 3,
            late_nodes: 0,
            nats: true,
            postgres: true,
            init: true,
            gateway: true,
            projector: true,
            replicators: 2,
            durability: Durability::Fast,
            install: Install::No,
            bin_dir: None,
            external: External::default(),
            overrides: BTreeMap::new(),
            start_timeout: Duration::from_mins(1),
            // More than the services' own `shutdown_grace`, after which they end by themselves.
            stop_grace: Duration::from_secs(40),
            progress: Progress::silent(),
        }
    }
}

impl Builder {
    /// Keeps the data here; they survive a shutdown.
    #[must_use]
    pub fn data(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data = Some(dir.into());
        self
    }

    /// How ports are chosen.
    #[must_use]
    pub fn ports(mut self, plan: PortPlan) -> Self {
        self.ports = plan;
        self
    }

    /// Which program the nodes are.
    #[must_use]
    pub fn nodes(mut self, kind: NodeKind) -> Self {
        self.nodes = kind;
        self
    }

    /// How many nodes: `node-a`, `node-b` and so on.
    #[must_use]
    pub fn node_count(mut self, count: usize) -> Self {
        self.node_count = count;
        self
    }

    /// So many of the nodes, the last ones, run from the start, but the services are told of them only by
    /// [`Stack::tell_of_all_nodes`].
    #[must_use]
    pub fn late_nodes(mut self, count: usize) -> Self {
        self.late_nodes = count;
        self
    }

    /// Whether a NATS server is started.
    #[must_use]
    pub fn nats(mut self, wanted: bool) -> Self {
        self.nats = wanted;
        self
    }

    /// Whether a Postgres server is started.
    #[must_use]
    pub fn postgres(mut self, wanted: bool) -> Self {
        self.postgres = wanted;
        self
    }

    /// Whether `projector migrate` and `gateway init` are run once the servers are ready.
    #[must_use]
    pub fn init(mut self, wanted: bool) -> Self {
        self.init = wanted;
        self
    }

    /// Whether a gateway is started.
    #[must_use]
    pub fn gateway(mut self, wanted: bool) -> Self {
        self.gateway = wanted;
        self
    }

    /// Whether a projector is started.
    #[must_use]
    pub fn projector(mut self, wanted: bool) -> Self {
        self.projector = wanted;
        self
    }

    /// How many replicators are started.
    #[must_use]
    pub fn replicators(mut self, count: usize) -> Self {
        self.replicators = count;
        self
    }

    /// All services and their set-up, or servers only. `services(true)` has two replicators.
    #[must_use]
    pub fn services(self, wanted: bool) -> Self {
        self.init(wanted).gateway(wanted).projector(wanted).replicators(if wanted { 2 } else { 0 })
    }

    /// Whether servers wait for the disk.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether missing programs are installed.
    #[must_use]
    pub fn install(mut self, install: Install) -> Self {
        self.install = install;
        self
    }

    /// Where our own programs are, when not beside this one.
    #[must_use]
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Uses a NATS server that is not this stack's; its monitoring URL when that is not known from the first.
    #[must_use]
    pub fn external_nats(mut self, url: impl Into<String>, monitor_url: Option<String>) -> Self {
        self.external.nats_url = Some(url.into());
        self.external.nats_monitor_url = monitor_url;
        self.nats(false)
    }

    /// Uses a database that is not this stack's.
    #[must_use]
    pub fn external_database(mut self, url: impl Into<String>) -> Self {
        self.external.database_url = Some(url.into());
        self.postgres(false)
    }

    /// Uses nodes that are not this stack's.
    #[must_use]
    pub fn external_nodes(mut self, nodes: Vec<NodeEntry>) -> Self {
        self.external.nodes = Some(nodes);
        self.node_count(0)
    }

    /// Uses the nodes that a file lists as `[[nodes]]`.
    pub fn nodes_file(self, path: &Path) -> anyhow::Result<Self> {
        Ok(self.external_nodes(read_nodes_file(path)?))
    }

    /// Gives a service one more environment variable: `("gateway", "HIGHWATER_LIMITS__CHUNK_BYTES", "1024")`. The name
    /// is a service (`replicator`), or one of its programs (`replicator-2`).
    #[must_use]
    pub fn env(mut self, service: &str, key: &str, value: &str) -> Self {
        self.overrides.entry(service.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// How long one program may take until it is ready.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long one program may take to stop before it is killed.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Who is told what is going on.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Starts everything and returns when all of it is ready. When that fails, what was started is stopped, and the
    /// error holds the end of the log of the program at fault.
    pub async fn start(self) -> anyhow::Result<Stack> {
        let stack = self.prepare().await?;
        match stack.bring_up().await {
            Ok(()) => Ok(stack),
            Err(error) => {
                // The first error is the one that explains.
                let _ = stack.shutdown().await;
                Err(error)
            }
        }
    }

    /// Takes the data directory, chooses the ports, installs what is missing; starts nothing yet
    /// ([`Stack::bring_up`] does).
    pub async fn prepare(self) -> anyhow::Result<Stack> {
        let environment = Environment::process();
        if let Some(root) = self.data.clone() {
            return self.prepare_in(&root, environment, false).await;
        }
        let temporary = environment.var(KEEP_DATA).is_none();
        if temporary {
            leftovers::sweep(&std::env::temp_dir());
        }
        let root = leftovers::new_dir();
        let unfinished = Unfinished(Some(root.clone()));
        let prepared = self.prepare_in(&root, environment, temporary).await?;
        unfinished.keep();
        Ok(prepared)
    }

    async fn prepare_in(mut self, root: &Path, environment: Environment, temporary: bool) -> anyhow::Result<Stack> {
        let programs = Programs::new(&environment);
        let bin_dir = self.bin_dir.clone().or_else(|| environment.var("HIGHWATER_BIN_DIR").map(PathBuf::from));
        let compose = programs::own(bin_dir.as_deref(), "compose")?;
        self.bin_dir = compose.parent().map(Path::to_path_buf);

        let data = Data::take(root, &self.progress).await?;
        if temporary {
            leftovers::mark(&data)?;
        }
        if self.node_count > 0 {
            self.nodes = self.nodes.settle(&data, &programs)?;
        }
        let minio = self.node_count > 0 && self.nodes == NodeKind::Minio;
        let servers = Servers { nats: self.nats, postgres: self.postgres, minio };
        install::ensure(&programs, &compose, servers, &[], self.install, &self.progress).await?;
        let ports = Ports::choose(self.ports, &self.listeners())?;
        let guards = Guards { compose, lease: data.lease() };
        let postgres = if self.postgres {
            let addr = ports.addr("postgres")?;
            Some(Postgres::prepare(&data, &programs, guards.clone(), addr, self.durability, &self.progress).await?)
        } else {
            None
        };
        let own_nodes = || self.node_names().iter().map(|id| NodeEntry::of(&data, id, ports.addr(id)?)).collect();
        let nodes = self.external.nodes.clone().map_or_else(own_nodes, anyhow::Ok)?;
        let overrides = Mutex::new(self.overrides.clone());
        let late_nodes = self.late_nodes;
        let inner = Inner {
            temporary,
            settings: self,
            environment,
            programs,
            guards,
            data,
            ports,
            postgres,
            untold: AtomicUsize::new(late_nodes),
            nodes,
            overrides,
            parts: RwLock::default(),
            scaling: tokio::sync::Mutex::default(),
        };
        Ok(Stack { inner: Arc::new(inner) })
    }

    pub(super) fn node_names(&self) -> Vec<String> {
        ('a'..='z').take(self.node_count).map(|letter| format!("node-{letter}")).collect()
    }

    /// Everything that listens. The gateway's port is chosen even when no gateway is started, so that a test can start
    /// one itself.
    fn listeners(&self) -> Vec<String> {
        let mut names = Vec::new();
        if self.gateway || self.ports == PortPlan::Free {
            names.push("gateway".to_owned());
        }
        if self.nats {
            names.extend(["nats".to_owned(), "nats-monitor".to_owned()]);
        }
        if self.postgres {
            names.push("postgres".to_owned());
        }
        names.extend(self.node_names());
        names
    }
}

/// A temporary directory that is deleted unless it is kept: a start that fails or is given up leaves nothing.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(root) = &self.0 {
            // The first error is the one that explains.
            let _ = crate::data::delete(root);
        }
    }
}
