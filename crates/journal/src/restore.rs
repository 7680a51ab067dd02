//! Making a lost journal again from what is left of it. Offline: nobody may publish meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream;
use proto::{Incarnation, Recorded};
use runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::journal::{Identity, connect};
use crate::kv::BucketName;
use crate::layout;
use crate::link::{Link, MESSAGE_ID, refusal, with_sources};
use crate::safety;

/// Header with the number of the event before: the server takes the event at this place or not at all.
const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";

/// The shortest that the server allows. Two events may have the same id, when the second was sent after the duplicate window
/// of the first: here they come within moments of each other.
const SHORT_WINDOW: Duration = Duration::from_millis(100);

/// So long an id is not sent again; longer than [`SHORT_WINDOW`].
const SAME_ID_AFTER: Duration = Duration::from_millis(400);

/// What these say of sequences may be wrong in another life of the journal. Replicators are asked for every copy again, and a
/// request that left no event is looked into anew.
const FORGOTTEN: [BucketName; 2] = [BucketName::Refills, BucketName::Requests];

/// Events sent and not acknowledged, at once.
const IN_FLIGHT: usize = 256;

/// A journal that is being made again. Until [`Self::end`] its metadata says so, and every service refuses it.
#[derive(Debug)]
pub struct Restoring {
    link: Link,
    config: Config,
    identity: Identity,
    /// The last event sent.
    last: u64,
    sent: VecDeque<(u64, PublishAckFuture)>,
    /// The ids sent lately.
    recent: VecDeque<(Instant, String)>,
}

/// The journal whose place the restored one takes, as its events were collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Which life.
    pub incarnation: Incarnation,
    /// Its last event then.
    pub head: u64,
}

/// Makes an empty stream that is this journal; `None` when it is there already, and complete. Its caller has everything that
/// is worth keeping in a file.
///
/// Taken away is only a stream of this same journal that is half made, and the one that is `replaced`, if nothing was added
/// to it since. Any other is refused.
pub async fn restore(
    config: &Config,
    identity: Identity,
    replaced: Option<Replaced>,
    shutdown: &Shutdown,
) -> Result<Option<Restoring>, Error> {
    let link = connect(config, shutdown).await?;
    let faults = safety::server_faults(&link, config, None).await?;
    if !faults.is_empty() {
        return Err(Error::Unsafe(faults));
    }
    let name = &config.stream;
    match link.stream(name).await {
        Ok(info) => {
            if may_be_deleted(&info, identity, replaced)? == Verdict::Complete {
                return Ok(None);
            }
            let deleted = link.ask::<Value>(format!("STREAM.DELETE.{name}"), &json!({})).await?;
            deleted.map_err(|error| refusal(format!("delete the stream {name}"), &error))?;
        }
        Err(Error::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    for bucket in FORGOTTEN {
        forget(&link, bucket).await?;
    }
    let mut wanted = stream::Config { duplicate_window: SHORT_WINDOW, ..layout::stream(config, identity) };
    wanted.metadata.insert(layout::RESTORING.to_owned(), true.to_string());
    let created = link.ask::<stream::Info>(format!("STREAM.CREATE.{name}"), &wanted).await?;
    created.map_err(|error| refusal(format!("make the stream {name}"), &error))?;
    let (sent, recent) = (VecDeque::new(), VecDeque::new());
    Ok(Some(Restoring { link, config: config.clone(), identity, last: 0, sent, recent }))
}

/// Removes every entry of a bucket.
async fn forget(link: &Link, bucket: BucketName) -> Result<(), Error> {
    let name = format!("KV_{}", bucket.as_str());
    match link.stream(&name).await {
        Err(Error::Missing { .. }) => return Ok(()),
        found => found?,
    };
    let purged = link.ask::<Value>(format!("STREAM.PURGE.{name}"), &json!({})).await?;
    purged.map(drop).map_err(|error| refusal(format!("empty the stream {name}"), &error))
}

#[derive(PartialEq, Eq)]
enum Verdict {
    /// It is what shall be made.
    Complete,
    /// What it has is in the file.
    Replaceable,
}

fn may_be_deleted(info: &stream::Info, wanted: Identity, replaced: Option<Replaced>) -> Result<Verdict, Error> {
    let (name, head) = (&info.config.name, info.state.last_sequence);
    let found = layout::identity(&info.config).map_err(|fault| Error::Unsafe(vec![fault]))?;
    if found == wanted {
        let is_half_made = info.config.metadata.contains_key(layout::RESTORING);
        return Ok(if is_half_made { Verdict::Replaceable } else { Verdict::Complete });
    }
    let there = Replaced { incarnation: found.incarnation, head };
    if found.cluster == wanted.cluster && replaced == Some(there) {
        return Ok(Verdict::Replaceable);
    }
    let life = found.incarnation.uuid().simple();
    let reason = format!(
        "it is the journal {life} with {head} events, which are not what was collected: restore without the file of an \
         earlier attempt, while nobody writes"
    );
    Err(Error::refused(format!("replace the stream {name}"), &reason))
}

// === impl Restoring ===

impl Restoring {
    /// Adds the event that comes next, as it was. Of its headers only the id is kept: traces end here.
    pub async fn add(&mut self, recorded: &Recorded) -> Result<(), Error> {
        if recorded.n != self.last + 1 {
            return Err(self.failed(recorded.n, &format!("event {} must come", self.last + 1)));
        }
        self.distance(&recorded.message_id).await?;
        let mut headers = HeaderMap::new();
        if !recorded.message_id.is_empty() {
            headers.insert(MESSAGE_ID, recorded.message_id.as_str());
        }
        headers.insert(EXPECTED_LAST, self.last.to_string());
        let (subject, payload) = (recorded.subject.clone(), recorded.payload.clone());
        let sent = self.link.send(subject, headers, payload).await;
        self.last += 1;
        let sent = sent.map_err(|reason| self.failed(self.last, &reason))?;
        self.sent.push_back((self.last, sent));
        if self.sent.len() >= IN_FLIGHT {
            self.acknowledged(IN_FLIGHT / 2).await?;
        }
        Ok(())
    }

    /// Waits until everything is on disk, and makes the stream one that services use.
    pub async fn end(mut self) -> Result<(), Error> {
        self.acknowledged(0).await?;
        let name = &self.config.stream;
        let wanted = layout::stream(&self.config, self.identity);
        let updated = self.link.ask::<stream::Info>(format!("STREAM.UPDATE.{name}"), &wanted).await?;
        updated.map(drop).map_err(|error| refusal(format!("finish the stream {name}"), &error))
    }

    /// Waits until at most so many are not acknowledged.
    async fn acknowledged(&mut self, left: usize) -> Result<(), Error> {
        while self.sent.len() > left {
            let Some((n, sent)) = self.sent.pop_front() else { break };
            let ack = sent.await.map_err(|error| self.failed(n, &with_sources(&error)))?;
            if ack.duplicate || ack.sequence != n {
                return Err(self.failed(n, "the server took it for another one"));
            }
        }
        Ok(())
    }

    /// Waits until an id may be sent, if it was sent a moment ago.
    async fn distance(&mut self, message_id: &str) -> Result<(), Error> {
        while self.recent.front().is_some_and(|(at, _)| at.elapsed() > SAME_ID_AFTER) {
            self.recent.pop_front();
        }
        if !message_id.is_empty() {
            if self.recent.iter().any(|(_, id)| id == message_id) {
                self.acknowledged(0).await?;
                tokio::time::sleep(SAME_ID_AFTER).await;
            }
            self.recent.push_back((Instant::now(), message_id.to_owned()));
        }
        Ok(())
    }

    fn failed(&self, n: u64, reason: &str) -> Error {
        Error::unavailable(format!("write event {n} of the stream {}", self.config.stream), reason)
    }
}
