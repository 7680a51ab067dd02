//! Deliveries of a durable consumer, each ended exactly once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use proto::Recorded;
use runtime::retry::{Backoff, Transient as _};
use runtime::shutdown::Shutdown;
use runtime::trace::{TRACEPARENT, Trace};
use runtime::wait_for;
use tokio::time::Instant;

use crate::error::Error;
use crate::journal::Shared;
use crate::layout;
use crate::names::ConsumerName;
use crate::pull::{Pulled, Puller};

/// Progress is reported this often within the time after which a delivery counts as forgotten.
const PULSES_PER_ACK_WAIT: u32 = 3;
/// What was taken waits at most so long for somebody who cannot work on it now.
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);
/// The server is asked how many deliveries are unacknowledged in all at most this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A place among those who share a durable consumer.
#[derive(Debug)]
pub struct Work {
    shared: Arc<Shared>,
    consumer: ConsumerName,
    puller: Option<Puller>,
    delayed: Delayed,
    /// When the consumer's account was found to have room last.
    asked: Instant,
    backoff: Backoff,
    /// Why it waits, as last logged.
    said: Option<String>,
}

/// One event to work on. It ends in [`Delivery::ack`] or [`Delivery::retry_after`]; one that is dropped without either
/// comes again after `ack_wait`, to whomever.
///
/// What shall never be worked on (bytes that cannot be decoded, a blob that was given up) is recorded by the handler
/// first, and then acknowledged.
#[derive(Debug)]
#[must_use = "a delivery must be ended"]
pub struct Delivery {
    /// The event. It may be undecodable.
    pub recorded: Recorded,
    /// How often it was delivered, 1 for the first time.
    pub delivered: u32,
    /// For whom the event was published.
    pub(crate) trace: Option<Trace>,
    client: Client,
    reply: Subject,
    ack_wait: Duration,
    delayed: Delayed,
}

/// The proof that a delivery was ended.
#[derive(Debug)]
pub struct Ended(());

/// The ends of the delays that this process asked for.
#[derive(Debug, Clone, Default)]
struct Delayed(Arc<Mutex<BinaryHeap<Reverse<Instant>>>>);

// === impl Work ===

impl Work {
    pub(crate) async fn open(shared: Arc<Shared>, consumer: &ConsumerName, shutdown: &Shutdown) -> Result<Self, Error> {
        let what = format!("the consumer {consumer}");
        let find = async || find(&shared, consumer).await;
        let found = wait_for(&what, &shared.config.patience(), shutdown.soft_token(), find)
            .await
            .map_err(|stopped| stopped.into_error(Error::Cancelled))?;
        let explicit = found.ack_policy == async_nats::jetstream::consumer::AckPolicy::Explicit;
        if !explicit || found.max_deliver > 0 {
            return Err(Error::Unsafe(vec![format!(
                "the consumer {consumer} acknowledges {:?} and gives up after {} deliveries: run `gateway init`, which sets it right",
                found.ack_policy, found.max_deliver
            )]));
        }
        let backoff = Backoff::new(&shared.config.patience());
        let (delayed, asked) = (Delayed::default(), Instant::now());
        Ok(Self { shared, consumer: consumer.clone(), puller: None, delayed, asked, backoff, said: None })
    }

    /// The consumer's name.
    pub fn consumer(&self) -> &ConsumerName {
        &self.consumer
    }

    /// The next delivery, however long it takes. `free` is how many the caller could start now: no more than that is
    /// taken from the consumer, so that nothing waits here while others are idle.
    ///
    /// Goes on by itself after a lost connection or a missing consumer. An error is final. Nothing is lost if the future
    /// is dropped.
    pub async fn next(&mut self, free: usize) -> Result<Delivery, Error> {
        loop {
            self.wait_for_fewer_delayed().await;
            match self.advance(free.max(1)).await {
                Ok(Some(delivery)) => {
                    self.backoff.reset();
                    return Ok(delivery);
                }
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    self.puller = None;
                    self.say(&error.to_string());
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How long what comes may wait here before it is given back: well below `ack_wait`, after which it would come again.
    pub(crate) fn patience(&self) -> Duration {
        LONGEST_PATIENCE.min(self.shared.config.ack_wait / 4)
    }

    /// Takes nothing more, and gives back at once what was taken and not returned. What the server sends before it knows
    /// that nobody reads any more is lost, and comes again after `ack_wait`.
    pub async fn release(&mut self) {
        let Some(puller) = self.puller.take() else { return };
        let left = puller.close().await;
        tracing::debug!("take no more deliveries of {}, and give {} back", self.consumer, left.len());
        for message in left {
            match self.delivery(message) {
                Ok(delivery) => {
                    let _ended = delivery.give_back().await;
                }
                Err(error) => tracing::debug!("left a delivery to its time limit: {error}"),
            }
        }
    }

    /// Waits until what was ended has left this process.
    pub async fn flush(&self) -> Result<(), Error> {
        self.shared.link.flush().await
    }

    async fn advance(&mut self, free: usize) -> Result<Option<Delivery>, Error> {
        let puller = if let Some(puller) = &mut self.puller {
            puller
        } else {
            // Asked for first, since a request to a consumer that is not there gets no answer.
            find(&self.shared, &self.consumer).await?;
            let opened = Puller::open(&self.shared.link, &self.shared.config, self.consumer.as_str(), 0).await?;
            if self.said.take().is_some() {
                tracing::info!("taking deliveries of {} again", self.consumer);
            }
            self.puller.insert(opened)
        };
        let outstanding = puller.outstanding();
        // One request for many, unless nothing is asked for: a request for each slot that gets free would double the
        // traffic.
        if outstanding == 0 || outstanding * 2 <= free {
            puller.request(free - outstanding).await?;
        }
        match puller.next().await {
            Pulled::Message(message) => self.delivery(*message).map(Some),
            Pulled::Expired => Ok(None),
            Pulled::Lost(reason) => {
                self.puller = None;
                Err(Error::unavailable(format!("take deliveries of {}", self.consumer), &reason))
            }
        }
    }

    fn delivery(&self, message: Message) -> Result<Delivery, Error> {
        let Some(reply) = message.reply.clone() else {
            return Err(Error::refused("end a delivery", "it has no reply subject"));
        };
        let trace = message.headers.as_ref().and_then(|headers| headers.get(TRACEPARENT)?.as_str().parse().ok());
        let (recorded, delivered) = self.shared.link.recorded(message)?;
        Ok(Delivery {
            recorded,
            delivered: delivered.times,
            trace,
            client: self.shared.link.client.clone(),
            reply,
            ack_wait: self.shared.config.ack_wait,
            delayed: self.delayed.clone(),
        })
    }

    /// What waits in backoff still counts as unacknowledged at the consumer, whoever put it off. If that were all it may
    /// have, nothing else would be delivered to anybody: so who has put off much takes no more while three quarters of
    /// the consumer's account are spent. Only the server knows how many that are.
    async fn wait_for_fewer_delayed(&mut self) {
        let max = self.shared.config.max_ack_pending as usize;
        while let Some(until) = self.delayed.earliest_if((max / 16).max(1)) {
            if self.asked.elapsed() < ASK_EVERY {
                return;
            }
            let found = self.shared.link.consumer(&self.shared.config.stream, self.consumer.as_str()).await;
            // Who cannot be asked gives nothing to take either.
            if found.map_or(0, |info| info.num_ack_pending) < max / 4 * 3 {
                self.asked = Instant::now();
                return;
            }
            tracing::debug!("{} has too many deliveries in backoff, taking no more until some are due", self.consumer);
            tokio::time::sleep_until(until.min(Instant::now() + ASK_EVERY)).await;
        }
    }

    fn say(&mut self, reason: &str) {
        if self.said.as_deref() != Some(reason) {
            tracing::warn!("waiting for deliveries of {}: {reason}", self.consumer);
            self.said = Some(reason.to_owned());
        }
    }
}

/// The consumer as it is; missing too when it does not get all that its lane works on.
async fn find(shared: &Shared, consumer: &ConsumerName) -> Result<async_nats::jetstream::consumer::Config, Error> {
    let found = shared.link.consumer(&shared.config.stream, consumer.as_str()).await?.config;
    if layout::gets_all(consumer, &found) {
        return Ok(found);
    }
    let subjects = consumer.lane().subjects().join(" and ");
    Err(Error::Missing { what: format!("the consumer {consumer} for {subjects}") })
}

// === impl Delivery ===

impl Delivery {
    /// Done: it never comes again, once this has reached the server. If that fails it comes again, which a handler must
    /// bear anyhow.
    pub async fn ack(self) -> Ended {
        self.end(Bytes::from_static(b"+ACK")).await
    }

    /// It comes again after `delay`, to whomever.
    pub async fn retry_after(self, delay: Duration) -> Ended {
        self.delayed.add(Instant::now() + delay);
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.end(Bytes::from(format!("-NAK {{\"delay\": {nanos}}}"))).await
    }

    /// It comes again at once, to whomever.
    pub async fn give_back(self) -> Ended {
        self.end(Bytes::from_static(b"-NAK")).await
    }

    /// Says that it is being worked on, which starts `ack_wait` anew.
    pub async fn progress(&self) {
        self.pulse().beat().await;
    }

    /// Runs `work`, saying all the while that it goes on. [`crate::consume()`] does so for its handlers.
    pub async fn keep_alive<T>(&self, work: impl Future<Output = T>) -> T {
        self.pulse().during(work).await
    }

    pub(crate) fn pulse(&self) -> Pulse {
        Pulse { client: self.client.clone(), reply: self.reply.clone(), every: self.ack_wait / PULSES_PER_ACK_WAIT }
    }

    async fn end(self, how: Bytes) -> Ended {
        if let Err(error) = self.client.publish(self.reply, how).await {
            tracing::debug!(seq = self.recorded.n, "the end of a delivery was not sent, it will come again: {error}");
        }
        Ended(())
    }
}

/// Says that a delivery is being worked on.
#[derive(Debug)]
pub(crate) struct Pulse {
    client: Client,
    reply: Subject,
    every: Duration,
}

// === impl Pulse ===

impl Pulse {
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(self.every) => self.beat().await,
            }
        }
    }

    async fn beat(&self) {
        // Without a connection the delivery comes again later, which a handler must bear anyhow.
        let _sent = self.client.publish(self.reply.clone(), Bytes::from_static(b"+WPI")).await;
    }
}

// === impl Delayed ===

impl Delayed {
    fn add(&self, until: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(until));
    }

    /// The end of the shortest delay, if there are `most` or more that have not ended.
    fn earliest_if(&self, most: usize) -> Option<Instant> {
        let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while delays.peek().is_some_and(|Reverse(until)| *until <= now) {
            delays.pop();
        }
        if delays.len() < most { None } else { delays.peek().map(|Reverse(until)| *until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_count_until_they_end() {
        let delayed = Delayed::default();
        let (soon, late) = (Instant::now() + Duration::from_secs(1), Instant::now() + Duration::from_secs(9));
        delayed.add(late);
        assert_eq!(delayed.earliest_if(2), None);
        delayed.add(soon);
        assert_eq!(delayed.earliest_if(2), Some(soon));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(delayed.earliest_if(2), None);
        assert_eq!(delayed.earliest_if(1), Some(late));
    }
}
