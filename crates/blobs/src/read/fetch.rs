//! One slice, from whichever holder gives it first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::{NodeId, Sha256Digest};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::blob::Slice;
use crate::pace::Hedges;
use crate::verify::{Partial, Unfit, fetch_into};
use crate::{BlobRef, Error, Node};

/// All that is needed to fetch a slice, or the list of the slices' digests.
///
/// Holders are asked one after the other, the next one when one fails. One that breaks off in the middle leaves what it
/// gave: the next one is asked for the rest only. When a holder is silent for longer than it usually is, the next one is
/// asked for all of it beside, once for a slice and while the process's account allows it ([`Hedges`]); the first one
/// that has given everything right wins, and the other request is dropped.
#[derive(Debug)]
pub(super) struct Job {
    /// In the order in which they are asked.
    pub(super) holders: Vec<Node>,
    pub(super) blob: BlobRef,
    pub(super) key: String,
    pub(super) slice: Slice,
    /// Whether the slice is the whole object.
    pub(super) is_whole: bool,
    pub(super) digest: Sha256Digest,
    pub(super) hedges: Arc<Hedges>,
}

/// What asking the holders came to.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) outcome: Result<(Vec<Bytes>, NodeId), Error>,
    pub(super) unfit: Vec<(NodeId, Unfit)>,
}

/// One holder being asked.
#[derive(Debug)]
struct Attempt {
    node: Node,
    progress: Arc<Progress>,
    is_over: bool,
}

/// What a request has come to, as seen from beside it.
#[derive(Debug)]
struct Progress {
    asked: Instant,
    /// When bytes came last.
    last: Mutex<Option<Instant>>,
}

/// How a request ended.
struct Ended {
    attempt: usize,
    outcome: Result<(), Unfit>,
    partial: Partial,
}

// === impl Progress ===

impl Progress {
    fn new() -> Self {
        Self { asked: Instant::now(), last: Mutex::new(None) }
    }

    /// Bytes came. Answers how long the first of them took, if these are the first.
    fn moved(&self) -> Option<Duration> {
        let now = Instant::now();
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.is_none().then(|| now - self.asked)
    }

    fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Attempt ===

impl Attempt {
    /// Until when its silence is usual. Between two pieces nothing is known of the node, so that the general patience
    /// holds there.
    fn patience(&self) -> Instant {
        match self.progress.last() {
            None => self.progress.asked + self.node.pace().patience(self.node.config()),
            Some(last) => last + self.node.config().hedge_after,
        }
    }
}

// === impl Job ===

impl Job {
    pub(super) async fn run(self) -> Fetched {
        self.hedges.earn();
        let mut race = Race { next: 0, job: &self, attempts: Vec::new(), running: JoinSet::new(), unfit: Vec::new() };
        let outcome = race.run().await;
        let unfit = std::mem::take(&mut race.unfit);
        match outcome {
            Some((pieces, from)) => Fetched { outcome: Ok((pieces, from)), unfit },
            None => nobody(&self.blob, unfit),
        }
    }
}

/// A [`Job`] under way.
struct Race<'a> {
    job: &'a Job,
    /// The next holder to be asked.
    next: usize,
    /// Everyone that was asked.
    attempts: Vec<Attempt>,
    /// Requests under way, dropped with this.
    running: JoinSet<Ended>,
    unfit: Vec<(NodeId, Unfit)>,
}

// === impl Race ===

impl Race<'_> {
    /// The slice, and whose it is; `None` when every holder failed.
    async fn run(&mut self) -> Option<(Vec<Bytes>, NodeId)> {
        let mut may_hedge = true;
        self.ask_next(Partial::default());
        while !self.running.is_empty() {
            let has_other = self.job.holders.get(self.next).is_some_and(|node| node.breaker().is_readable());
            let silent_at = self.attempts.last().filter(|_| may_hedge && has_other).map(Attempt::patience);
            let ended = tokio::select! {
                biased;
                ended = self.running.join_next() => ended,
                () = until(silent_at) => {
                    // Bytes may have come since; then it has more time.
                    if self.attempts.last().is_some_and(|attempt| attempt.patience() <= Instant::now()) {
                        may_hedge = false;
                        if self.job.hedges.spend() {
                            self.ask_next(Partial::default());
                        }
                    }
                    continue;
                }
            };
            let ended = match ended? {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            if let Some(won) = self.settle(ended) {
                return Some(won);
            }
        }
        None
    }

    fn settle(&mut self, ended: Ended) -> Option<(Vec<Bytes>, NodeId)> {
        let Ended { attempt, outcome, partial } = ended;
        let over = self.attempts.get_mut(attempt)?;
        over.is_over = true;
        let node = over.node.clone();
        match outcome {
            Ok(()) => {
                self.note_losers();
                return Some((partial.into_pieces(), node.id().clone()));
            }
            // Whose bytes are wrong is not known when they are of several: this one is asked for all of them.
            Err(Unfit::Wrong(_)) if partial.is_joined() => self.ask(node, Partial::default()),
            Err(unfit) => {
                let keep = matches!(unfit, Unfit::Down(_)) && self.running.is_empty();
                self.unfit.push((node.id().clone(), unfit));
                let goes_on = |other: &Attempt| !other.is_over && other.progress.last().is_some();
                if !self.attempts.iter().any(goes_on) {
                    self.ask_next(if keep { partial.into_prefix() } else { Partial::default() });
                }
            }
        }
        None
    }

    fn ask_next(&mut self, partial: Partial) {
        if let Some(node) = self.job.holders.get(self.next) {
            self.next += 1;
            self.ask(node.clone(), partial);
        }
    }

    fn ask(&mut self, node: Node, mut partial: Partial) {
        let progress = Arc::new(Progress::new());
        let attempt = self.attempts.len();
        self.attempts.push(Attempt { node: node.clone(), progress: Arc::clone(&progress), is_over: false });
        let Job { slice, is_whole, digest, .. } = *self.job;
        let key = self.job.key.clone();
        self.running.spawn(async move {
            let moved = || {
                if let Some(took) = progress.moved() {
                    node.pace().note(took);
                }
            };
            let outcome = fetch_into(&node, &key, slice, is_whole, digest, &mut partial, moved).await;
            Ended { attempt, outcome, partial }
        });
    }

    /// Who was still silent when the winner was done is slow.
    fn note_losers(&self) {
        for loser in self.attempts.iter().filter(|attempt| !attempt.is_over && attempt.progress.last().is_none()) {
            loser.node.pace().note_lost(loser.progress.asked.elapsed());
            let (blob, node) = (self.job.blob.blob_id, loser.node.id());
            tracing::debug!(blob.id = %blob, node.id = %node, "node {node} lost a race for a slice of blob {blob}");
        }
    }
}

/// Never without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// All holders failed.
fn nobody(blob: &BlobRef, unfit: Vec<(NodeId, Unfit)>) -> Fetched {
    let said: Vec<String> = unfit.iter().map(|(node, why)| format!("node {node} {}", why.reason())).collect();
    let is_down = unfit.iter().any(|(_, why)| matches!(why, Unfit::Down(_)));
    let reason = if said.is_empty() { "no node holds it".to_owned() } else { said.join("; ") };
    let blob = blob.blob_id;
    let error = if is_down { Error::Unavailable { blob, reason } } else { Error::Unreadable { blob, reason } };
    Fetched { outcome: Err(error), unfit }
}
