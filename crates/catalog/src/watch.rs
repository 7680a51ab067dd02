//! One task that knows which generation answers reads and how far it is folded.
//!
//! Saves announce their checkpoint; the task listens, and looks for itself now and then, since an announcement can be lost
//! with a connection. Everything that waits for the catalog waits for this task, and nobody else polls.

mod spaces;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proto::{EventId, Incarnation, Sha256Digest};
use runtime::shutdown::Shutdown;
use sqlx::PgConnection;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Fault;
use crate::generation::{Active, active_row};
use crate::{Checkpoint, Config, Error, Generation, LAYOUT, connect, ddl};

pub(crate) use spaces::Spaces;

/// The channel of announcements; named in the statements that send them, too.
const CHANNEL: &str = "highwater_checkpoint";

/// The checkpoints of the generation that answers reads, as they come.
#[derive(Debug, Clone)]
pub struct Checkpoints(pub(crate) watch::Receiver<Watched>);

/// What the task knows.
#[derive(Debug, Clone)]
pub(crate) enum Watched {
    /// Nothing yet.
    Starting,
    /// There is no catalog to ask, for this reason.
    Unavailable(String),
    /// Reads go here.
    Ready {
        /// The generation.
        current: Arc<Current>,
        /// Up to where it is folded.
        checkpoint: Checkpoint,
    },
}

/// The generation that answers reads.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) active: Active,
    pub(crate) generation: Generation,
    pub(crate) pool: PgPool,
    /// Whether a connection of the pool was found dead: then another pool takes its place.
    pub(crate) is_dead: AtomicBool,
    /// How many reads in a row got no connection of the pool.
    pub(crate) refused: AtomicU32,
}

/// What a save announces, but for its last word: the checkpoint's `spaces_seq`, which only the save's own statement knows.
pub(crate) fn announcement(active: Active, generation: Generation, at: &Checkpoint) -> String {
    let event_id = at.event_id.map(|id| id.to_string()).unwrap_or_default();
    let parts = [
        active.catalog_id.to_string(),
        generation.column().to_string(),
        at.incarnation.to_string(),
        at.n.to_string(),
        event_id,
        at.chain.to_string(),
    ];
    parts.join(" ")
}

/// A checkpoint as announced, with its `spaces_seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    catalog_id: Uuid,
    generation: Generation,
    checkpoint: Checkpoint,
    spaces_seq: u64,
}

/// `None` when the announcement only says that something changed.
fn parse_announcement(text: &str) -> Option<Announced> {
    let parts: Vec<&str> = text.split(' ').collect();
    let [catalog_id, generation, incarnation, n, event_id, chain, spaces_seq] = parts.as_slice() else { return None };
    let event_id = if event_id.is_empty() { None } else { Some(event_id.parse::<EventId>().ok()?) };
    let checkpoint = Checkpoint {
        incarnation: incarnation.parse::<Incarnation>().ok()?,
        n: n.parse().ok()?,
        event_id,
        chain: chain.parse::<Sha256Digest>().ok()?,
    };
    Some(Announced {
        catalog_id: catalog_id.parse().ok()?,
        generation: Generation::new(generation.parse().ok()?),
        checkpoint,
        spaces_seq: spaces_seq.parse().ok()?,
    })
}

/// The task's own state.
pub(crate) struct Watch {
    pub(crate) config: Config,
    pub(crate) state: watch::Sender<Watched>,
    /// Somebody saw that what is known is out of date.
    pub(crate) nudge: Arc<Notify>,
    pub(crate) spaces: Arc<Spaces>,
    pub(crate) closed: CancellationToken,
}

// === impl Watch ===

impl Watch {
    /// Runs until every reader is gone, one of them closes, or the hard shutdown: requests that finish after the soft one
    /// still wait for the checkpoint.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = self.follow() => {}
            () = self.state.closed() => {}
            () = self.closed.cancelled() => {}
            () = shutdown.hard_cancelled() => {}
        }
        let closed = Watched::Unavailable("this program is stopping".to_owned());
        self.state.send_replace(closed);
    }

    async fn follow(&self) {
        loop {
            match Box::pin(self.session()).await {
                Ok(never) => match never {},
                Err(error) => self.lost(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(self.config.poll_interval) => {}
                () = self.nudge.notified() => {
                    // Many may nudge at once; still no more attempts than this.
                    tokio::time::sleep(self.config.poll_interval / 10).await;
                }
            }
        }
    }

    /// One connection's life.
    async fn session(&self) -> Result<std::convert::Infallible, Error> {
        let mut conn = connect::dedicated(&self.config, connect::SHARED_SCHEMA, connect::Use::Rows).await?;
        let pool = connect::listening_pool(&self.config)?;
        let listener = Box::pin(self.bounded(async { Ok(PgListener::connect_with(&pool).await?) }));
        let mut listener = listener.await?;
        listener.eager_reconnect(false);
        // Listening before looking, so that no change falls between.
        Box::pin(self.bounded(async { Ok(listener.listen(CHANNEL).await?) })).await?;
        loop {
            self.bounded(self.look(&mut conn)).await?;
            self.until_news(&mut listener).await?;
        }
    }

    /// Returns when it is time to look again. Plain news of the current generation are taken from the announcements.
    async fn until_news(&self, listener: &mut PgListener) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + self.config.poll_interval;
        loop {
            let received = tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(()),
                () = self.nudge.notified() => return Ok(()),
                received = listener.try_recv() => received?,
            };
            let Some(notification) = received else { return Err(Error::unavailable("the connection was lost")) };
            match parse_announcement(notification.payload()) {
                Some(announced) if self.advance(announced) => {}
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Takes an announced checkpoint; false when it is not the current generation's.
    fn advance(&self, announced: Announced) -> bool {
        let mut ours = false;
        self.state.send_if_modified(|state| match state {
            Watched::Ready { current, checkpoint }
                if current.active.catalog_id == announced.catalog_id && current.generation == announced.generation =>
            {
                // What was looked up may be newer than announcements that were still under way.
                ours = checkpoint.incarnation == announced.checkpoint.incarnation;
                let news = ours && announced.checkpoint.n > checkpoint.n;
                if news {
                    self.spaces.heard(current.active, announced.spaces_seq);
                    *checkpoint = announced.checkpoint;
                }
                news
            }
            Watched::Ready { .. } | Watched::Starting | Watched::Unavailable(_) => false,
        });
        ours
    }

    async fn look(&self, conn: &mut PgConnection) -> Result<(), Error> {
        let mut active = active_row(conn).await?;
        loop {
            let Err(error) = self.look_at(active, conn).await else { return Ok(()) };
            match active_row(conn).await {
                // Since it was asked for, it was retired, and even dropped: that is no outage.
                Ok(now) if now != active => active = now,
                Ok(_) | Err(_) => return Err(error),
            }
        }
    }

    async fn look_at(&self, active: Active, conn: &mut PgConnection) -> Result<(), Error> {
        let Some(generation) = active.generation else {
            self.spaces.forget();
            self.lost(&Error::unavailable(
                "its first generation is not there yet: a projector builds it from the journal",
            ));
            // Whoever makes it active says so.
            return Ok(());
        };
        let known = match &*self.state.borrow() {
            Watched::Ready { current, .. } if current.active == active && !current.is_dead.load(Ordering::Relaxed) => {
                Some(Arc::clone(current))
            }
            Watched::Ready { .. } | Watched::Starting | Watched::Unavailable(_) => None,
        };
        if known.is_none() {
            // First, since another layout may have no such columns.
            check_layout(conn, generation).await?;
        }
        let (checkpoint, spaces_seq) = ddl::checkpoint_and_spaces(conn, generation).await?;
        let current = match known {
            Some(current) => current,
            None => self.take_up(active, generation)?,
        };
        self.spaces.heard(active, spaces_seq);
        self.state.send_if_modified(|state| {
            let news = !matches!(state, Watched::Ready { current: c, checkpoint: k }
                if Arc::ptr_eq(c, &current) && *k == checkpoint);
            *state = Watched::Ready { current, checkpoint };
            news
        });
        Ok(())
    }

    /// A generation that was not current before, or not before a connection was lost: its pool is new, so that no read
    /// meets a connection that died meanwhile.
    fn take_up(&self, active: Active, generation: Generation) -> Result<Arc<Current>, Error> {
        tracing::info!(generation = generation.number(), "reading {generation} of the catalog");
        let pool = connect::reading_pool(&self.config, generation)?;
        Ok(Arc::new(Current { active, generation, pool, is_dead: AtomicBool::new(false), refused: AtomicU32::new(0) }))
    }

    fn lost(&self, error: &Error) {
        let reason = match error {
            Error::Unavailable { reason, .. } | Error::Unfit { reason } => reason.clone(),
            other => format!("{other:#}"),
        };
        if let Error::Unavailable { source: Some(source), .. } = error
            && Fault::of(source) == Fault::Missing
        {
            self.spaces.forget();
        }
        self.state.send_if_modified(|state| {
            let known = matches!(state, Watched::Unavailable(old) if *old == reason);
            if !known {
                tracing::warn!("waiting for the catalog: {reason}");
                *state = Watched::Unavailable(reason);
            }
            !known
        });
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.config.acquire_timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::unavailable("Postgres does not answer")),
        }
    }
}

/// Refuses a generation that another version of the program has made.
async fn check_layout(conn: &mut PgConnection, generation: Generation) -> Result<(), Error> {
    let layout = sqlx::query_scalar!("SELECT layout FROM highwater.generations WHERE number = $1", generation.column())
        .fetch_one(conn)
        .await?;
    if layout.cast_unsigned() == LAYOUT {
        return Ok(());
    }
    Err(Error::Unfit {
        reason: format!("{generation} has layout {layout}, this program reads {LAYOUT}; `projector rebuild` makes it"),
    })
}

// === impl Checkpoints ===

impl Checkpoints {
    /// The checkpoint now; none while the catalog is unavailable.
    pub fn now(&self) -> Option<Checkpoint> {
        match &*self.0.borrow() {
            Watched::Ready { checkpoint, .. } => Some(*checkpoint),
            Watched::Starting | Watched::Unavailable(_) => None,
        }
    }

    /// Waits for another checkpoint than the last one returned or seen, skipping what was passed meanwhile. None when
    /// there will be no more, since the reader was closed.
    pub async fn next(&mut self) -> Option<Checkpoint> {
        loop {
            self.0.changed().await.ok()?;
            if let Watched::Ready { checkpoint, .. } = &*self.0.borrow_and_update() {
                return Some(*checkpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_read_as_written() {
        let active = Active { catalog_id: Uuid::from_u128(1), generation: Some(Generation::new(4)) };
        let start = Checkpoint::start(Incarnation::new(Uuid::from_u128(2)));
        let later = Checkpoint { n: 9, event_id: Some(EventId::new(Uuid::from_u128(3))), ..start };
        for checkpoint in [start, later] {
            let text = format!("{} 7", announcement(active, Generation::new(4), &checkpoint));
            let catalog_id = Uuid::from_u128(1);
            let announced = Announced { catalog_id, generation: Generation::new(4), checkpoint, spaces_seq: 7 };
            assert_eq!(parse_announcement(&text), Some(announced));
        }
        assert_eq!(parse_announcement(""), None);
    }
}
