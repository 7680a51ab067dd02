//! Requests to a pull consumer, with an exact count of what may still come.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::{FutureExt as _, Stream as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::link::{Link, header, with_sources};

/// How much of a request the server did not fulfil.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// This many heartbeats may be missing before the requests count as lost.
const MISSED_HEARTBEATS: u32 = 2;

/// How long a server may take to say that a subscription has ended. One that is gone does not say it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// An inbox for messages that were asked for.
///
/// Dropping it ends all its requests: the server gives nothing to an inbox without a reader.
#[derive(Debug)]
pub(crate) struct Puller {
    link: Link,
    subject: String,
    inbox: String,
    subscriber: Subscriber,
    connections: watch::Receiver<u64>,
    expires: Duration,
    heartbeat: Duration,
    max_bytes: u64,
    outstanding: usize,
    heard: Instant,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// A message that was asked for.
    Message(Box<Message>),
    /// A request ended before it was fulfilled; what it still asked for is outstanding no more.
    Expired,
    /// The requests are lost, for this reason. The puller is of no more use.
    Lost(String),
}

// === impl Puller ===

impl Puller {
    /// A reader for `consumer`, with nothing asked for yet. Each request ends after `max_bytes`, if that is not 0.
    pub(crate) async fn open(link: &Link, config: &Config, consumer: &str, max_bytes: u64) -> Result<Self, Error> {
        let mut connections = link.connections.clone();
        connections.borrow_and_update();
        let inbox = link.client.new_inbox();
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|error| Error::unavailable("subscribe to NATS", &with_sources(&error)))?;
        Ok(Self {
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", config.stream),
            link: link.clone(),
            inbox,
            subscriber,
            connections,
            expires: config.pull_expires,
            heartbeat: config.pull_heartbeat,
            max_bytes,
            outstanding: 0,
            heard: Instant::now(),
        })
    }

    /// How many messages may still come without asking again.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for `count` more. If the future is dropped, either all of it was asked for or nothing.
    pub(crate) async fn request(&mut self, count: usize) -> Result<(), Error> {
        let mut request = json!({
            "batch": count,
            "expires": nanos(self.expires),
            "idle_heartbeat": nanos(self.heartbeat),
        });
        if self.max_bytes > 0 {
            request["max_bytes"] = self.max_bytes.into();
        }
        let payload = request.to_string().into();
        let sent = self.link.client.publish_with_reply(self.subject.clone(), self.inbox.clone(), payload).await;
        sent.map_err(|error| Error::unavailable("ask for events", &with_sources(&error)))?;
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        self.outstanding += count;
        Ok(())
    }

    /// The next that comes. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Pulled {
        loop {
            let silence = self.heard + self.heartbeat * (MISSED_HEARTBEATS + 1);
            let message = tokio::select! {
                biased;
                message = receive(&mut self.subscriber) => message,
                _ = self.connections.changed() => return Pulled::Lost("the connection to NATS was lost".to_owned()),
                () = tokio::time::sleep_until(silence), if self.outstanding > 0 => {
                    return Pulled::Lost("the server no longer says that it holds the request".to_owned());
                }
            };
            if let Some(pulled) = self.take(message) {
                return pulled;
            }
        }
    }

    /// The next that is already here.
    pub(crate) fn ready(&mut self) -> Option<Pulled> {
        loop {
            let message = receive(&mut self.subscriber).now_or_never()?;
            if let Some(pulled) = self.take(message) {
                return Some(pulled);
            }
        }
    }

    /// Asks for nothing more and returns what has come in the meantime.
    pub(crate) async fn close(mut self) -> Vec<Message> {
        let mut left = Vec::new();
        if self.subscriber.drain().await.is_err() {
            return left;
        }
        // The server has been told; what it sent before arrives ahead of the subscription's end.
        let rest = async {
            while let Some(message) = receive(&mut self.subscriber).await {
                if is_message(&message) {
                    left.push(message);
                }
            }
        };
        let _late = tokio::time::timeout(CLOSE_WITHIN, rest).await;
        left
    }

    fn take(&mut self, message: Option<Message>) -> Option<Pulled> {
        let Some(message) = message else { return Some(Pulled::Lost("the client is closed".to_owned())) };
        self.heard = Instant::now();
        if is_message(&message) {
            self.outstanding = self.outstanding.saturating_sub(1);
            return Some(Pulled::Message(Box::new(message)));
        }
        let status = message.status.unwrap_or(StatusCode::OK);
        if status == StatusCode::IDLE_HEARTBEAT {
            return None;
        }
        let description = message.description.clone().unwrap_or_default();
        let unfulfilled = header(message.headers.as_ref(), PENDING_MESSAGES).parse::<usize>();
        match unfulfilled {
            // A server that stops says so with a count too, but takes no further requests.
            Ok(count) if !description.contains("Shutdown") => {
                self.outstanding = self.outstanding.saturating_sub(count);
                Some(Pulled::Expired)
            }
            _ if status == StatusCode::NO_RESPONDERS => Some(Pulled::Lost("the consumer is not there".to_owned())),
            _ => Some(Pulled::Lost(format!("the server ended the request: {description} ({status})"))),
        }
    }
}

async fn receive(subscriber: &mut Subscriber) -> Option<Message> {
    poll_fn(|cx| match Pin::new(&mut *subscriber).poll_next(cx) {
        Poll::Ready(message) => Poll::Ready(message),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn is_message(message: &Message) -> bool {
    message.status.is_none_or(|status| status == StatusCode::OK)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
