//! The one internal file service: begin, write, commit, abort, read, list, change, watch, receipts, events, status.
//!
//! Every protocol goes through it, so that each has the same atomic commit, digests, limits and events. It knows
//! nothing of gRPC or HTTP.

mod audit;
mod bad_replicas;
mod browse;
mod change;
mod erase;
mod follow;
mod lookup;
mod ops;
mod placement;
mod position;
mod prune;
mod publish;
mod read;
mod receipt;
mod recover;
mod replicated;
pub(crate) mod request;
mod series;
mod session;
mod spaces;
mod status;
mod telling;
mod tree;
mod undo;
mod upload;
mod which_space;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use blobs::Nodes;
use catalog::Reader;
use futures::FutureExt as _;
use journal::{Head, Journal};
use proto::{Incarnation, Sequence, SpaceId, SpaceName};
use runtime::clock::Clock;
use runtime::program::Process;
use runtime::shutdown::Shutdown;
use runtime::trace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tracing::{Instrument as _, error};

use crate::config::Limits;
use crate::error::{Code, Error, Result};

pub(crate) use audit::{AuditedNode, Difference, Finding, Plan, Said};
use bad_replicas::{Finds, Inbox};

pub(crate) use browse::Browse;
pub(crate) use follow::{Told, Watched};
pub(crate) use ops::{Explained, What, Wish, refill_eta};
pub(crate) use placement::{PlacementChange, Room};
pub(crate) use prune::{Prune, because};
pub(crate) use read::Reading;
pub(crate) use receipt::{Decision, Receipt};
pub(crate) use recover::{Counts as RecoveredCounts, Fate, Recover, Recovered, Recovery};
pub(crate) use session::{PART_BYTES, Standing, Started};
pub(crate) use spaces::Retention;
pub(crate) use status::{JournalStatus, NodeStatus, Status};
pub(crate) use tree::{Copy, Move, Undelete};
pub(crate) use undo::Undo;
pub(crate) use upload::SOURCE;

/// The file service. Clones share everything.
#[derive(Clone)]
pub(crate) struct Files(Arc<Inner>);

/// What becomes known once the journal is open.
#[derive(Clone)]
pub(crate) struct Opened {
    /// The journal.
    pub(crate) journal: Journal,
    /// The nodes of its cluster.
    pub(crate) nodes: Nodes,
    /// Held from asking how the nodes stand, and how blobs are placed on them, to telling [`Self::nodes`]: of two at once,
    /// the one that asked first could be the last to tell.
    pub(crate) learning: Arc<tokio::sync::Mutex<()>>,
}

/// The uploads or the downloads that run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfers {
    /// How many.
    pub(crate) in_progress: usize,
    /// How many may run at once.
    pub(crate) limit: usize,
}

/// What the watch over the journal saw last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalState {
    /// Not opened yet.
    Closed,
    /// It answers.
    Reachable(Head),
    /// It did not answer when it was asked last.
    Unreachable,
}

struct Inner {
    catalog: Reader,
    opened: OnceLock<Opened>,
    /// With when it was asked.
    journal_state: watch::Sender<(JournalState, Instant)>,
    limits: Limits,
    process: Process,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    finds: Finds,
}

// === impl Files ===

impl Files {
    /// A service that answers UNAVAILABLE until [`Files::opened`] is called.
    /// The other half is for [`Files::report_bad_replicas`].
    pub(crate) fn new(catalog: Reader, limits: Limits, process: Process) -> (Self, Inbox) {
        let uploads = Arc::new(Semaphore::new(limits.max_uploads));
        let downloads = Arc::new(Semaphore::new(limits.max_downloads));
        let journal_state = watch::Sender::new((JournalState::Closed, Instant::now()));
        let (opened, (finds, inbox)) = (OnceLock::new(), bad_replicas::channel());
        let inner = Inner { catalog, opened, journal_state, limits, process, uploads, downloads, finds };
        (Self(Arc::new(inner)), inbox)
    }

    /// Takes the journal and the nodes into use; once.
    pub(crate) fn open(&self, opened: Opened) {
        let head = opened.journal.recent_head();
        if self.0.opened.set(opened).is_ok() {
            self.note_journal(JournalState::Reachable(head), Instant::now());
        }
    }

    /// Takes note of what somebody saw who asked the journal at `asked`. What was asked later is known better: a question
    /// from before an outage's end may get no answer long after it.
    pub(crate) fn note_journal(&self, state: JournalState, asked: Instant) {
        self.0.journal_state.send_if_modified(|known| {
            let is_news = asked >= known.1;
            if is_news {
                *known = (state, asked);
            }
            is_news
        });
    }

    /// The journal and the nodes, once they are known.
    pub(crate) fn opened(&self) -> Option<&Opened> {
        self.0.opened.get()
    }

    /// The catalog.
    pub(crate) fn catalog(&self) -> &Reader {
        &self.0.catalog
    }

    /// The bounds of requests.
    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.process.clock
    }

    /// Which life of the journal this is.
    pub(crate) fn incarnation(&self) -> Result<Incarnation> {
        Ok(self.ready()?.journal.identity().incarnation)
    }

    /// The shutdown of the gateway.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.0.process.shutdown.clone()
    }

    /// Runs the work of a request that must outlive its caller. A panic in it is logged and ends nothing else.
    pub(crate) fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let work = async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                error!(task.name = name, "the work of a request panicked: {name}");
            }
        };
        self.0.process.tasks.spawn(name, trace::within(trace::current(), work).in_current_span());
    }

    /// Why users' changes are turned away now; `None` while they are not.
    pub(crate) fn objection(&self) -> Option<Error> {
        let Some(opened) = self.opened() else {
            return Some(Error::new(Code::JournalUnavailable, "the gateway waits for the journal; try again later"));
        };
        if let Some(stopped) = opened.journal.stopped() {
            return Some(publish::stopped(&stopped));
        }
        match self.0.journal_state.borrow().0 {
            JournalState::Closed | JournalState::Unreachable => {
                Some(Error::new(Code::JournalUnavailable, "the journal cannot be reached now; try again later"))
            }
            JournalState::Reachable(head) if is_full(head, self.0.limits.journal_full_percent) => {
                let detail = format!("{} of {} bytes are used", head.bytes, head.max_bytes);
                Some(Error::journal_full(detail))
            }
            JournalState::Reachable(_) => None,
        }
    }

    /// The uploads that run now.
    pub(crate) fn uploads(&self) -> Transfers {
        Transfers::of(&self.0.uploads, self.0.limits.max_uploads)
    }

    /// The downloads that run now.
    pub(crate) fn downloads(&self) -> Transfers {
        Transfers::of(&self.0.downloads, self.0.limits.max_downloads)
    }

    fn inner(&self) -> &Inner {
        &self.0
    }

    fn ready(&self) -> Result<&Opened> {
        self.opened()
            .ok_or_else(|| Error::new(Code::JournalUnavailable, "the gateway waits for the journal; try again later"))
    }

    /// The position `n` in the journal as clients see it.
    fn sequence(&self, n: u64) -> Result<Sequence> {
        Ok(Sequence { incarnation: self.incarnation()?, n })
    }

    async fn space(&self, name: &SpaceName) -> Result<SpaceId> {
        self.0.catalog.space(name).await?.ok_or_else(|| space_not_found(name))
    }

    /// A place among the requests that run at once.
    async fn place(&self, places: &Arc<Semaphore>, full: Code) -> Result<OwnedSemaphorePermit> {
        let waiting = Arc::clone(places).acquire_owned();
        match tokio::time::timeout(self.0.limits.queue_wait, waiting).await {
            Ok(place) => Ok(place.expect("the semaphore is never closed")),
            Err(_) => Err(Error::new(full, "the gateway has as many transfers as it may have; try again later")),
        }
    }
}

// === impl Transfers ===

impl Transfers {
    fn of(places: &Semaphore, limit: usize) -> Self {
        Self { in_progress: limit.saturating_sub(places.available_permits()), limit }
    }
}

fn space_not_found(name: &SpaceName) -> Error {
    Error::new(Code::SpaceNotFound, format!("there is no space {:?}", name.as_str()))
}

/// Whether users' changes would take the room that the system's own events need.
fn is_full(head: Head, percent: u8) -> bool {
    u128::from(head.bytes) * 100 >= u128::from(head.max_bytes) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_full_before_it_is_full() {
        let head = |bytes| Head { n: 1, bytes, max_bytes: 1000 };
        assert!(!is_full(head(949), 95));
        assert!(is_full(head(950), 95));
        assert!(!is_full(Head { n: 1, bytes: u64::MAX / 2, max_bytes: u64::MAX }, 95));
    }
}
