//! The journal as its users hold it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream;
use proto::{ClusterId, Event, Incarnation, Recorded};
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use runtime::wait_for;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{Error, PublishError};
use crate::guard::Guard;
use crate::link::{ConnectionId, Link};
use crate::lives::{self, Life};
use crate::names::ConsumerName;
use crate::publish::{self, Entry, Published};
use crate::replay::Replay;
use crate::safety::{self, Look, Verdict};
use crate::work::Work;

/// An open journal. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Entry>,
}

/// Which journal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Which life of the journal.
    pub incarnation: Incarnation,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
}

/// How far the journal goes, and how full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the last event; 0 when there is none.
    pub n: u64,
    /// Its size.
    pub bytes: u64,
    /// The size at which it takes no more; `u64::MAX` without a limit.
    pub max_bytes: u64,
}

/// What a consumer has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Events not delivered to anybody yet.
    pub waiting: u64,
    /// Events delivered and not acknowledged.
    pub unacknowledged: u64,
}

/// What everything that uses one journal shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) link: Link,
    pub(crate) identity: Identity,
    pub(crate) earlier: Vec<Life>,
    pub(crate) guard: Guard,
    pub(crate) stop: CancellationToken,
    verdict: watch::Sender<Option<Verdict>>,
    head: watch::Sender<Head>,
    check_now: Notify,
}

/// Why writing must wait or stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotApproved {
    Diverged(String),
    Unsafe(String),
    NotYet(&'static str),
}

// === impl Journal ===

impl Journal {
    /// Connects, makes sure that the journal may be used, and goes on making sure for as long as it is open.
    ///
    /// Waits, saying for what, while NATS is down or the stream is missing. [`Error::Unsafe`] is final: somebody must
    /// change the server or the stream. Publishing ends when the last clone of the journal is dropped, or with the hard
    /// step of `shutdown`.
    pub async fn open(config: &Config, shutdown: &Shutdown, tasks: &Tasks) -> Result<Self, Error> {
        let link = connect(config, shutdown).await?;
        let what = waited_for(config);
        let found = wait_for(&what, &config.patience(), shutdown.soft_token(), async || find(&link, config).await)
            .await
            .map_err(|stopped| stopped.into_error(Error::Cancelled))?;
        Ok(Self::found(config, link, found, shutdown, tasks))
    }

    /// As [`Self::open`], but `None` when the stream is missing.
    pub async fn open_if_there(config: &Config, shutdown: &Shutdown, tasks: &Tasks) -> Result<Option<Self>, Error> {
        let link = connect(config, shutdown).await?;
        let find = async || match find(&link, config).await {
            Err(Error::Missing { .. }) => Ok(None),
            found => found.map(Some),
        };
        let found = wait_for(&waited_for(config), &config.patience(), shutdown.soft_token(), find)
            .await
            .map_err(|stopped| stopped.into_error(Error::Cancelled))?;
        Ok(found.map(|found| Self::found(config, link, found, shutdown, tasks)))
    }

    fn found(config: &Config, link: Link, found: Found, shutdown: &Shutdown, tasks: &Tasks) -> Self {
        let Found { look, earlier } = found;
        let shared = Arc::new(Shared {
            config: config.clone(),
            link,
            identity: look.identity,
            earlier,
            guard: Guard::new(),
            stop: shutdown.hard_token().clone(),
            verdict: watch::Sender::new(Some(Verdict { connection: look.connection, faults: Vec::new() })),
            head: watch::Sender::new(look.head),
            check_now: Notify::new(),
        });
        let (queue, entries) = mpsc::channel(config.publish_queue);
        let done = CancellationToken::new();
        tasks.spawn("journal.publish", publish::run(Arc::clone(&shared), entries, done.clone().drop_guard()));
        tasks.spawn("journal.check", go_on_checking(Arc::clone(&shared), done));
        let Identity { incarnation, cluster } = shared.identity;
        tracing::info!(
            seq = look.head.n,
            "opened the journal {incarnation} of the cluster {cluster} at event {}",
            look.head.n
        );
        Self { shared, queue }
    }

    /// Which journal it is.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Publishes an event and returns its place.
    ///
    /// `Ok` means: stored, once, and on disk. An event that was published before, by whomever, gives the place of the
    /// first one, with `duplicate`. After [`PublishError::Unknown`] the event may still appear; publish the same id
    /// again to learn it, within [`crate::DUPLICATE_WINDOW`]. Dropping the future leaves the outcome unknown too.
    pub async fn publish(&self, event: &Event) -> Result<Published, PublishError> {
        publish::publish(&self.shared, &self.queue, event).await
    }

    /// How far the journal goes, as its leader says.
    pub async fn head(&self) -> Result<Head, Error> {
        let info = self.shared.link.stream(&self.shared.config.stream).await?;
        let head = Head::of(&info);
        self.shared.head.send_replace(head);
        Ok(head)
    }

    /// How far the journal went at the last check, without asking: at most `check_interval` old while NATS answers.
    pub fn recent_head(&self) -> Head {
        *self.shared.head.borrow()
    }

    /// The event with the number `n`.
    pub async fn read(&self, n: u64) -> Result<Option<Recorded>, Error> {
        if n == 0 {
            return Ok(None);
        }
        self.shared.link.read(&self.shared.config.stream, n).await
    }

    /// Reads the events from `from` on in order, up to and with `to`; without `to` it follows the head for ever.
    pub fn replay(&self, from: u64, to: Option<u64>) -> Replay {
        Replay::new(Arc::clone(&self.shared), from, to)
    }

    /// Reads the events after `n` on in order, for ever; event `n` must be the one that was published with `message_id`. When
    /// it is another, or the journal ends before it, the journal has diverged.
    pub fn replay_after(&self, n: u64, message_id: String) -> Replay {
        Replay::new(Arc::clone(&self.shared), n + 1, None).expecting(message_id)
    }

    /// Takes part in a durable consumer; waits while it is missing.
    pub async fn work(&self, consumer: &ConsumerName, shutdown: &Shutdown) -> Result<Work, Error> {
        Work::open(Arc::clone(&self.shared), consumer, shutdown).await
    }

    /// What a consumer has before it.
    pub async fn lag(&self, consumer: &ConsumerName) -> Result<Lag, Error> {
        let info = self.shared.link.consumer(&self.shared.config.stream, consumer.as_str()).await?;
        Ok(Lag { waiting: info.num_pending, unacknowledged: info.num_ack_pending as u64 })
    }

    /// Tells the journal how far somebody has read. From then on it must hold `event_id` at `n`, and give new events
    /// higher numbers; when it does not, it has diverged. [`Self::check`] looks at once, the checks in the background
    /// within `check_interval`.
    pub fn observe_checkpoint(&self, n: u64, event_id: impl Display) {
        self.shared.guard.observe(n, event_id.to_string());
    }

    /// Why all writes are stopped for good; `None` while they are not.
    pub fn is_diverged(&self) -> Option<String> {
        self.shared.guard.diverged()
    }

    /// Why writes are stopped now, diverged or unsafe; `None` while they are not.
    pub fn stopped(&self) -> Option<PublishError> {
        if let Some(reason) = self.is_diverged() {
            return Some(PublishError::Diverged { reason });
        }
        let verdict = self.shared.verdict.borrow();
        let faults = verdict.as_ref().map(|verdict| verdict.faults.join("; ")).filter(|faults| !faults.is_empty());
        faults.map(|reason| PublishError::Unsafe { reason })
    }

    /// Makes all safety checks now. They also go on in the background.
    pub async fn check(&self) -> Result<(), Error> {
        self.shared.check().await
    }

    /// Waits until what was acknowledged or given back has left this process; to be called before it ends.
    pub async fn flush(&self) -> Result<(), Error> {
        self.shared.link.flush().await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// What is known of a journal before it is opened.
struct Found {
    look: Look,
    earlier: Vec<Life>,
}

async fn find(link: &Link, config: &Config) -> Result<Found, Error> {
    let look = safety::look(link, config).await?;
    Ok(Found { look, earlier: lives::earlier(link, &config.stream).await? })
}

fn waited_for(config: &Config) -> String {
    format!("the journal, stream {} on NATS at {}", config.stream, config.servers_shown())
}

/// Connects, waiting while NATS is down.
pub(crate) async fn connect(config: &Config, shutdown: &Shutdown) -> Result<Link, Error> {
    let what = format!("NATS at {}", config.servers_shown());
    wait_for(&what, &config.patience(), shutdown.soft_token(), async || Link::connect(config).await)
        .await
        .map_err(|stopped| stopped.into_error(Error::Cancelled))
}

/// Checks at every connect, every `check_interval`, and when somebody waits for it.
async fn go_on_checking(shared: Arc<Shared>, done: CancellationToken) {
    tokio::select! {
        biased;
        () = done.cancelled() => {}
        () = check_when_due(&shared, &done) => {}
    }
}

async fn check_when_due(shared: &Shared, done: &CancellationToken) {
    let mut connections = shared.link.connections.clone();
    connections.borrow_and_update();
    let policy = shared.config.patience();
    loop {
        tokio::select! {
            () = tokio::time::sleep(shared.config.check_interval) => {}
            () = shared.check_now.notified() => {}
            changed = connections.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        let check = async || match shared.check().await {
            // Kept in the verdict, and seen by whoever publishes.
            Err(Error::Unsafe(_) | Error::Diverged(_)) => Ok(()),
            other => other,
        };
        if let Err(error) = wait_for("the journal's safety to be seen", &policy, done, check).await {
            tracing::debug!("did not check the journal: {error}");
        }
    }
}

// === impl Shared ===

impl Shared {
    /// All checks, once. Their outcome is kept for whoever publishes.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let connection = safety::connection(&self.link)?;
        let look = match safety::look(&self.link, &self.config).await {
            Ok(look) => look,
            Err(Error::Unsafe(faults)) => return Err(self.found(connection, faults)),
            Err(missing @ Error::Missing { .. }) => return Err(self.found(connection, vec![missing.to_string()])),
            Err(error) => return Err(error),
        };
        self.head.send_replace(look.head);
        self.same(look.identity, look.head).await?;
        self.keep(&Verdict { connection: look.connection, faults: Vec::new() });
        Ok(())
    }

    /// Whether the stream is still the one that was opened.
    pub(crate) async fn same(&self, found: Identity, head: Head) -> Result<(), Error> {
        safety::same_journal(&self.link, &self.config, &self.guard, self.identity, found, head).await
    }

    /// Waits until the connection that is there now has passed the checks, at most `limit`.
    pub(crate) async fn approved(&self, limit: Duration) -> Result<ConnectionId, NotApproved> {
        let mut verdicts = self.verdict.subscribe();
        let wait = async {
            loop {
                if let Some(reason) = self.guard.diverged() {
                    return Err(NotApproved::Diverged(reason));
                }
                let current = self.link.current();
                let verdict = verdicts.borrow_and_update().clone();
                match verdict {
                    Some(verdict) if Some(&verdict.connection) == current.as_ref() => {
                        let faults = verdict.faults.join("; ");
                        return if faults.is_empty() {
                            Ok(verdict.connection)
                        } else {
                            Err(NotApproved::Unsafe(faults))
                        };
                    }
                    _ => self.check_now.notify_one(),
                }
                if verdicts.changed().await.is_err() {
                    return Err(NotApproved::NotYet("the journal is closed"));
                }
            }
        };
        let why = "there is no connection to NATS, or the journal on it is not checked yet";
        tokio::time::timeout(limit, wait).await.unwrap_or(Err(NotApproved::NotYet(why)))
    }

    fn found(&self, connection: ConnectionId, faults: Vec<String>) -> Error {
        self.keep(&Verdict { connection, faults: faults.clone() });
        Error::Unsafe(faults)
    }

    fn keep(&self, verdict: &Verdict) {
        let before = self.verdict.send_replace(Some(verdict.clone())).map(|before| before.faults).unwrap_or_default();
        if before == verdict.faults {
            return;
        }
        if verdict.faults.is_empty() {
            tracing::info!("the journal is safe again, writes go on");
        } else {
            tracing::error!("the journal is not safe to use, writes are stopped: {}", verdict.faults.join("; "));
        }
    }
}

// === impl Head ===

impl Head {
    pub(crate) fn of(info: &stream::Info) -> Self {
        let max_bytes = u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX);
        Self { n: info.state.last_sequence, bytes: info.state.bytes, max_bytes }
    }

    /// The part that is full, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for comparison with 0.95; its last digits do not matter")]
    pub fn fullness(&self) -> f64 {
        self.bytes as f64 / self.max_bytes.max(1) as f64
    }
}
