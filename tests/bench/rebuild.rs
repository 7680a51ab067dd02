//! Rebuilding the catalog from journals of several lengths, beside the least that any rebuild must do: reading and parsing
//! the journal, and getting the same rows into the same tables with the same indexes.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use journal::Journal;
use proto::Sequence;
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use tests::Cluster;

use crate::database::Database;
use crate::mix::Mix;
use crate::report::{Table, mebibytes};
use crate::wanted::list;

/// What an event takes of the disk at most: in the journal, in two catalogs and a copy of one, and in Postgres's log.
pub(crate) const BYTES_PER_EVENT: u64 = 14 * 1024;

/// As long as a journal is folded event by event in a bearable time.
const ROW_BY_ROW: u64 = 20_000;
/// How often the memory of a rebuild is looked at.
const LOOK: Duration = Duration::from_millis(100);

const HEAD: [&str; 7] = [
    "events",
    "rebuild (peak memory)",
    "only reading and parsing",
    "only COPY into the indexed tables",
    "event by event",
    "rebuild / slower of the two (goal: at least 0.5)",
    "rebuild / event by event (goal: at least 10)",
];

/// How long the journals are.
pub(crate) fn lengths() -> anyhow::Result<Vec<u64>> {
    let mut lengths = list("HIGHWATER_BENCH_EVENTS", &[100_000, 1_000_000, 3_000_000])?;
    lengths.sort_unstable();
    Ok(lengths)
}

/// Answers the table. One journal gets longer and longer; nothing else runs but its server and Postgres.
pub(crate) async fn measure(cluster: &Cluster, lengths: &[u64]) -> anyhow::Result<Table> {
    let status = cluster.settle().await;
    let head: Sequence = status.journal.context("no journal")?.head.parse()?;
    let database = Database::open(cluster).await?;
    let mut mix = Mix::new(database.main_space().await?, database.nodes().await?);
    database.close().await;
    for name in ["gateway", "replicator-1", "projector"] {
        cluster.stack.stop(name).await?;
    }
    let client = async_nats::connect(cluster.stack.nats_url()?).await?;
    let journal = open(cluster).await?;
    let mut table = Table::new(&HEAD);
    let mut at = head.n;
    let first = ROW_BY_ROW.max(at + 1);
    mix.publish(&client, at, first).await?;
    at = first;
    let (row_by_row, _) = rebuild(cluster, at, &["--set", "projector.batch_events=1"]).await?;
    for &length in lengths {
        if length > at {
            mix.publish(&client, at, length).await?;
            at = length;
        }
        eprintln!("{at} events are in the journal");
        let reading = read(&journal, at).await?;
        let (rebuild, peak) = rebuild(cluster, at, &[]).await?;
        let database = Database::open(cluster).await?;
        ensure!(database.checkpoint().await? == at, "the catalog is not at {at}");
        let odd = database.rejected().await?;
        ensure!(odd == 0, "{odd} events were not applied");
        let copying = at as f64 / database.copy_all().await?.as_secs_f64();
        database.close().await;
        table.row(vec![
            at.to_string(),
            format!("{rebuild:.0}/s ({})", mebibytes(peak)),
            format!("{reading:.0}/s"),
            format!("{copying:.0}/s"),
            format!("{row_by_row:.0}/s of {first}"),
            format!("{:.2}", rebuild / reading.min(copying)),
            format!("{:.1}", rebuild / row_by_row),
        ]);
    }
    Ok(table)
}

/// Events a second of a whole `projector rebuild --switch` with these flags, and the most memory that it had.
async fn rebuild(cluster: &Cluster, events: u64, flags: &[&str]) -> anyhow::Result<(f64, u64)> {
    let arguments = [&["rebuild", "--switch"], flags].concat();
    let started = Instant::now();
    let mut child = cluster.stack.command("projector", arguments)?.stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id().context("it has ended")?);
    let mut peak = 0;
    let ended = loop {
        if let Ok(ended) = tokio::time::timeout(LOOK, child.wait()).await {
            break ended?;
        }
        // One that has just ended has none any more.
        peak = fs::read_to_string(&status).ok().and_then(|text| crate::process::peak(&text).ok()).unwrap_or(peak);
    };
    ensure!(ended.success(), "projector rebuild: {ended}");
    Ok((events as f64 / started.elapsed().as_secs_f64(), peak))
}

/// Events a second of reading the journal as a rebuild does, and parsing each event.
async fn read(journal: &Journal, to: u64) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut replay = journal.replay(1, Some(to));
    let mut events = 0_u64;
    while !replay.is_finished() {
        for recorded in replay.next_batch(2000, Duration::from_secs(1)).await? {
            recorded.decode()?;
            events += 1;
        }
    }
    ensure!(events == to, "{events} events of {to}");
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

async fn open(cluster: &Cluster) -> anyhow::Result<Journal> {
    let config = journal::Config {
        url: cluster.stack.nats_url()?,
        monitor_url: cluster.stack.nats_monitor_url().unwrap_or_default(),
        ..journal::Config::default()
    };
    let shutdown = Shutdown::new();
    Ok(Journal::open(&config, &shutdown, &Tasks::new(shutdown.clone())).await?)
}
