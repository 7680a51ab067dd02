//! `gateway journal restore`: the journal once more, from what nodes, catalog and the journal itself have left.
//!
//! First everything goes into a file, then the stream is made from that: a restoring that was cut short is begun again with
//! the file, however little is left elsewhere by then.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use blobs::Nodes;
use catalog::{Checkpoint, Reader};
use journal::{Identity, Journal, Plan, Replaced};
use proto::{ClusterId, Event, Fact, Incarnation, JournalRestored, SliceReader};
use runtime::program::Process;
use tokio::time::Instant;

use super::left::{OnNode, look};
use crate::args::Restore;
use crate::config::Config;

mod collect;

use collect::{Left, which};

/// How often it is said how far it is.
const SAY_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) old: Incarnation,
    /// The journal that was made, or would be; `None` when nothing is lost.
    pub(super) new: Option<Incarnation>,
    /// Up to this event it is as it was.
    pub(super) last_common: u64,
    /// Where that was; `None` when it was found out by an earlier attempt.
    pub(super) found: Option<Found>,
    /// Whether the catalog was seen to be of the events up to there: the projector goes on with it.
    pub(super) keeps_catalog: bool,
    /// Events that only the journal had, and that were put at the end.
    pub(super) moved: u64,
    /// What of the archive could not be used, and why.
    pub(super) problems: Vec<String>,
    /// The file that has everything; `None` when none was written.
    pub(super) file: Option<PathBuf>,
}

/// Up to which event each had the journal as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Any node.
    pub(super) archived: u64,
    /// The journal itself.
    pub(super) survived: u64,
}

pub(super) async fn run(config: &Config, process: &Process, flags: &Restore) -> anyhow::Result<Restored> {
    let nodes = Nodes::open(&config.nodes, config.blobs.clone(), None, &process.tasks, process.clock.clone()).await?;
    let on_nodes = look(&nodes, &flags.without).await?;
    let cluster = cluster(&on_nodes)?;
    if let Some(file) = flags.file.as_deref().filter(|file| file.exists()) {
        return go_on(config, process, cluster, file, flags.dry_run).await;
    }
    let journal = Journal::open_if_there(&config.nats, &process.shutdown, &process.tasks).await.context(
        "the journal that is there cannot be read; if restoring was cut short, go on with --file and the file that it wrote",
    )?;
    let reader = (!flags.without_catalog).then(|| Reader::open(&config.database, &process.tasks));
    let catalog = match &reader {
        Some(reader) => Some((reader, checkpoint(reader, config).await?)),
        None => None,
    };
    if let Some(journal) = &journal {
        if journal.identity().cluster != cluster {
            bail!(
                "the journal that is there belongs to the cluster {}, the nodes to {cluster}",
                journal.identity().cluster
            );
        }
        nobody_works(journal).await?;
    }
    let old = match flags.life {
        Some(life) => life,
        None => which(&on_nodes, journal.as_ref(), catalog.as_ref().map(|(_, at)| at)).await?,
    };
    let left = Left { on_nodes: &on_nodes, old, journal: journal.as_ref(), accept_loss: flags.accept_loss, catalog };
    let file = flags.file.clone().unwrap_or_else(|| format!("highwater-journal-{}.jsonl", old.uuid().simple()).into());
    if file.exists() {
        bail!("{} is there already: go on with it by --file, or move it away", file.display());
    }
    let replaced = match &journal {
        Some(journal) => Some(Replaced { incarnation: journal.identity().incarnation, head: journal.head().await?.n }),
        None => None,
    };
    if flags.dry_run {
        return Ok(left.collect(std::io::sink(), replaced, process).await?.0);
    }
    let mut restored = collect_into(&left, &file, replaced, process).await?;
    if restored.new.is_some() {
        // Nothing is deleted before all of it can be read again.
        read_through(&file)?;
        make(config, process, cluster, &file, replaced).await?;
        restored.file = Some(file);
    }
    Ok(restored)
}

/// Writes everything into a file, which appears under its name only when it is whole and on disk.
async fn collect_into(
    left: &Left<'_>,
    file: &Path,
    replaced: Option<Replaced>,
    process: &Process,
) -> anyhow::Result<Restored> {
    let partial = file.with_extension("partial");
    let written = async {
        let out = File::create(&partial)?;
        let (restored, out) = left.collect(BufWriter::new(out), replaced, process).await?;
        if restored.new.is_some() {
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&partial, file)?;
            // The name, too, before anything is deleted elsewhere.
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        anyhow::Ok(restored)
    };
    let written = written.await.with_context(|| format!("write {}", file.display()));
    if !matches!(&written, Ok(restored) if restored.new.is_some()) {
        // What went wrong before is more important than a file that stays behind.
        std::fs::remove_file(&partial).ok();
    }
    written
}

/// The cluster that the nodes belong to.
fn cluster(on_nodes: &[OnNode]) -> anyhow::Result<ClusterId> {
    let mut clusters = on_nodes.iter().filter_map(|on| on.marker.as_ref()).map(|marker| marker.cluster_id);
    let Some(first) = clusters.next() else {
        bail!("no node carries a marker, so none has ever been part of a cluster: `gateway init` begins a new one");
    };
    if let Some(other) = clusters.find(|other| *other != first) {
        bail!("the nodes belong to different clusters, {first} and {other}");
    }
    Ok(first)
}

/// The catalog's checkpoint, if there is a catalog.
async fn checkpoint(reader: &Reader, config: &Config) -> anyhow::Result<Checkpoint> {
    let mut checkpoints = reader.checkpoints();
    let first = async {
        match checkpoints.now() {
            Some(checkpoint) => Some(checkpoint),
            None => checkpoints.next().await,
        }
    };
    match tokio::time::timeout(config.watch.timeout, first).await {
        Ok(Some(checkpoint)) => Ok(checkpoint),
        Ok(None) | Err(_) => bail!(
            "the catalog cannot be read; start its Postgres, or give up what only it may have with --without-catalog"
        ),
    }
}

/// Services that run would write between what is restored.
async fn nobody_works(journal: &Journal) -> anyhow::Result<()> {
    let held = match journal.bucket(journal::BucketName::Leases).await {
        Ok(bucket) => bucket.keys().await?,
        Err(journal::Error::Missing { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if held.is_empty() {
        return Ok(());
    }
    bail!(
        "somebody has the duties {}: stop all services; those that were killed are forgotten within a minute",
        held.join(", ")
    );
}

/// Makes the journal from a file that was written before. The journal that was to be replaced is gone then, or half made:
/// while it is there, everything can be collected anew.
async fn go_on(
    config: &Config,
    process: &Process,
    cluster: ClusterId,
    file: &Path,
    dry_run: bool,
) -> anyhow::Result<Restored> {
    let (new, note, last) = read_through(file)?;
    if !dry_run {
        make(config, process, cluster, file, None).await?;
    }
    Ok(Restored {
        old: note.old_incarnation,
        new: Some(new),
        last_common: note.last_common,
        found: None,
        keeps_catalog: false,
        moved: last.saturating_sub(note.last_common + 1),
        problems: Vec::new(),
        file: Some(file.to_owned()),
    })
}

/// Reads a file from the beginning to the end: the new life, what its note says, and its last event.
fn read_through(file: &Path) -> anyhow::Result<(Incarnation, JournalRestored, u64)> {
    let mut slice = open(file)?;
    let (new, from) = (slice.incarnation(), slice.next_n());
    let (mut note, mut last) = (None, 0);
    while let Some(event) = slice.next_event()? {
        last = event.n;
        if let Ok(Event { fact: Fact::JournalRestored(restored), .. }) = event.decode()
            && restored.last_common + 1 == event.n
        {
            note = Some(restored);
        }
    }
    match note {
        // `projector export` does not say the chain digest before the first event.
        Some(note) if from == 1 && slice.before().is_some() => Ok((new, note, last)),
        _ => bail!("{} was not written by `gateway journal restore`", file.display()),
    }
}

fn open(file: &Path) -> anyhow::Result<SliceReader<BufReader<File>>> {
    let opened = File::open(file).with_context(|| format!("read {}", file.display()))?;
    Ok(SliceReader::begin(BufReader::new(opened))?)
}

/// Makes the stream from the file, and what belongs to it.
async fn make(
    config: &Config,
    process: &Process,
    cluster: ClusterId,
    file: &Path,
    replaced: Option<Replaced>,
) -> anyhow::Result<()> {
    let mut slice = open(file)?;
    let identity = Identity { incarnation: slice.incarnation(), cluster };
    if let Some(mut restoring) = journal::restore(&config.nats, identity, replaced, &process.shutdown).await? {
        let mut progress = Progress::new("restored");
        while let Some(event) = slice.next_event()? {
            process.shutdown.check()?;
            restoring.add(&event).await?;
            progress.at(event.n);
        }
        restoring.end().await?;
    } else {
        tracing::info!("the journal was restored from {} before", file.display());
    }
    let ids: Vec<_> = config.nodes.iter().map(|node| node.id.clone()).collect();
    let plan = Plan { nodes: &ids, marked: &ids, ids: &process.ids };
    journal::init(&config.nats, plan, &process.shutdown).await?;
    Ok(())
}

/// Says how far long work is.
struct Progress {
    what: &'static str,
    said: Instant,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        Self { what, said: Instant::now() }
    }

    fn at(&mut self, n: u64) {
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            tracing::info!(seq = n, "{} {n} events", self.what);
        }
    }
}
