//! Reading the journal in order.

use std::sync::Arc;
use std::time::Duration;

use proto::Recorded;
use runtime::retry::{Backoff, Transient as _};
use tokio::time::Instant;

use crate::error::Error;
use crate::journal::{Head, Shared};
use crate::layout;
use crate::link::Delivered;
use crate::pull::{Pulled, Puller};

/// The events of the journal from one number on, or those of some subjects, each exactly once, in order and without holes.
///
/// It keeps no position outside this process: whoever reads remembers how far it came, and begins there again.
#[derive(Debug)]
pub struct Replay {
    shared: Arc<Shared>,
    /// Which events are read; `None`: all.
    filter: Option<Filter>,
    /// The number that must come next; with a filter, the lowest that may.
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

/// Some subjects. The numbers of their events say nothing about what is missing between them, so the consumer's own count
/// of its deliveries does.
#[derive(Debug)]
struct Filter {
    subjects: Vec<String>,
    /// The deliveries of the present consumer so far.
    delivered: u64,
    /// Where the journal ended when that consumer was made.
    head: u64,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(shared: Arc<Shared>, from: u64, to: Option<u64>) -> Self {
        let backoff = Backoff::new(&shared.config.patience());
        Self {
            shared,
            filter: None,
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

    /// Only the events with these subjects, up to one that is in the journal already.
    pub(crate) fn of_subjects(shared: Arc<Shared>, subjects: Vec<String>, from: u64, to: u64) -> Self {
        let filter = Filter { subjects, delivered: 0, head: 0 };
        Self { filter: Some(filter), ..Self::new(shared, from, Some(to)) }
    }

    /// The event before the first must be this one.
    pub(crate) fn expecting(self, message_id: String) -> Self {
        Self { last_id: Some(message_id), ..self }
    }

    /// The number of the event that comes next; when only some are read, the lowest that it may have.
    pub fn next_n(&self) -> u64 {
        self.batch.first().map_or(self.next, |first| first.n)
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
            if self.is_complete() {
                return Ok(());
            }
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
                    let (recorded, delivered) = self.shared.link.recorded(*message)?;
                    let accepted = match self.filter {
                        None => self.accept(recorded)?,
                        Some(_) => self.accept_selected(recorded, delivered),
                    };
                    if !accepted {
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
        let subjects = self.filter.as_ref().map(|filter| filter.subjects.as_slice()).unwrap_or_default();
        let made =
            link.put_consumer(&config.stream, &layout::replay(config, name.clone(), self.next, subjects)).await?;
        let puller = Puller::open(link, config, &name, config.replay_bytes).await?;
        if let Some(filter) = &mut self.filter {
            (filter.delivered, filter.head) = (0, head.n);
            self.end_if_none(made.num_pending);
        }
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
        self.take(recorded);
        Ok(true)
    }

    /// As [`Self::accept`], of an event that was selected.
    fn accept_selected(&mut self, recorded: Recorded, delivered: Delivered) -> bool {
        let Some(filter) = &mut self.filter else { return false };
        if delivered.n != filter.delivered + 1 {
            return false;
        }
        filter.delivered = delivered.n;
        if let Some(to) = self.to
            && recorded.n > to
        {
            self.next = to + 1;
            return true;
        }
        self.next = recorded.n + 1;
        self.take(recorded);
        self.end_if_none(delivered.pending);
        true
    }

    fn take(&mut self, recorded: Recorded) {
        self.last_id = Some(recorded.message_id.clone());
        self.backoff.reset();
        self.batch.push(recorded);
    }

    /// With a filter, the last event wanted need not be one that comes.
    fn end_if_none(&mut self, pending: u64) {
        let head = self.filter.as_ref().map_or(0, |filter| filter.head);
        if pending == 0
            && let Some(to) = self.to
            && to <= head
        {
            self.next = self.next.max(to + 1);
        }
    }

    fn say(&mut self, reason: &str) {
        if self.said.as_deref() != Some(reason) {
            tracing::warn!(seq = self.next, "waiting to read the journal from event {} on: {reason}", self.next);
            self.said = Some(reason.to_owned());
        }
    }
}
