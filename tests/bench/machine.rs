//! What of the machine would spoil figures, were it left to chance.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tests::Cluster;

use crate::process::Cpu;

const GIB: u64 = 1024 * 1024 * 1024;
/// How long the cluster's CPU time is looked at, and the share of one core that counts as rest.
const LOOK: Duration = Duration::from_millis(400);
const AT_REST: f64 = 0.2;
/// Long enough for what MinIO does after its last answer.
const REST_WITHIN: Duration = Duration::from_secs(20);

/// Touches most of the memory that is free: on a virtual machine, who writes to a page first pays for it, 1 to 2.5 s of
/// system time for each GB, and that must not be whoever is measured first.
pub(crate) fn touch_memory() -> anyhow::Result<()> {
    let free = free_memory()?;
    let wanted = usize::try_from(free / GIB * 3 / 4)?;
    eprintln!("touching {wanted} GiB of memory");
    let mut touched = Vec::new();
    for _ in 0..wanted {
        touched.push(black_box(vec![1_u8; usize::try_from(GIB)?]));
    }
    Ok(())
}

/// Fails when the disk with the temporary folder has not so many bytes, and some more.
pub(crate) fn ensure_room(bytes: u64) -> anyhow::Result<()> {
    let folder = std::env::temp_dir();
    let disk = rustix::fs::statvfs(&folder).with_context(|| format!("look at the disk of {}", folder.display()))?;
    let (free, wanted) = (disk.f_bavail * disk.f_frsize / GIB, bytes / GIB + 2);
    ensure!(
        free >= wanted,
        "up to {wanted} GiB are written below {}, where {free} GiB are free; TMPDIR names another folder, and \
         HIGHWATER_BENCH_ROUNDS, HIGHWATER_BENCH_EVENTS and HIGHWATER_BENCH_LOADS ask for less",
        folder.display()
    );
    Ok(())
}

/// What was deleted is given back to the disk now, not while something is measured.
pub(crate) fn settle_disk() {
    rustix::fs::sync();
}

/// Waits until the cluster does nothing: what one side has left to do must not be charged to the next.
pub(crate) async fn at_rest(cluster: &Cluster) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let before = Cpu::now(cluster)?;
        tokio::time::sleep(LOOK).await;
        let used = Cpu::now(cluster)?.since(before);
        if used.sum() <= AT_REST * LOOK.as_secs_f64() {
            return Ok(());
        }
        if started.elapsed() > REST_WITHIN {
            eprintln!("not at rest after {REST_WITHIN:?}: {used:?} within {LOOK:?}");
            return Ok(());
        }
    }
}

/// What no process and no cache uses, within this container's own limit.
fn free_memory() -> anyhow::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = meminfo.lines().find(|line| line.starts_with("MemFree:")).context("no MemFree")?;
    let free = line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? * 1024;
    let number = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse::<u64>().ok();
    let left = number("memory.max").zip(number("memory.current")).map(|(max, current)| max.saturating_sub(current));
    Ok(left.map_or(free, |left| left.min(free)))
}
