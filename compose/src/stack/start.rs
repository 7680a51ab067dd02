//! Starting and stopping in order.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::{Context as _, bail};
use futures::future::{join_all, try_join_all};

use super::part::{Part, Plan};
use super::services::service_of;
use super::{Stack, State};
use crate::answer::tail;
use crate::child::{Child, Spec, StopSignal};
use crate::guard::wait_for_all;
use crate::probe::Probe;
use crate::servers::{nats, node};
use crate::{NodeEntry, data};

/// Services stop before the servers they use, and the journal before the nodes.
const STOP_ORDER: [&[&str]; 6] = [&["gateway"], &["replicator"], &["projector"], &["nats"], &["node"], &["postgres"]];

impl Stack {
    /// Starts the servers, prepares them (`projector migrate`, `gateway init`) and starts the services; returns when
    /// all are ready. To be called once, after [`super::Builder::prepare`].
    pub async fn bring_up(&self) -> anyhow::Result<()> {
        self.add_servers()?;
        let servers: Vec<String> = self.parts().iter().map(|part| part.name().to_owned()).collect();
        self.start_all(&servers).await?;
        if let Some(postgres) = &self.inner.postgres {
            postgres.create_database().await.context("make the database")?;
        }
        let settings = &self.inner.settings;
        if settings.init {
            self.run_once("projector", &["migrate"]).await?;
            self.run_once("gateway", &["init"]).await?;
        }
        let mut services = Vec::new();
        if settings.projector {
            services.push("projector".to_owned());
        }
        services.extend((1..=settings.replicators).map(|n| format!("replicator-{n}")));
        if settings.gateway {
            services.push("gateway".to_owned());
        }
        for name in &services {
            self.add_service(name)?;
        }
        self.start_all(&services).await
    }

    /// Starts or stops replicators until so many run.
    pub async fn scale(&self, replicators: usize) -> anyhow::Result<()> {
        let _scaling = self.inner.scaling.lock().await;
        let running = self.parts().iter().filter(|part| service_of(part.name()) == "replicator").count();
        for n in (replicators + 1..=running).rev() {
            let name = format!("replicator-{n}");
            self.stop(&name).await?;
            self.remove(&name);
        }
        let added: Vec<String> = (running + 1..=replicators).map(|n| format!("replicator-{n}")).collect();
        for name in &added {
            self.add_service(name)?;
        }
        self.start_all(&added).await
    }

    /// Stops everything: gateway, replicators, projector, NATS, nodes, Postgres. The data are kept, but for those of a
    /// temporary stack. All programs are stopped even when one of them makes trouble. The data directory can be taken by
    /// another stack once the last clone of this one is dropped.
    pub async fn shutdown(&self) -> anyhow::Result<()> {
        let mut first_error = Ok(());
        for group in STOP_ORDER {
            let names: Vec<String> = self
                .parts()
                .iter()
                .filter(|part| group.contains(&kind_of(part.name())))
                .map(|part| part.name().to_owned())
                .collect();
            for stopped in join_all(names.iter().map(|name| self.stop(name))).await {
                first_error = first_error.and(stopped);
            }
        }
        if self.data().exists() {
            first_error = first_error.and(wait_for_all(&self.inner.guards.lease, &self.inner.settings.progress).await);
        }
        if self.inner.temporary && first_error.is_ok() {
            data::delete(self.data())?;
        }
        first_error
    }

    /// Runs one of our own programs to its end, with its output in a log of its own. An exit code other than 0 is an
    /// error with the end of that log.
    pub async fn run_once(&self, program: &str, args: &[&str]) -> anyhow::Result<()> {
        let name = format!("{program}-{}", args.first().copied().unwrap_or("once"));
        let spec = Spec {
            program: self.program(program)?,
            args: args.iter().map(OsString::from).collect(),
            env: self.whole_env(program)?,
            ..self.spec(&name)
        };
        let child = Child::spawn(&self.inner.guards, &spec).await.with_context(|| format!("start {name}"))?;
        let timeout = self.inner.settings.start_timeout;
        let shown = args.join(" ");
        let Ok(exit) = tokio::time::timeout(timeout, child.handle().clone().ended()).await else {
            let log = &spec.log;
            let seconds = timeout.as_secs();
            bail!(
                "`{program} {shown}` did not end within {seconds} s; the end of {}:\n{}",
                log.display(),
                tail(log, 20)
            );
        };
        if !exit.is_success() {
            let log = &spec.log;
            bail!("`{program} {shown}` failed ({exit}); the end of {}:\n{}", log.display(), tail(log, 20));
        }
        Ok(())
    }

    async fn start_all(&self, names: &[String]) -> anyhow::Result<()> {
        try_join_all(names.iter().map(|name| self.start_one(name))).await.map(|_| ())
    }

    async fn start_one(&self, name: &str) -> anyhow::Result<()> {
        self.start(name).await?;
        let row = self.part(name)?.row();
        let pid = row.pid.map(|pid| pid.to_string()).unwrap_or_default();
        self.inner.settings.progress.say(format!("{name} is ready (pid {pid}) {}", row.addresses.join(" ")).trim_end());
        match row.state {
            State::Exited(exit) => bail!("{name} ended right after its start ({exit})"),
            State::Running | State::Paused | State::Stopped | State::Killed => Ok(()),
        }
    }

    fn add_servers(&self) -> anyhow::Result<()> {
        let settings = &self.inner.settings;
        if let Some(postgres) = &self.inner.postgres {
            let spec = Spec {
                program: postgres.bin.join("postgres"),
                args: postgres.args(),
                dir: postgres.data.clone(),
                stop_signal: StopSignal::Int,
                user: postgres.user,
                ..self.spec("postgres")
            };
            let credentials = [("user", crate::servers::postgres::NAME), ("password", &postgres.password)];
            self.add(Part::new(Plan {
                addresses: vec![format!("postgres://{}/{}", postgres.addr, crate::servers::postgres::NAME)],
                data: Some(postgres.data.clone()),
                credentials: words(&credentials),
                retries: 20,
                ..self.plan("postgres", Probe::Postgres { addr: postgres.addr }, spec)
            }));
        }
        if settings.nats {
            self.add_nats()?;
        }
        if settings.node_count > 0 {
            for entry in self.nodes() {
                self.add_node(entry)?;
            }
        }
        Ok(())
    }

    fn add_nats(&self) -> anyhow::Result<()> {
        let (listen, monitor) = (self.addr("nats")?, self.addr("nats-monitor")?);
        nats::write_conf(&self.inner.data, listen, monitor)?;
        let program = self.inner.programs.nats_server();
        let spec = Spec {
            program: program.context("nats-server is missing: `compose install` says how to install it")?,
            args: vec!["-c".into(), self.inner.data.run("nats.conf").into_os_string()],
            ..self.spec("nats")
        };
        self.add(Part::new(Plan {
            addresses: vec![format!("nats://{listen}"), format!("http://{monitor}")],
            data: Some(self.inner.data.nats()),
            ..self.plan("nats", Probe::Http { addr: monitor, path: "/healthz" }, spec)
        }));
        Ok(())
    }

    fn add_node(&self, entry: &NodeEntry) -> anyhow::Result<()> {
        let inner = &self.inner;
        let kind = inner.settings.nodes;
        let launch =
            node::launch(kind, &inner.data, &inner.programs, &inner.guards.compose, entry, &inner.settings.progress)?;
        let addr = self.addr(&entry.id)?;
        let mut spec = Spec { program: launch.program, args: launch.args, ..self.spec(&entry.id) };
        spec.env.extend(launch.env);
        let secret = entry.secret_key()?;
        let credentials =
            [("access_key", entry.access_key.as_str()), ("secret_key", &secret), ("bucket", &entry.bucket)];
        let probe = match kind {
            crate::NodeKind::Minio => Probe::Http { addr, path: "/minio/health/ready" },
            crate::NodeKind::Auto | crate::NodeKind::Embedded => Probe::Answers { addr },
        };
        self.add(Part::new(Plan {
            addresses: vec![entry.endpoint.clone()],
            data: Some(launch.data),
            credentials: words(&credentials),
            ..self.plan(&entry.id, probe, spec)
        }));
        Ok(())
    }

    fn add_service(&self, name: &str) -> anyhow::Result<()> {
        let service = service_of(name);
        let spec = Spec { program: self.program(service)?, env: self.whole_env(name)?, ..self.spec(name) };
        let (probe, addresses) = match service {
            "gateway" => {
                let addr = self.gateway_addr()?;
                (Probe::Grpc { addr }, vec![format!("http://{addr}")])
            }
            "projector" => (Probe::Log { program: "projector" }, Vec::new()),
            "replicator" => (Probe::Log { program: "replicator" }, Vec::new()),
            other => bail!("`{other}` is no service"),
        };
        self.add(Part::new(Plan { addresses, ..self.plan(name, probe, spec) }));
        Ok(())
    }

    /// What all programs have in common; `program` is for the caller to fill in.
    fn spec(&self, name: &str) -> Spec {
        Spec {
            program: std::path::PathBuf::new(),
            args: Vec::new(),
            env: crate::environment::base(&self.inner.environment),
            dir: self.data().to_path_buf(),
            log: self.inner.data.log(name),
            stop_signal: StopSignal::Term,
            grace: self.inner.settings.stop_grace,
            user: None,
        }
    }

    fn plan(&self, name: &str, probe: Probe, spec: Spec) -> Plan {
        Plan {
            name: name.to_owned(),
            spec,
            probe,
            addresses: Vec::new(),
            data: None,
            credentials: BTreeMap::new(),
            timeout: self.inner.settings.start_timeout,
            retries: 0,
        }
    }
}

/// `node` for `node-a`, `replicator` for `replicator-2`.
fn kind_of(name: &str) -> &str {
    name.split_once('-').map_or(name, |(kind, _)| kind)
}

fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
