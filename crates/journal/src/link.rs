//! The connection to NATS, and questions to its JetStream.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::{self, IntoConsumerConfig as _};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event};
use proto::Recorded;
use runtime::config::read_secret;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;

use crate::config::Config;
use crate::error::Error;

/// The server's error code for a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10059;
/// The server's error code for a consumer that does not exist.
const CONSUMER_NOT_FOUND: u64 = 10014;

/// Commands of this process that may wait for the connection.
const CLIENT_CAPACITY: usize = 2048;
/// Messages that one subscription may hold; more than a replay ever asks for at once.
const SUBSCRIPTION_CAPACITY: usize = 256 * 1024;

/// How long the last words of a process may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Header with the id of an event.
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The one connection of a journal.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    context: jetstream::Context,
    /// Counts the connections made so far.
    pub(crate) connections: watch::Receiver<u64>,
}

/// One connection to one run of one server: what was checked on it holds for it only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    server: String,
    client: u64,
}

/// A delivery among those of its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// How often the message was delivered.
    pub(crate) times: u32,
    /// Which delivery it is, from 1 on.
    pub(crate) n: u64,
    /// How many messages the consumer has after it.
    pub(crate) pending: u64,
}

/// An answer of JetStream that is an error.
pub(crate) type ApiError = jetstream::Error;

// === impl Link ===

impl Link {
    /// Connects once; afterwards the client reconnects by itself for ever.
    pub(crate) async fn connect(config: &Config) -> Result<Self, Error> {
        let what = || format!("connect to NATS at {}", config.servers_shown());
        let servers = config.servers().map_err(|problem| Error::refused("read `nats.url`", &problem))?;
        let (connected, connections) = watch::channel(0);
        let longest_delay = config.retry_max_delay;
        let mut options = ConnectOptions::new()
            .name("highwater")
            .connection_timeout(config.connect_timeout)
            .request_timeout(Some(config.request_timeout))
            .ping_interval(config.ping_interval)
            .client_capacity(CLIENT_CAPACITY)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempts| reconnect_delay(attempts, longest_delay))
            .event_callback(move |event| {
                note(&event, &connected);
                std::future::ready(())
            });
        if !config.user.is_empty() {
            let password = read_secret(&config.password_file)
                .map_err(|error| Error::refused("read `nats.password_file`", &with_sources(&error)))?;
            options = options.user_and_password(config.user.clone(), password.expose_secret().to_owned());
        }
        if !config.tls_ca_file.as_os_str().is_empty() {
            options = options.add_root_certificates(config.tls_ca_file.clone());
        }
        let client =
            options.connect(servers).await.map_err(|error| Error::unavailable(what(), &with_sources(&error)))?;
        // The first connection is noted by then, so that every later count is a reconnect.
        let mut first = connections.clone();
        let noted = tokio::time::timeout(config.connect_timeout, first.wait_for(|count| *count > 0)).await;
        if !matches!(noted, Ok(Ok(_))) {
            return Err(Error::unavailable(what(), "the connection was lost at once"));
        }
        let context = jetstream::context::ContextBuilder::new().timeout(config.request_timeout).build(client.clone());
        Ok(Self { client, context, connections })
    }

    /// The connection that is there now; `None` while there is none.
    pub(crate) fn current(&self) -> Option<ConnectionId> {
        if self.client.connection_state() != State::Connected {
            return None;
        }
        let info = self.client.server_info();
        Some(ConnectionId { server: info.server_id, client: info.client_id })
    }

    /// Asks JetStream's API.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        payload: &(impl Serialize + Sync),
    ) -> Result<Result<T, ApiError>, Error> {
        match self.context.request(subject.clone(), payload).await {
            Ok(Response::Ok(answer)) => Ok(Ok(answer)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => {
                let what = format!("ask JetStream ({})", subject.split('.').take(2).collect::<Vec<_>>().join(" "));
                Err(Error::unavailable(what, &with_sources(&error)))
            }
        }
    }

    /// The stream as its leader sees it.
    pub(crate) async fn stream(&self, name: &str) -> Result<stream::Info, Error> {
        let answer = self.ask(format!("STREAM.INFO.{name}"), &json!({})).await?;
        answer.map_err(|error| match error.error_code().0 {
            STREAM_NOT_FOUND => Error::Missing { what: format!("the stream {name}") },
            _ => refusal(format!("look at the stream {name}"), &error),
        })
    }

    /// A consumer as its leader sees it.
    pub(crate) async fn consumer(&self, stream: &str, name: &str) -> Result<consumer::Info, Error> {
        let answer = self.ask(format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
        answer.map_err(|error| match error.error_code().0 {
            CONSUMER_NOT_FOUND => Error::Missing { what: format!("the consumer {name}") },
            STREAM_NOT_FOUND => Error::Missing { what: format!("the stream {stream}") },
            _ => refusal(format!("look at the consumer {name}"), &error),
        })
    }

    /// Makes a consumer, or changes the one that is there.
    pub(crate) async fn put_consumer(
        &self,
        stream: &str,
        config: &consumer::pull::Config,
    ) -> Result<consumer::Info, Error> {
        // Not the pull configuration itself, which is written with names that the server does not know.
        let config = config.into_consumer_config();
        let name = config.name.clone().unwrap_or_default();
        let dot = if config.filter_subject.is_empty() { "" } else { "." };
        let subject = format!("CONSUMER.CREATE.{stream}.{name}{dot}{}", config.filter_subject);
        let answer = self.ask(subject, &json!({ "stream_name": stream, "config": config, "action": "" })).await?;
        answer.map_err(|error| match error.error_code().0 {
            STREAM_NOT_FOUND => Error::Missing { what: format!("the stream {stream}") },
            _ => refusal(format!("make the consumer {name}"), &error),
        })
    }

    /// The event with the number `n`, from the stream's leader.
    pub(crate) async fn read(&self, stream: &str, n: u64) -> Result<Option<Recorded>, Error> {
        let what = || format!("read event {n} of the stream {stream}");
        let handle = self.context.get_stream_no_info(stream).await;
        let handle = handle.map_err(|error| Error::unavailable(what(), &with_sources(&error)))?;
        found(handle.get_raw_message(n).await, what)
    }

    /// The first event under `subject` at `from` or after, from the stream's leader.
    pub(crate) async fn first_of(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Recorded>, Error> {
        let what = || format!("look for events with the subject {subject}");
        let handle = self.context.get_stream_no_info(stream).await;
        let handle = handle.map_err(|error| Error::unavailable(what(), &with_sources(&error)))?;
        found(handle.get_first_raw_message_by_subject(subject, from.max(1)).await, what)
    }

    /// The bucket's handle.
    pub(crate) async fn bucket(&self, name: &str) -> Result<jetstream::kv::Store, Error> {
        let what = format!("the bucket {name}");
        self.stream(&format!("KV_{name}")).await.map_err(|error| match error {
            Error::Missing { .. } => Error::Missing { what: what.clone() },
            other => other,
        })?;
        let store = self.context.get_key_value(name).await;
        store.map_err(|error| Error::unavailable(format!("open {what}"), &with_sources(&error)))
    }

    /// Makes a bucket, or changes the one that is there.
    pub(crate) async fn put_bucket(&self, config: jetstream::kv::Config) -> Result<(), Error> {
        let what = format!("make the bucket {}", config.bucket);
        let made = self.context.create_or_update_key_value(config).await;
        made.map(drop).map_err(|error| Error::unavailable(what, &with_sources(&error)))
    }

    /// A message of a stream as an event at its place, and what it is among the deliveries of its consumer.
    pub(crate) fn recorded(&self, message: async_nats::Message) -> Result<(Recorded, Delivered), Error> {
        let message = jetstream::Message { message, context: self.context.clone() };
        let (n, delivered) = match message.info() {
            Ok(info) => {
                let times = u32::try_from(info.delivered).unwrap_or(u32::MAX);
                (info.stream_sequence, Delivered { times, n: info.consumer_sequence, pending: info.pending })
            }
            Err(error) => return Err(Error::refused("read the place of a delivery", &error)),
        };
        let recorded = Recorded {
            n,
            subject: message.subject.to_string(),
            message_id: header(message.headers.as_ref(), MESSAGE_ID),
            payload: message.message.payload,
        };
        Ok((recorded, delivered))
    }

    /// Sends a message to whatever stream takes it; what is returned waits for the acknowledgement.
    pub(crate) async fn send(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        payload: bytes::Bytes,
    ) -> Result<jetstream::context::PublishAckFuture, String> {
        self.context.publish_with_headers(subject, headers, payload).await.map_err(|error| with_sources(&error))
    }

    /// Waits until what was sent has left this process, but not for a server that is gone.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let what = "send what is left";
        match tokio::time::timeout(FLUSH_WITHIN, self.client.flush()).await {
            Ok(flushed) => flushed.map_err(|error| Error::unavailable(what, &error)),
            Err(_) => Err(Error::unavailable(what, "there is no connection to NATS")),
        }
    }
}

/// What the leader says to a question for one message.
fn found(
    answer: Result<StreamMessage, RawMessageError>,
    what: impl FnOnce() -> String,
) -> Result<Option<Recorded>, Error> {
    match answer {
        Ok(message) => Ok(Some(Recorded {
            n: message.sequence,
            subject: message.subject.to_string(),
            message_id: header(Some(&message.headers), MESSAGE_ID),
            payload: message.payload,
        })),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::unavailable(what(), &with_sources(&error))),
    }
}

/// A header's value; empty when there is none.
pub(crate) fn header(headers: Option<&async_nats::HeaderMap>, name: &str) -> String {
    headers.and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned()).unwrap_or_default()
}

/// A no of the server: for good, or until it feels better.
pub(crate) fn refusal(what: String, error: &ApiError) -> Error {
    // 503 is a server that starts, or has no leader; 500 also says that a change is not allowed.
    if error.code() == 503 { Error::unavailable(what, &error) } else { Error::refused(what, &error) }
}

/// An error with its causes: those of the client say little on their own ("IO error").
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Doubles from nothing to `longest`.
fn reconnect_delay(attempts: usize, longest: Duration) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    if attempts <= 1 { Duration::ZERO } else { Duration::from_millis(1 << doublings).min(longest) }
}

fn note(event: &Event, connected: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            connected.send_modify(|count| *count += 1);
            if *connected.borrow() > 1 {
                tracing::info!("connected to NATS again");
            }
        }
        Event::Disconnected => tracing::warn!("lost the connection to NATS, connecting again"),
        Event::SlowConsumer(_) => {
            tracing::warn!("NATS sent events faster than they were read; they will be read again");
        }
        Event::ServerError(error) => tracing::warn!("NATS reports: {error}"),
        Event::ClientError(error) => tracing::debug!("NATS client: {error}"),
        Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
        Event::Draining | Event::Closed => tracing::debug!("NATS client: {event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_waits_longer_and_longer_but_not_too_long() {
        let longest = Duration::from_secs(2);
        let delays: Vec<u128> = [1, 2, 3, 12, 100].map(|n| reconnect_delay(n, longest).as_millis()).to_vec();
        assert_eq!(delays, [0, 2, 4, 2000, 2000]);
    }
}
