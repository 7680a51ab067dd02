//! Publishing: one retry policy with the same id, and group commit.
//!
//! A server that fsyncs before it acknowledges takes about 1,000 single events a second, whatever their number in flight,
//! but 6,000 in batches of 100: a batch is fsynced as a whole, though it costs as much as some 30 single events even when
//! it is small. So one task takes what concurrent callers want to publish and, when there is enough of it, sends it as one
//! atomic batch; whatever goes wrong with a batch, its events are then published one by one with the same ids. That is
//! safe because the stream stores an id once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proto::Event;
use runtime::retry::{self, Policy, Transient};
use runtime::trace::{self, Trace};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use crate::error::PublishError;
use crate::journal::{NotApproved, Shared};

mod batch;
mod send;

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence number.
    pub n: u64,
    /// Whether it had been there before this call, or an earlier attempt of this call stored it.
    pub duplicate: bool,
}

/// One attempt to publish one event.
#[derive(Debug)]
pub(crate) struct Entry {
    message: Arc<Message>,
    /// The highest checkpoint known before the event was first sent.
    floor: u64,
    /// An earlier attempt may have stored it. Then it goes alone, as a batch with one known id is refused as a whole, and no
    /// later attempt proves that it is not stored.
    maybe_stored: bool,
    /// After this nobody waits any more.
    deadline: Instant,
    answer: oneshot::Sender<Result<Published, Failure>>,
}

/// An event as it is sent.
#[derive(Debug)]
struct Message {
    id: String,
    subject: String,
    payload: Bytes,
    /// For whom it is published.
    trace: Option<Trace>,
}

/// How one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// This attempt did not store the event; another one may.
    NotStored(String),
    /// Nobody knows.
    Unknown(String),
    /// Trying again does not help.
    Final(PublishError),
}

/// See `Journal::publish`.
pub(crate) async fn publish(
    shared: &Shared,
    queue: &mpsc::Sender<Entry>,
    event: &Event,
) -> Result<Published, PublishError> {
    let message = Arc::new(Message {
        id: event.id.to_string(),
        subject: event.fact.subject(),
        payload: Bytes::from(event.encode()),
        trace: trace::current(),
    });
    let config = &shared.config;
    let policy =
        Policy::new(config.retry_first_delay, config.retry_max_delay).with_max_elapsed(config.publish_max_elapsed);
    let deadline = Instant::now() + config.publish_max_elapsed;
    let floor = shared.guard.floor();
    let maybe_stored = AtomicBool::new(false);
    let published = retry::run(&policy, &shared.stop, async || {
        let (answer, outcome) = oneshot::channel();
        let entry = Entry {
            message: Arc::clone(&message),
            floor,
            maybe_stored: maybe_stored.load(Ordering::Relaxed),
            deadline,
            answer,
        };
        match tokio::time::timeout_at(deadline, queue.send(entry)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(closed()),
            Err(_) => return Err(Failure::NotStored("too many events wait to be published".to_owned())),
        }
        let outcome = outcome.await.unwrap_or_else(|_| Err(closed()));
        maybe_stored.fetch_or(matches!(outcome, Err(Failure::Unknown(_))), Ordering::Relaxed);
        outcome
    });
    let published = published.await.map_err(|failure| match failure {
        Failure::NotStored(reason) | Failure::Unknown(reason) => PublishError::Unknown { reason },
        Failure::Final(error) => error,
    })?;
    tracing::debug!(event.id = message.id, seq = published.n, "published {} as event {}", message.subject, published.n);
    Ok(published)
}

/// Publishes what callers want to publish, until the last of them is gone or the hard shutdown comes.
pub(crate) async fn run(shared: Arc<Shared>, mut entries: mpsc::Receiver<Entry>, _done: DropGuard) {
    let limit = shared.config.publish_batch;
    let mut group = Vec::with_capacity(limit);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            received = entries.recv_many(&mut group, limit) => if received == 0 { return },
        }
        let approved = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            approved = shared.approved(shared.config.publish_timeout) => approved,
        };
        if let Err(refusal) = approved {
            // Nobody shall wait in the queue for what is known already.
            while let Ok(entry) = entries.try_recv() {
                group.push(entry);
            }
            let failure = Failure::from(refusal);
            for entry in group.drain(..) {
                entry.end(Err(failure.clone()));
            }
            continue;
        }
        // More may have come while that was seen to.
        while group.len() < limit
            && let Ok(entry) = entries.try_recv()
        {
            group.push(entry);
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = publish_group(&shared, std::mem::take(&mut group)) => {}
        }
    }
}

/// One attempt for each of at most `publish_batch` events.
async fn publish_group(shared: &Shared, group: Vec<Entry>) {
    let (together, mut alone) = split(group, Instant::now());
    if together.len() >= shared.config.publish_batch_min {
        alone.extend(batch::publish(shared, together).await);
    } else {
        alone.extend(together);
    }
    // The second of two entries with one id gets the place of the first, as a duplicate, in any order.
    futures::future::join_all(alone.into_iter().map(|entry| send::publish(shared, entry))).await;
}

/// Those that may go in one batch, and those that must go alone. Those whose callers no longer wait are left out.
fn split(group: Vec<Entry>, now: Instant) -> (Vec<Entry>, Vec<Entry>) {
    let (mut together, mut alone): (Vec<Entry>, Vec<Entry>) = (Vec::with_capacity(group.len()), Vec::new());
    let mut ids = std::collections::HashSet::with_capacity(group.len());
    for entry in group {
        if now >= entry.deadline {
            entry.end(Err(Failure::NotStored("it was not its turn in time".to_owned())));
        } else if !entry.maybe_stored && ids.insert(Arc::clone(&entry.message)) {
            together.push(entry);
        } else {
            alone.push(entry);
        }
    }
    (together, alone)
}

fn closed() -> Failure {
    Failure::Final(PublishError::Unknown { reason: "the journal is closing".to_owned() })
}

// === impl Entry ===

impl Entry {
    /// The attempt's end. The caller may be gone.
    fn end(self, outcome: Result<Published, Failure>) {
        let outcome = if self.maybe_stored { outcome.map_err(Failure::after_unknown) } else { outcome };
        let _gone = self.answer.send(outcome);
    }

    /// The attempt's end when the server has acknowledged it: Ok only for what a safe journal stored past everything
    /// that was known before.
    fn acknowledged(self, shared: &Shared, published: Published) {
        let checked = if published.duplicate { Ok(()) } else { shared.guard.acknowledged(self.floor, published.n) };
        let outcome = checked.map_err(|reason| Failure::Final(PublishError::Diverged { reason }));
        self.end(outcome.map(|()| published));
    }
}

// === impl Message ===

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Message {}

impl std::hash::Hash for Message {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

// === impl Failure ===

impl Failure {
    /// What an attempt's failure says about the event when an earlier attempt may have stored it: a no to this attempt is
    /// none to that one, which may even come to be stored after this. Who was told that it is not stored would throw the
    /// object away that the event names.
    fn after_unknown(self) -> Self {
        match self {
            Self::NotStored(reason)
            | Self::Final(PublishError::Full { reason } | PublishError::Rejected { reason }) => Self::Unknown(reason),
            Self::Unknown(_)
            | Self::Final(PublishError::Unknown { .. } | PublishError::Diverged { .. } | PublishError::Unsafe { .. }) => {
                self
            }
        }
    }
}

impl Transient for Failure {
    fn is_transient(&self) -> bool {
        match self {
            Self::NotStored(_) | Self::Unknown(_) => true,
            Self::Final(_) => false,
        }
    }
}

impl From<NotApproved> for Failure {
    fn from(refusal: NotApproved) -> Self {
        match refusal {
            NotApproved::Diverged(reason) => Self::Final(PublishError::Diverged { reason }),
            NotApproved::Unsafe(reason) => Self::Final(PublishError::Unsafe { reason }),
            NotApproved::NotYet(reason) => Self::NotStored(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, maybe_stored: bool) -> (Entry, oneshot::Receiver<Result<Published, Failure>>) {
        let (answer, outcome) = oneshot::channel();
        let message =
            Message { id: id.to_owned(), subject: "hw.v1.test".to_owned(), payload: Bytes::new(), trace: None };
        let deadline = Instant::now() + std::time::Duration::from_mins(1);
        (Entry { message: Arc::new(message), floor: 0, maybe_stored, deadline, answer }, outcome)
    }

    fn ids(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.message.id.as_str()).collect()
    }

    #[test]
    fn duplicates_and_what_may_be_stored_stay_out_of_the_batch() {
        let group = vec![entry("a", false).0, entry("b", true).0, entry("a", false).0, entry("c", false).0];
        let (together, alone) = split(group, Instant::now());
        assert_eq!(ids(&together), ["a", "c"]);
        assert_eq!(ids(&alone), ["b", "a"]);
    }

    #[test]
    fn a_no_proves_nothing_once_an_attempt_may_have_stored_the_event() {
        let reason = || "no".to_owned();
        let noes = [
            Failure::NotStored(reason()),
            Failure::Final(PublishError::Full { reason: reason() }),
            Failure::Final(PublishError::Rejected { reason: reason() }),
        ];
        for no in noes {
            let (first, mut outcome) = entry("a", false);
            first.end(Err(no.clone()));
            assert_eq!(outcome.try_recv(), Ok(Err(no.clone())));
            let (later, mut outcome) = entry("a", true);
            later.end(Err(no.clone()));
            assert_eq!(outcome.try_recv(), Ok(Err(Failure::Unknown(reason()))), "{no:?}");
        }
        // Nobody throws anything away for these.
        let stopped = Failure::Final(PublishError::Diverged { reason: reason() });
        let (later, mut outcome) = entry("a", true);
        later.end(Err(stopped.clone()));
        assert_eq!(outcome.try_recv(), Ok(Err(stopped)));
    }

    #[test]
    fn nothing_is_sent_for_a_caller_that_no_longer_waits() {
        let (late, mut outcome) = entry("a", false);
        let after = late.deadline;
        let (together, alone) = split(vec![late], after);
        assert!(together.is_empty() && alone.is_empty());
        assert!(matches!(outcome.try_recv(), Ok(Err(Failure::NotStored(_)))));
    }
}
