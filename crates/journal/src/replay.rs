//! Reading the journal in order.

use std::sync::Arc;
use std::time::Duration;

use proto::Recorded;
use runtime::retry::{Backoff, Transient as _};
use tokio::time::Instant;

use crate::error::Error;
use crate::journal::{Head, Shared};
use crate::layout;
use crate::pull::{Pulled, Puller};

/// The events of the journal from one number on, each exactly once, in order and without holes.
///
/// It keeps no position outside this process: whoever reads remembers how far it came, and begins there again.
#[derive(Debug)]
pub struct Replay {
    shared: Arc<Shared>,
    /// The number that must come next.
    next: u64,
    /// The last number wanted.
    to: Option<u64>,
    /// The id of event `next - 1`, once one was read: proof that a journal found after a reconnect is the same.
    last_id: Option<String>,
    puller: Option<Puller>,
    /// The event that came instead of `next`, seen once. Events are lost on a connection that breaks, so a hole counts
    /// only if a fresh consumer shows it again.
    suspect: Option<u64>,
    batch: Vec<Recorded>,
    backoff: Backoff,
    /// Why it waits, as last logged.
    said: Option<String>,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(shared: Arc<Shared>, from: u64, to: Option<u64>) -> Self {
        let backoff = Backoff::new(&shared.config.patience());
        Self {
            shared,
            next: from.max(1),
            to,
            last_id: None,
            puller: None,
            suspect: None,
            batch: Vec::new(),
            backoff,
            said: None,
        }
    }

    /// The number of the event that comes next.
    pub fn next_n(&self) -> u64 {
        self.next - self.batch.len() as u64
    }

    /// Whether everything up to the last wanted event was returned.
    pub fn is_finished(&self) -> bool {
        self.batch.is_empty() && self.is_complete()
    }

    /// The next events: as many as are ready, at least one and at most `max`; none when nothing comes within `max_wait`,
    /// or when it is finished. Making a consumer, at first and after a lost connection, is not cut short by `max_wait`,
    /// so that a short one cannot keep it from ever succeeding.
    ///
    /// Goes on by itself after a lost connection, and logs once for what it waits. [`Error::Gap`]: events are missing in
    /// the stream. [`Error::Diverged`]: the stream is not the one that was read before. Both are final. Nothing is lost
    /// if the future is dropped.
    pub async fn next_batch(&mut self, max: usize, max_wait: Duration) -> Result<Vec<Recorded>, Error> {
        let deadline = Instant::now() + max_wait;
        let max = max.max(1);
        while self.batch.is_empty() && !self.is_complete() && Instant::now() < deadline {
            match self.advance(max, deadline).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    self.puller = None;
                    self.say(&error.to_string());
                    let pause = Instant::now() + self.backoff.next_delay();
                    tokio::time::sleep_until(pause.min(deadline)).await;
                }
                Err(error) => return Err(error),
            }
        }
        let rest = self.batch.split_off(self.batch.len().min(max));
        Ok(std::mem::replace(&mut self.batch, rest))
    }

    fn is_complete(&self) -> bool {
        self.to.is_some_and(|to| self.next > to)
    }

    /// Waits for something to come, and takes all that is there.
    async fn advance(&mut self, max: usize, deadline: Instant) -> Result<(), Error> {
        if self.puller.is_none() {
            self.puller = Some(self.open().await?);
        }
        let (batch, wanted) = (self.shared.config.replay_batch, self.wanted());
        let Some(puller) = &mut self.puller else { return Ok(()) };
        // A second request while the first is half fulfilled, so that the server never waits.
        let outstanding = puller.outstanding();
        if outstanding < wanted && outstanding <= batch / 2 {
            puller.request(batch.min(wanted - outstanding)).await?;
        }
        let mut came = tokio::time::timeout_at(deadline, puller.next()).await.ok();
        while let Some(one) = came {
            match one {
                Pulled::Message(message) => {
                    let (recorded, _) = self.shared.link.recorded(*message)?;
                    if !self.accept(recorded)? {
                        self.puller = None;
                    }
                }
                Pulled::Expired => {}
                Pulled::Lost(reason) => {
                    self.puller = None;
                    if self.batch.is_empty() {
                        return Err(Error::unavailable("read the journal", &reason));
                    }
                }
            }
            let enough = self.batch.len() >= max || self.is_complete();
            came = if enough { None } else { self.puller.as_mut().and_then(Puller::ready) };
        }
        Ok(())
    }

    /// How many events are still wanted.
    fn wanted(&self) -> usize {
        let left = self.to.map_or(u64::MAX, |to| to.saturating_sub(self.next).saturating_add(1));
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// A fresh consumer from the next event on, of a journal that is still the same.
    async fn open(&mut self) -> Result<Puller, Error> {
        let (link, config) = (&self.shared.link, &self.shared.config);
        let info = link.stream(&config.stream).await?;
        let identity = layout::identity(&info.config).map_err(|fault| Error::Unsafe(vec![fault]))?;
        let head = Head::of(&info);
        self.shared.same(identity, head).await?;
        self.same_position(head).await?;
        let name = format!("replay-{}", link.client.new_inbox().rsplit('.').next().unwrap_or_default());
        link.put_consumer(&config.stream, &layout::replay(config, name.clone(), self.next)).await?;
        let puller = Puller::open(link, config, &name, config.replay_bytes).await?;
        if self.said.take().is_some() {
            tracing::info!(seq = self.next, "reading the journal again from event {}", self.next);
        }
        Ok(puller)
    }

    /// Whether the journal still ends at or after what was read, with the same event there.
    async fn same_position(&self, head: Head) -> Result<(), Error> {
        let last = self.next - 1;
        let (guard, stream) = (&self.shared.guard, &self.shared.config.stream);
        if head.n < last {
            guard.diverge(&format!(
                "the stream {stream} ends with event {}, but a reader wants to go on after {last}",
                head.n
            ));
        } else if let Some(last_id) = &self.last_id
            && let Some(there) = self.shared.link.read(stream, last).await?
            && there.message_id != *last_id
        {
            guard.diverge(&format!(
                "event {last} of the stream {stream} is {}, it was {last_id} before",
                there.message_id
            ));
        }
        guard.diverged().map_or(Ok(()), |reason| Err(Error::Diverged(reason)))
    }

    /// Takes an event if it is the next one. False: the consumer missed some, so another one is needed.
    fn accept(&mut self, recorded: Recorded) -> Result<bool, Error> {
        if recorded.n < self.next {
            return Ok(true);
        }
        if recorded.n > self.next {
            if self.suspect == Some(self.next) {
                return Err(Error::Gap { expected: self.next, found: recorded.n });
            }
            self.suspect = Some(self.next);
            return Ok(false);
        }
        self.next += 1;
        self.last_id = Some(recorded.message_id.clone());
        self.backoff.reset();
        self.batch.push(recorded);
        Ok(true)
    }

    fn say(&mut self, reason: &str) {
        if self.said.as_deref() != Some(reason) {
            tracing::warn!(seq = self.next, "waiting to read the journal from event {} on: {reason}", self.next);
            self.said = Some(reason.to_owned());
        }
    }
}
