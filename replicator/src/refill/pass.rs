//! One pass through the journal, from where the last one stopped.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use journal::{Disk, Error, Refill, Replay, Saved};
use proto::{BlobId, DecodeError, Event, Fact, FileUploaded, NodeId, Recorded};
use runtime::config::{byte_size, duration};
use tokio::time::Instant;

use super::Refiller;
use super::blob::Fate;
use crate::job::{Asked, Job};

/// Events taken from the journal at once.
const BATCH: usize = 500;
/// How long they are waited for at once.
const WAIT: Duration = Duration::from_secs(1);
/// How often the log says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// So often more may be added to what is caught up with while it is written down how far that is.
const SAVE_ATTEMPTS: u32 = 5;

/// Why a pass ended.
#[derive(Debug)]
pub(super) enum End {
    /// Everything is on the node.
    Done,
    /// Some of what is to be caught up with cannot be read now.
    Left,
    /// The node that is caught up with went away.
    SourceDown,
    /// Another refill has taken the place of this one.
    Replaced,
    /// The process is to end.
    Shutdown,
    /// Only a later version of the program can tell what an event brought.
    Unknown(DecodeError),
}

/// The number of an event, and what became of each of its blobs, with its length.
type Brought = (u64, Vec<(u64, Fate)>);

/// One pass.
pub(super) struct Pass<'a> {
    refiller: &'a Refiller,
    disk: Disk,
    refill: Refill,
    revision: u64,
    erased: HashSet<BlobId>,
    /// Read from the journal and not looked at yet.
    queue: VecDeque<Recorded>,
    /// The last event that was looked at.
    taken: u64,
    /// The events whose blobs are not brought to their end.
    open: BTreeSet<u64>,
    /// The first event of which some blobs are left for another pass.
    left: Option<u64>,
    /// The last event that is read; there may be more to catch up with by the end.
    until: u64,
    /// What the bucket has.
    saved: Refill,
    /// Whether the source was there in the beginning: then it is of no use to go on without it.
    needs_source: bool,
    running: FuturesUnordered<BoxFuture<'a, Brought>>,
    progress: Progress,
}

/// What the log says.
struct Progress {
    began: Instant,
    from: u64,
    said: Instant,
    found: u64,
    erased: u64,
    parked: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(refiller: &'a Refiller, disk: Disk, saved: Saved, erased: HashSet<BlobId>) -> Self {
        let (now, from) = (Instant::now(), saved.refill.position);
        Self {
            refiller,
            disk,
            taken: from,
            left: None,
            until: saved.refill.until,
            saved: saved.refill.clone(),
            needs_source: refiller.source.is_some() && !refiller.source_is_down(),
            refill: saved.refill,
            revision: saved.revision,
            erased,
            queue: VecDeque::new(),
            open: BTreeSet::new(),
            running: FuturesUnordered::new(),
            progress: Progress { began: now, from, said: now, found: 0, erased: 0, parked: 0 },
        }
    }

    /// Reads the journal and copies what the node lacks. An error is the journal's.
    pub(super) async fn run(mut self) -> Result<End, Error> {
        let lane = &self.refiller.lane;
        let (target, position, until) = (&lane.target, self.refill.position, self.until);
        tracing::info!(seq = self.refill.cause, node.id = %target, "{} from event {} to {until}", self.what(), position + 1);
        let mut replay = lane.journal.replay(position + 1, Some(until));
        let mut save_at = Instant::now() + lane.settings.refill_save_within;
        let end = loop {
            if let Err(unknown) = self.start() {
                break End::Unknown(unknown);
            }
            if self.queue.is_empty() && self.running.is_empty() && replay.is_finished() {
                break if self.left.is_some() { End::Left } else { End::Done };
            }
            if let Some(end) = self.end_of_use() {
                break end;
            }
            tokio::select! {
                biased;
                () = lane.shutdown.soft_cancelled() => break End::Shutdown,
                () = tokio::time::sleep_until(save_at) => {
                    if !self.save(false).await? {
                        break End::Replaced;
                    }
                    self.say();
                    save_at = Instant::now() + lane.settings.refill_save_within;
                }
                Some((n, fates)) = self.running.next(), if !self.running.is_empty() => self.end(n, fates),
                () = self.refiller.set_aside.changed() => {}
                read = read(&mut replay), if self.queue.is_empty() && !replay.is_finished() => self.queue.extend(read?),
            }
        };
        let is_done = matches!(end, End::Done);
        if matches!(end, End::Replaced) || !self.save(is_done).await? {
            tracing::info!(node.id = %target, "{}: another refill takes the place of this one", self.what());
            return Ok(End::Replaced);
        }
        self.say_end();
        Ok(end)
    }

    /// Why it is of no use to go on catching up: the source went away, or too many are done of those that come after the first
    /// that is not.
    fn end_of_use(&self) -> Option<End> {
        let refiller = self.refiller;
        if self.needs_source && refiller.source_is_down() {
            return Some(End::SourceDown);
        }
        // What an earlier pass had done ahead says nothing before this one has tried the first again.
        let is_far_ahead =
            self.left.is_some() && lock(&refiller.ahead).len() >= refiller.lane.settings.refill_set_aside.max(1);
        is_far_ahead.then_some(End::Left)
    }

    fn what(&self) -> String {
        let target = &self.refiller.lane.target;
        match &self.refiller.source {
            None => format!("filling node {target}"),
            Some(source) => format!("having node {target} catch up with node {source}"),
        }
    }

    /// Starts as many copies as may be under way: being made, waiting between two attempts, or to be reported; and those
    /// that wait for the nodes they can be read from, besides.
    fn start(&mut self) -> Result<(), DecodeError> {
        let settings = &self.refiller.lane.settings;
        let most = usize::from(settings.refill_concurrency) + usize::from(settings.max_waiting);
        while self.running.len() < most + self.refiller.set_aside.count()
            && let Some(recorded) = self.queue.pop_front()
        {
            let n = recorded.n;
            let jobs = match &self.refiller.source {
                None => self.jobs(&recorded)?,
                Some(source) => self.jobs_from(source, &recorded)?,
            };
            if !jobs.is_empty() {
                let refiller = self.refiller;
                self.open.insert(n);
                self.running.push(Box::pin(async move {
                    let mut fates = Vec::with_capacity(jobs.len());
                    for job in jobs {
                        fates.push((job.blob.size_bytes, refiller.bring(&job).await));
                    }
                    (n, fates)
                }));
            }
            self.taken = n;
        }
        Ok(())
    }

    /// The copies that an event asks for in a refill: all that the fold has made pending with the event that says that the
    /// disk is new. The node may have taken an upload itself, on its old disk.
    fn jobs(&mut self, recorded: &Recorded) -> Result<Vec<Job>, DecodeError> {
        let (lane, n) = (&self.refiller.lane, recorded.n);
        let event: Event = match recorded.decode() {
            Ok(event) => event,
            // It asks for nothing: the fold keeps the record.
            Err(DecodeError::Undecodable { .. }) => return Ok(Vec::new()),
            Err(unknown) => return Err(unknown),
        };
        let mut jobs = match &event.fact {
            Fact::FileUploaded(uploaded) if self.takes(n, uploaded) => {
                vec![Job::of_upload(&event, uploaded, n, &lane.target, &lane.node_ids)]
            }
            Fact::ReplicationRedriven(redriven) if redriven.node == lane.target && n > self.disk.joined => {
                let of = |wanted| Job::of_wanted(wanted, n, &lane.target, &lane.node_ids);
                redriven.replicas.iter().map(of).collect()
            }
            _ => Vec::new(),
        };
        let asked = jobs.len();
        jobs.retain(|job| !self.erased.contains(&job.blob.blob_id));
        self.progress.erased += (asked - jobs.len()) as u64;
        // Who asks is the event that says that the disk is new.
        for job in &mut jobs {
            job.cause = self.refill.cause;
        }
        Ok(jobs)
    }

    /// The copies that an event asks for and that are first to be read from the node that is caught up with: what is left to
    /// that by the lanes, and nothing else, so that it is known of each event who does it.
    fn jobs_from(&self, source: &NodeId, recorded: &Recorded) -> Result<Vec<Job>, DecodeError> {
        let (lane, n) = (&self.refiller.lane, recorded.n);
        if lane.is_left_to_refill(n) || lock(&self.refiller.ahead).contains(&n) {
            return Ok(Vec::new());
        }
        match Asked::read(recorded, &lane.target, &lane.node_ids) {
            Asked::Copy(jobs) => Ok(jobs.into_iter().filter(|job| job.origin == *source).collect()),
            Asked::Unknown(unknown) => Err(unknown),
            Asked::Refill(_) | Asked::Erase(_) | Asked::Nothing(_) | Asked::Undecodable(_) => Ok(Vec::new()),
        }
    }

    /// Whether the node was to hold what an upload brought.
    fn takes(&self, n: u64, uploaded: &FileUploaded) -> bool {
        let target = &self.refiller.lane.target;
        if uploaded.instant {
            return false;
        }
        if n < self.disk.joined {
            return self.disk.takes_earlier;
        }
        uploaded.node == *target || uploaded.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }

    fn end(&mut self, n: u64, fates: Vec<(u64, Fate)>) {
        let mut is_done = true;
        for (bytes, fate) in fates {
            match fate {
                // Still open: whoever goes on looks at it again.
                Fate::Left => is_done = false,
                Fate::Copied => {
                    self.refill.blobs_copied += 1;
                    self.refill.bytes_copied += bytes;
                }
                Fate::Found => self.progress.found += 1,
                Fate::Erased => self.progress.erased += 1,
                Fate::Parked => self.progress.parked += 1,
            }
        }
        if is_done {
            self.open.remove(&n);
        }
        if self.refiller.source.is_none() {
            return;
        }
        if !is_done {
            // Not counted as open: there may be very many.
            self.open.remove(&n);
            self.left = Some(self.left.map_or(n, |left| left.min(n)));
        } else if self.left.is_some_and(|left| left < n) {
            lock(&self.refiller.ahead).insert(n);
        }
    }

    /// The last event up to which nothing is open or left.
    fn position(&self) -> u64 {
        let first = self.open.first().copied().into_iter().chain(self.left).min();
        first.map_or(self.taken, |first| first - 1)
    }

    /// Writes down how far it is; false when another refill has taken the place of this one.
    async fn save(&mut self, is_done: bool) -> Result<bool, Error> {
        let lane = &self.refiller.lane;
        for _ in 0..SAVE_ATTEMPTS {
            // There may be more by now.
            let is_done = is_done && self.refill.until == self.until;
            self.refill.position = if is_done { self.until } else { self.position() };
            self.refill.updated_at = lane.clock.now();
            self.refill.done = is_done;
            if let Some(revision) = lane.journal.save_refill(&lane.target, &self.refill, self.revision).await? {
                (self.saved, self.revision) = (self.refill.clone(), revision);
                let mut ahead = lock(&self.refiller.ahead);
                *ahead = ahead.split_off(&(self.refill.position + 1));
                return Ok(true);
            }
            let Some(found) = self.refiller.saved().await? else { return Ok(false) };
            if found.refill != (Refill { until: found.refill.until, ..self.saved.clone() }) {
                return Ok(false);
            }
            (self.refill.until, self.revision) = (found.refill.until, found.revision);
            self.saved = found.refill;
        }
        Ok(false)
    }

    fn say(&mut self) {
        if self.progress.said.elapsed() < SAY_EVERY {
            return;
        }
        self.progress.said = Instant::now();
        let (target, Refill { position, until, blobs_copied, .. }) = (&self.refiller.lane.target, &self.refill);
        let left = self.progress.left(*position, *until).map_or_else(|| "unknown".to_owned(), duration::format_rounded);
        tracing::info!(
            seq = self.refill.cause, node.id = %target,
            "{}: {blobs_copied} blobs ({}) copied, at event {position} of {until}, time left: {left}",
            self.what(), byte_size::format(self.refill.bytes_copied)
        );
    }

    fn say_end(&self) {
        let (target, Refill { position, until, blobs_copied, .. }) = (&self.refiller.lane.target, &self.refill);
        let (progress, size) = (&self.progress, byte_size::format(self.refill.bytes_copied));
        let what = self.what();
        if self.refill.done {
            tracing::info!(
                seq = self.refill.cause, node.id = %target,
                "done with {what}: {blobs_copied} blobs ({size}) copied, {} were there, {} erased, {} given up, up to event \
                 {until}, in {}",
                progress.found, progress.erased, progress.parked, duration::format_rounded(progress.began.elapsed())
            );
        } else {
            tracing::info!(
                seq = self.refill.cause, node.id = %target,
                "{what} stops at event {position} of {until}, {blobs_copied} blobs ({size}) are copied"
            );
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(replay: &mut Replay) -> Result<Vec<Recorded>, Error> {
    replay.next_batch(BATCH, WAIT).await
}

// === impl Progress ===

impl Progress {
    /// How long it will take at the speed so far; `None` before anything is known.
    fn left(&self, position: u64, until: u64) -> Option<Duration> {
        let done = position.saturating_sub(self.from);
        let left = u32::try_from(until.saturating_sub(position)).ok()?;
        let each = self.began.elapsed().checked_div(u32::try_from(done).ok()?)?;
        each.checked_mul(left)
    }
}
