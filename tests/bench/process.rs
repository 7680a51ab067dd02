//! CPU time and memory of the cluster's processes, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use tests::Cluster;

use crate::report::{Table, mebibytes, median};

/// Clock ticks a second in /proc/<pid>/stat: USER_HZ, 100 on every Linux that this runs on (man 5 proc).
const TICKS: f64 = 100.0;

/// CPU seconds of everything that runs, by what it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// All nodes together.
    pub(crate) nodes: f64,
    /// The one replicator; 0 while it does not run, so that it counts from its start.
    pub(crate) replicator: f64,
    pub(crate) gateway: f64,
    pub(crate) projector: f64,
    pub(crate) nats: f64,
    /// With all processes of its own.
    pub(crate) postgres: f64,
}

/// A field of [`Cpu`].
type Part = fn(&mut Cpu) -> &mut f64;

const PARTS: [Part; 6] = [
    |cpu| &mut cpu.nodes,
    |cpu| &mut cpu.replicator,
    |cpu| &mut cpu.gateway,
    |cpu| &mut cpu.projector,
    |cpu| &mut cpu.nats,
    |cpu| &mut cpu.postgres,
];

// === impl Cpu ===

impl Cpu {
    pub(crate) fn now(cluster: &Cluster) -> anyhow::Result<Self> {
        let replicator = cluster.stack.pid("replicator-1").map_or(Ok(0.0), |_| cpu_seconds(cluster, "replicator-1"))?;
        Ok(Self {
            nodes: nodes_cpu_seconds(cluster)?,
            replicator,
            gateway: cpu_seconds(cluster, "gateway")?,
            projector: cpu_seconds(cluster, "projector")?,
            nats: cpu_seconds(cluster, "nats")?,
            postgres: family_seconds(cluster.stack.pid("postgres").context("postgres does not run")?)?,
        })
    }

    pub(crate) fn since(mut self, mut before: Self) -> Self {
        for part in PARTS {
            *part(&mut self) -= *part(&mut before);
        }
        self
    }

    /// Each part's own median.
    pub(crate) fn median(all: &[Self]) -> Self {
        let mut middle = Self::default();
        for part in PARTS {
            *part(&mut middle) = median(all.iter().map(|cpu| *part(&mut cpu.clone())).collect());
        }
        middle
    }

    pub(crate) fn sum(mut self) -> f64 {
        PARTS.iter().map(|part| *part(&mut self)).sum()
    }
}

/// CPU seconds that a program has used since it was started.
pub(crate) fn cpu_seconds(cluster: &Cluster, name: &str) -> anyhow::Result<f64> {
    Ok(Stat::parse(&read(cluster, name, "stat")?)?.own)
}

/// CPU seconds of all nodes together.
pub(crate) fn nodes_cpu_seconds(cluster: &Cluster) -> anyhow::Result<f64> {
    cluster.stack.nodes().iter().map(|node| cpu_seconds(cluster, &node.id)).sum()
}

/// CPU seconds of the programs that this one has run to their ends.
pub(crate) fn ended_seconds() -> anyhow::Result<f64> {
    Ok(Stat::parse(&fs::read_to_string("/proc/self/stat")?)?.ended)
}

/// What each program has used since it was last started: a row each.
pub(crate) fn used(cluster: &Cluster) -> anyhow::Result<Table> {
    let mut table = Table::new(&["program", "CPU", "memory at the peak"]);
    for row in cluster.stack.ps() {
        let Some(pid) = row.pid else { continue };
        let (seconds, memory) = if row.name == "postgres" {
            // A process for each connection, and their peaks cannot be added: most of their memory is common.
            (family_seconds(pid)?, format!("{} in the end, all its processes", mebibytes(family_bytes(pid)?)))
        } else {
            (cpu_seconds(cluster, &row.name)?, mebibytes(peak_bytes(cluster, &row.name)?))
        };
        table.row(vec![row.name, format!("{seconds:.1} s"), memory]);
    }
    Ok(table)
}

/// The most memory that a program has had resident, in bytes.
pub(crate) fn peak_bytes(cluster: &Cluster, name: &str) -> anyhow::Result<u64> {
    peak(&read(cluster, name, "status")?)
}

/// The most memory that a process has had resident, in bytes, by its /proc/<pid>/status.
pub(crate) fn peak(status: &str) -> anyhow::Result<u64> {
    Ok(kibibytes(status, "VmHWM:")? * 1024)
}

/// The number of a line such as `VmHWM:   1234 kB`.
fn kibibytes(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// What /proc/<pid>/stat says.
struct Stat {
    parent: u32,
    /// CPU seconds of the process itself.
    own: f64,
    /// CPU seconds of those children of it, and theirs, that have ended and been waited for.
    ended: f64,
}

impl Stat {
    fn parse(stat: &str) -> anyhow::Result<Self> {
        // The second field is the name in parentheses and may hold spaces. The 4th is the parent; user and system time are
        // the 14th and 15th, those of ended children the 16th and 17th.
        let after = stat.rsplit_once(')').context("no name in stat")?.1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let field = |n: usize| fields.get(n - 3).copied().context("stat is too short");
        let ticks = |n: usize| anyhow::Ok(field(n)?.parse::<f64>()?);
        Ok(Self {
            parent: field(4)?.parse()?,
            own: (ticks(14)? + ticks(15)?) / TICKS,
            ended: (ticks(16)? + ticks(17)?) / TICKS,
        })
    }
}

/// CPU seconds of a process and of its children, also of those that have ended.
fn family_seconds(pid: u32) -> anyhow::Result<f64> {
    let own = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    let children: f64 = children(pid)?.values().map(|stat| stat.own).sum();
    Ok(own.own + own.ended + children)
}

/// Memory of a process and of its children in bytes, what several have in common counted once.
fn family_bytes(pid: u32) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for folder in std::iter::once(PathBuf::from(format!("/proc/{pid}"))).chain(children(pid)?.into_keys()) {
        // One may just have ended.
        let Ok(rollup) = fs::read_to_string(folder.join("smaps_rollup")) else { continue };
        bytes += kibibytes(&rollup, "Pss:")? * 1024;
    }
    Ok(bytes)
}

/// The children that a process has now, by their folders in /proc.
fn children(pid: u32) -> anyhow::Result<BTreeMap<PathBuf, Stat>> {
    let mut children = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        // A process that ends while it is looked at counts among the ended ones next time.
        let Ok(text) = fs::read_to_string(folder.join("stat")) else { continue };
        let stat = Stat::parse(&text)?;
        if stat.parent == pid {
            children.insert(folder, stat);
        }
    }
    Ok(children)
}

fn read(cluster: &Cluster, name: &str, file: &str) -> anyhow::Result<String> {
    let pid = cluster.stack.pid(name).with_context(|| format!("{name} does not run"))?;
    fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("read {file} of {name}"))
}
