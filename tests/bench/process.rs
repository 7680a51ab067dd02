//! CPU time and memory of the cluster's processes, from /proc.

use std::fs;

use anyhow::Context as _;
use tests::Cluster;

/// Clock ticks a second in /proc/<pid>/stat: USER_HZ, 100 on every Linux that this runs on (man 5 proc).
const TICKS: f64 = 100.0;

/// CPU seconds that a program has used since it was started.
pub(crate) fn cpu_seconds(cluster: &Cluster, name: &str) -> anyhow::Result<f64> {
    let stat = read(cluster, name, "stat")?;
    // The second field is the name in parentheses and may hold spaces; user and system time are the 14th and 15th.
    let after = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS)
}

/// CPU seconds of all nodes together.
pub(crate) fn nodes_cpu_seconds(cluster: &Cluster) -> anyhow::Result<f64> {
    cluster.stack.nodes().iter().map(|node| cpu_seconds(cluster, &node.id)).sum()
}

/// The most memory that a program has had resident, in bytes.
pub(crate) fn peak_bytes(cluster: &Cluster, name: &str) -> anyhow::Result<u64> {
    let status = read(cluster, name, "status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024)
}

fn read(cluster: &Cluster, name: &str, file: &str) -> anyhow::Result<String> {
    let pid = cluster.stack.pid(name).with_context(|| format!("{name} does not run"))?;
    fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("read {file} of {name}"))
}
