//! Everything that runs together: servers, services, and the verbs on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context as _, bail};
use runtime::config::Environment;

use crate::answer::tail;
use crate::child::Guards;
use crate::data::Data;
use crate::ports::Ports;
use crate::programs::{Programs, Tool};
use crate::servers::postgres::Postgres;
use crate::{Exit, NodeEntry};

mod builder;
mod leftovers;
mod part;
mod services;
mod start;
mod supervise;

pub use builder::Builder;
pub use part::{Row, State};

use part::Part;

/// A running set of servers and services. Clones share it. When the last clone is dropped without
/// [`Stack::shutdown`], the guards end every program, in no order.
#[derive(Debug, Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Builder,
    environment: Environment,
    programs: Programs,
    guards: Guards,
    data: Data,
    temporary: bool,
    ports: Ports,
    postgres: Option<Postgres>,
    nodes: Vec<NodeEntry>,
    /// How many of the nodes, the last ones, the services are not told of yet.
    untold: AtomicUsize,
    /// Environment variables given to a service besides its own, by service (`gateway`) or program (`replicator-2`).
    overrides: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    parts: RwLock<Vec<Arc<Part>>>,
    /// Held while the number of replicators changes.
    scaling: tokio::sync::Mutex<()>,
}

impl Stack {
    /// A stack with all servers and services, in a temporary directory, on free ports.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Asks the program to end (SIGTERM; SIGINT for Postgres, its "fast" shutdown) and waits until it has; kills it
    /// after the grace period. It is not started again until [`Stack::start`].
    pub async fn stop(&self, name: &str) -> anyhow::Result<()> {
        self.part(name)?.stop(&self.inner.settings.progress).await
    }

    /// Kills the program (SIGKILL) and waits until it is gone. It is not started again until [`Stack::start`].
    pub async fn kill(&self, name: &str) -> anyhow::Result<()> {
        self.part(name)?.kill().await
    }

    /// Freezes the program and what it started (SIGSTOP).
    pub async fn pause(&self, name: &str) -> anyhow::Result<()> {
        self.part(name)?.pause().await
    }

    /// Lets a frozen program go on (SIGCONT).
    pub async fn resume(&self, name: &str) -> anyhow::Result<()> {
        self.part(name)?.resume().await
    }

    /// Starts a program that is not running and waits until it is ready. One that runs already is left alone.
    pub async fn start(&self, name: &str) -> anyhow::Result<()> {
        self.part(name)?.start(&self.inner.guards, &self.inner.settings.progress).await
    }

    /// Stops and starts.
    pub async fn restart(&self, name: &str) -> anyhow::Result<()> {
        self.stop(name).await?;
        self.start(name).await
    }

    /// Waits until the program has ended, by itself or by a verb, and says how.
    pub async fn wait_exit(&self, name: &str) -> anyhow::Result<Exit> {
        self.part(name)?.ended().await.with_context(|| format!("{name} was never started"))
    }

    /// Every program, servers first.
    pub fn ps(&self) -> Vec<Row> {
        self.parts().iter().map(|part| part.row()).collect()
    }

    /// Whether a program runs.
    pub fn state(&self, name: &str) -> anyhow::Result<State> {
        Ok(self.part(name)?.state())
    }

    /// The program's own pid (not its guard's), while it runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.part(name).ok()?.pid()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.inner.data.root()
    }

    /// The file with everything that a program has printed, all its starts together.
    pub fn log(&self, name: &str) -> PathBuf {
        self.inner.data.log(name)
    }

    /// The last lines that a program printed since its last start, indented.
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        tail(&self.log(name), lines)
    }

    /// Where a server or the gateway listens: `gateway`, `nats`, `nats-monitor`, `postgres`, `node-a`.
    pub fn addr(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.inner.ports.addr(name)
    }

    /// The gateway's address.
    pub fn gateway_addr(&self) -> anyhow::Result<SocketAddr> {
        self.addr("gateway")
    }

    /// Where clients connect to NATS.
    pub fn nats_url(&self) -> anyhow::Result<String> {
        match &self.inner.settings.external.nats_url {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("nats://{}", self.addr("nats")?)),
        }
    }

    /// NATS's monitoring URL; for a NATS from outside only when it was given.
    pub fn nats_monitor_url(&self) -> Option<String> {
        let external = &self.inner.settings.external;
        if external.nats_url.is_some() {
            return external.nats_monitor_url.clone();
        }
        self.addr("nats-monitor").ok().map(|addr| format!("http://{addr}"))
    }

    /// Where the catalog is, with its password.
    pub fn database_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.inner.settings.external.database_url {
            return Ok(url.clone());
        }
        Ok(self.postgres()?.url())
    }

    /// What Postgres's own programs (`psql`, `createdb`) need in their environment.
    pub fn postgres_env(&self) -> anyhow::Result<BTreeMap<String, String>> {
        Ok(self.postgres()?.client_env())
    }

    /// One of Postgres's own programs.
    pub fn postgres_program(&self, name: &str) -> anyhow::Result<PathBuf> {
        Ok(self.postgres()?.bin.join(name))
    }

    /// A program that only tests and the benchmark use, when it is there.
    pub fn tool(&self, tool: Tool) -> Option<PathBuf> {
        self.inner.programs.tool(tool)
    }

    /// From their next start on, the services know of the nodes of [`Builder::late_nodes`] too.
    pub fn tell_of_all_nodes(&self) -> anyhow::Result<()> {
        self.inner.untold.store(0, Ordering::Relaxed);
        self.tell_services()
    }

    /// The nodes, also those that the services are not told of yet.
    pub fn nodes(&self) -> &[NodeEntry] {
        &self.inner.nodes
    }

    /// Where a node or server keeps its data.
    pub fn data_of(&self, name: &str) -> Option<PathBuf> {
        self.part(name).ok()?.row().data
    }

    fn part(&self, name: &str) -> anyhow::Result<Arc<Part>> {
        let parts = self.parts();
        let found = parts.iter().find(|part| part.name() == name).cloned();
        found.with_context(|| {
            let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
            format!("no program `{name}` here: {}", names.join(", "))
        })
    }

    fn parts(&self) -> Vec<Arc<Part>> {
        self.inner.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, part: Part) {
        self.inner.parts.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(part));
    }

    fn remove(&self, name: &str) {
        self.inner.parts.write().unwrap_or_else(PoisonError::into_inner).retain(|part| part.name() != name);
    }

    fn postgres(&self) -> anyhow::Result<&Postgres> {
        match &self.inner.postgres {
            Some(postgres) => Ok(postgres),
            None => bail!("this stack has no Postgres of its own"),
        }
    }
}
