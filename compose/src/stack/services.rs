//! The services as programs: what each is told, and running one of them to its end.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};

use super::Stack;
use crate::answer::{Errand, Terms};
use crate::{NodeEntry, programs};

/// The services, and the client.
const PROGRAMS: [&str; 4] = ["gateway", "replicator", "projector", "highwater"];

impl Stack {
    /// One of our own programs.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        programs::own(self.inner.settings.bin_dir.as_deref(), name)
    }

    /// The environment variables that a service is given, besides `PATH` and the like: by service (`gateway`,
    /// `replicator`, `projector`, `highwater`) or program (`replicator-2`).
    pub fn env_for(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let service = service_of(name);
        if !PROGRAMS.contains(&service) {
            bail!("`{name}` is no service: {}", PROGRAMS.join(", "));
        }
        let mut env = BTreeMap::new();
        let mut set = |key: &str, value: String| env.insert(key.to_owned(), value);
        if service == "highwater" {
            set("HIGHWATER_ADDR", format!("http://{}", self.gateway_addr()?));
        } else {
            set("HIGHWATER_NATS__URL", self.nats_url()?);
            if let Some(url) = self.nats_monitor_url() {
                set("HIGHWATER_NATS__MONITOR_URL", url);
            }
            // A log that people read, whatever the output is.
            set("HIGHWATER_TELEMETRY__FORMAT", "pretty".to_owned());
        }
        if matches!(service, "gateway" | "replicator") {
            set("HIGHWATER_NODES", serde_json::to_string(self.told_nodes()).context("write the nodes as JSON")?);
        }
        if matches!(service, "gateway" | "projector") {
            set("HIGHWATER_DATABASE__URL", self.database_url()?);
        }
        if service == "gateway" {
            set("HIGHWATER_LISTEN", self.gateway_addr()?.to_string());
        }
        let overrides = self.inner.overrides.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [service, name] {
            env.extend(overrides.get(key).cloned().unwrap_or_default());
        }
        Ok(env)
    }

    /// Gives a service (or one of its programs) one more environment variable from its next start on.
    pub fn set_env(&self, name: &str, key: &str, value: &str) -> anyhow::Result<()> {
        {
            let mut overrides = self.inner.overrides.lock().unwrap_or_else(PoisonError::into_inner);
            overrides.entry(name.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        }
        for part in self.parts() {
            if part.name() == name || service_of(part.name()) == name {
                part.set_env(self.whole_env(part.name())?);
            }
        }
        Ok(())
    }

    /// Gives all services their environment anew.
    pub(super) fn tell_services(&self) -> anyhow::Result<()> {
        for part in self.parts() {
            if PROGRAMS.contains(&service_of(part.name())) {
                part.set_env(self.whole_env(part.name())?);
            }
        }
        Ok(())
    }

    fn told_nodes(&self) -> &[NodeEntry] {
        let nodes = self.nodes();
        &nodes[..nodes.len().saturating_sub(self.inner.untold.load(Ordering::Relaxed))]
    }

    /// A command of one of our own programs, with the environment that this stack gives it and nothing else. It has no guard:
    /// it is its caller's.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new(self.program(program)?);
        command.args(args).env_clear().envs(self.whole_env(program)?).kill_on_drop(true);
        Ok(command)
    }

    /// A program that is run to its end, with this environment and nothing else.
    pub(crate) fn errand(&self, program: PathBuf, env: BTreeMap<String, String>) -> Errand {
        let mut errand = Errand::new(&self.inner.guards, program, Terms::default());
        errand.command().env_clear().envs(env);
        errand
    }

    /// The environment of a program as it is started.
    pub(crate) fn whole_env(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let mut env = crate::environment::base(&self.inner.environment);
        env.extend(self.env_for(name)?);
        Ok(env)
    }
}

/// `replicator` for `replicator-2`, and every other name as it is.
pub(super) fn service_of(name: &str) -> &str {
    match name.split_once('-') {
        Some(("replicator", _)) => "replicator",
        Some(_) | None => name,
    }
}
