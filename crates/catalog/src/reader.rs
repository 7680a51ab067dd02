//! Answering questions.

mod audit;
mod changes;
mod events;
mod file;
mod folder;
mod list;
mod ops;
mod past;
mod raw;
mod retention;
mod spaces;
mod status;
mod trash;
mod versions;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fold::rows::ReceiptRow;
use proto::{EventId, Sequence, SpaceId, SpaceName};
use runtime::tasks::Tasks;
use sqlx::postgres::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Fault;
use crate::generation::{Active, active_row};
use crate::records::{ReceiptColumns, unsigned};
use crate::watch::{Current, Spaces, Watch, Watched};
use crate::{Checkpoints, Config, Error, Generation};

pub use audit::Audited;
pub use changes::ChangeRow;
pub use events::{Event, Events};
pub use file::{File, Lookup, Replica, Version};
pub use folder::{Entry, EntryTarget, FolderListing, FolderLookup, FolderPage, Usage, UsageLookup};
pub use list::{Listed, Listing};
pub use ops::{Cluster, Explained, GivenUp, GivenUpPage, Held, Placed, Redrive, Wanted};
pub use past::PastVersion;
pub use retention::{Keep, Prunable};
pub use spaces::DeletedSpace;
pub use status::{NodeStatus, Status};
pub use trash::{TrashPage, Trashed};
pub use versions::{VersionPage, Versioned};

/// The most that one page holds, whatever is asked.
pub const MAX_PAGE: u32 = 10_000;

/// Reads in a row that may get no connection before all of them are taken for dead.
const MAX_REFUSED: u32 = 4;

/// How often one read starts over because its generation was retired or its connection was dead.
const MAX_STARTS: u32 = 5;

/// Answers questions from the active generation. Clones share everything.
///
/// A missing catalog is [`Error::Unavailable`], never an empty answer; it is found again by itself. Each answer is of one
/// generation: one that was retired meanwhile is noticed, and the read starts over.
#[derive(Debug, Clone)]
pub struct Reader {
    config: Arc<Config>,
    state: watch::Receiver<Watched>,
    nudge: Arc<Notify>,
    spaces: Arc<Spaces>,
    closed: CancellationToken,
}

/// Which generation was active in the snapshot of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) catalog_id: Uuid,
    pub(crate) generation: Option<i32>,
}

/// What a read found. A read that found no row has seen nothing, and then it is asked afterwards which generation is
/// active: one that still is now was so before, since a retired one never comes back.
pub(crate) struct Answer<T> {
    pub(crate) seen: Option<Seen>,
    pub(crate) value: T,
}

/// [`Seen`] out of a record that has its columns.
macro_rules! seen {
    ($row:expr) => {
        $crate::reader::Seen { catalog_id: $row.catalog_id, generation: $row.generation }
    };
}
pub(crate) use seen;

// === impl Reader ===

impl Reader {
    /// Starts to watch the catalog, in a task. Answers at once: what cannot be reached now is tried again and again.
    ///
    /// The task ends when every clone is dropped, with [`Self::close`], or at the hard shutdown.
    pub fn open(config: &Config, tasks: &Tasks) -> Self {
        let (sender, state) = watch::channel(Watched::Starting);
        let reader = Self {
            config: Arc::new(config.clone()),
            state,
            nudge: Arc::default(),
            spaces: Arc::default(),
            closed: CancellationToken::new(),
        };
        let watch = Watch {
            config: config.clone(),
            state: sender,
            nudge: Arc::clone(&reader.nudge),
            spaces: Arc::clone(&reader.spaces),
            closed: reader.closed.clone(),
        };
        tasks.spawn("catalog.watch", watch.run(tasks.shutdown().clone()));
        reader
    }

    /// Ends the task that watches, for all clones: for who has drained its requests and waits for its tasks.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// The checkpoints from now on.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints(self.state.clone())
    }

    /// Waits until the catalog shows everything up to `at`, at most for `timeout`.
    pub async fn wait_for(&self, at: Sequence, timeout: Duration) -> Result<(), Error> {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| match state {
            Watched::Ready { checkpoint, .. } => checkpoint.incarnation != at.incarnation || checkpoint.n >= at.n,
            Watched::Starting | Watched::Unavailable(_) => false,
        });
        // At the timeout, and when the task is gone, the state as it is then says why.
        let _ = tokio::time::timeout(timeout, reached).await.map(|reached| reached.map(drop));
        match &*self.state.borrow() {
            Watched::Ready { checkpoint, .. } if checkpoint.incarnation != at.incarnation => {
                Err(Error::OtherIncarnation { wanted: at, current: checkpoint.incarnation })
            }
            Watched::Ready { checkpoint, .. } if checkpoint.n >= at.n => Ok(()),
            Watched::Ready { checkpoint, .. } => Err(Error::Behind { wanted: at, reached: checkpoint.n }),
            Watched::Unavailable(reason) => Err(Error::unavailable(reason)),
            Watched::Starting => Err(Error::unavailable("it was not reached yet")),
        }
    }

    /// The space that has this name now. Answered from memory when it was found before and no space has changed since, as
    /// far as the checkpoints tell; also while Postgres is away.
    pub async fn space(&self, name: &SpaceName) -> Result<Option<SpaceId>, Error> {
        if let Some(id) = self.spaces.get(name) {
            return Ok(Some(id));
        }
        let found = self
            .read(|pool| async move {
                let row = sqlx::query!(
                    "SELECT a.catalog_id, a.generation, c.spaces_seq, s.space_id
                     FROM highwater.active AS a, checkpoint AS c, spaces AS s
                     WHERE a.singleton AND c.singleton AND s.name = $1 AND s.deleted_seq IS NULL",
                    name.as_str()
                )
                .fetch_optional(&pool)
                .await?;
                let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
                let generation = row.generation.map(Generation::new);
                let active = Active { catalog_id: row.catalog_id, generation };
                let spaces_seq = unsigned("checkpoint", "spaces_seq", row.spaces_seq)?;
                let value = Some((active, spaces_seq, SpaceId::new(row.space_id)));
                Ok(Answer { seen: Some(seen!(row)), value })
            })
            .await?;
        let Some((active, spaces_seq, id)) = found else { return Ok(None) };
        self.spaces.remember(active, spaces_seq, name.clone(), id);
        Ok(Some(id))
    }

    /// The receipt of an event; none when the catalog has not come to it, or never will.
    pub async fn receipt(&self, event_id: EventId) -> Result<Option<ReceiptRow>, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, r.event_id, r.seq, r.outcome, r.reason, r.fingerprint, r.space,
                     r.path, r.file_id, r.version_id, r.blob_id
                 FROM highwater.active AS a, receipts AS r WHERE a.singleton AND r.event_id = $1",
                event_id.uuid()
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let seen = seen!(row);
            let receipt = ReceiptColumns {
                event_id: row.event_id,
                seq: row.seq,
                outcome: row.outcome,
                reason: row.reason,
                fingerprint: row.fingerprint,
                space: row.space,
                path: row.path,
                file_id: row.file_id,
                version_id: row.version_id,
                blob_id: row.blob_id,
            };
            let receipt = ReceiptRow::try_from(receipt)?;
            Ok(Answer { seen: Some(seen), value: Some(receipt) })
        })
        .await
    }

    /// Every read goes through here: it gets the pool of the active generation, and is made again when its snapshot shows
    /// another one. Reads change nothing, so a second run is harmless.
    async fn read<T, F, Fut>(&self, mut ask: F) -> Result<T, Error>
    where
        F: FnMut(PgPool) -> Fut,
        Fut: Future<Output = Result<Answer<T>, Error>>,
    {
        let limit = self.config.acquire_timeout + self.config.read_timeout;
        let mut last = Error::unavailable("it changes too fast to be read");
        for _ in 0..MAX_STARTS {
            let current = self.current().await?;
            let Ok(asked) = tokio::time::timeout(limit, checked(&current, &mut ask)).await else {
                // Postgres itself ends what takes it too long: the connection is dead and does not say so, and so may be
                // others of the pool, which would never get them back.
                current.is_dead.store(true, Ordering::Relaxed);
                self.nudge.notify_one();
                return Err(Error::unavailable("Postgres does not answer"));
            };
            match asked {
                Ok(Some(value)) => {
                    current.refused.store(0, Ordering::Relaxed);
                    return Ok(value);
                }
                // The generation is retired.
                Ok(None) => self.leave(&current).await,
                Err(error) => {
                    match &error {
                        Error::Unavailable { source: Some(source), .. } => match (Fault::of(source), source) {
                            (Fault::Missing, _) => self.leave(&current).await,
                            // A second wait for a connection would not be shorter. Why there is none is better known to
                            // the task.
                            (Fault::Connection, sqlx::Error::PoolTimedOut) => {
                                self.refused(&current);
                                return Err(self.current().await.err().unwrap_or(error));
                            }
                            (Fault::Unmigrated | Fault::Busy | Fault::Other, _) => return Err(error),
                            // One dead connection, most likely: the next one may be alive.
                            (Fault::Connection, _) => {}
                        },
                        _ => return Err(error),
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// A pool that has had no connection for so many reads in a row, while not one of them was answered, has lost its own: whoever
    /// gives up on a dead one leaves it in use for ever.
    fn refused(&self, current: &Current) {
        if current.refused.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_REFUSED {
            current.is_dead.store(true, Ordering::Relaxed);
            self.nudge.notify_one();
        }
    }

    /// Where to read now.
    async fn current(&self) -> Result<Arc<Current>, Error> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, Watched::Starting));
        let known = tokio::time::timeout(self.config.acquire_timeout, known).await;
        match known.as_ref().map(|state| state.as_deref()) {
            Ok(Ok(Watched::Ready { current, .. })) => Ok(Arc::clone(current)),
            Ok(Ok(Watched::Unavailable(reason))) => Err(Error::unavailable(reason)),
            Ok(Ok(Watched::Starting) | Err(_)) | Err(_) => Err(Error::unavailable("it was not reached in time")),
        }
    }

    /// Waits, but not for long, until the task knows another generation than this one.
    async fn leave(&self, old: &Arc<Current>) {
        self.nudge.notify_one();
        let mut state = self.state.clone();
        let gone = state.wait_for(|state| match state {
            Watched::Ready { current, .. } => !Arc::ptr_eq(current, old),
            Watched::Starting | Watched::Unavailable(_) => true,
        });
        // When it does not come, the read starts over and says what it meets.
        tokio::time::timeout(self.config.acquire_timeout / MAX_STARTS, gone).await.ok();
    }
}

/// Asks, and answers none when the snapshot that was read shows another generation.
async fn checked<T, F, Fut>(current: &Current, ask: &mut F) -> Result<Option<T>, Error>
where
    F: FnMut(PgPool) -> Fut,
    Fut: Future<Output = Result<Answer<T>, Error>>,
{
    let expected = Seen { catalog_id: current.active.catalog_id, generation: Some(current.generation.column()) };
    let answer = ask(current.pool.clone()).await?;
    let seen = if let Some(seen) = answer.seen {
        seen
    } else {
        let active = active_row(&mut *current.pool.acquire().await?).await?;
        Seen { catalog_id: active.catalog_id, generation: active.generation.map(Generation::column) }
    };
    Ok((seen == expected).then_some(answer.value))
}
