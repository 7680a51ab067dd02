//! State that is no fact: leases, node health, uploads and refills under way, in key-value buckets, some with a time limit.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::kv::{self, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, StorageType};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::config::Config;
use crate::error::Error;
use crate::journal::Journal;
use crate::link::{header, with_sources};

/// The largest value of an entry.
const MAX_VALUE_BYTES: i32 = 16 * 1024;
/// The size of a bucket whose entries are few and end by themselves.
const SMALL_BUCKET_BYTES: i64 = 64 << 20;
/// The size of the bucket of uploads: some 300 bytes for each slice of 8 MiB, so unfinished uploads of 6 TiB. One that is
/// finished keeps only the entry of its session.
const UPLOADS_BUCKET_BYTES: i64 = 256 << 20;
/// The size of the bucket of requests, whose entries stay: some four million of them.
const REQUESTS_BUCKET_BYTES: i64 = 1 << 30;
/// How many entries of a listing are asked for at once.
const LIST_BATCH: usize = 1000;
/// How long the server remembers a listing whose reader has gone away.
const LIST_FORGOTTEN: Duration = Duration::from_secs(30);
/// What the client writes into the header of an entry that says that another one was removed.
const OPERATION: &str = "KV-Operation";

/// The buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketName {
    /// Who does a duty that one process does at a time.
    Leases,
    /// How nodes are, as those who use them see it.
    Nodes,
    /// Uploads that can be resumed. Each has an entry of its own, and one for each slice: values are small
    /// (16 KiB at most), and 10,000 slices do not fit in one. An entry ends [`Config::upload_ttl`] after it was written
    /// last, so the first slices end first: an upload must be finished within that time of its start.
    Uploads,
    /// How far the refilling of nodes has come: see [`crate::Refill`]. Without a time limit.
    Refills,
    /// How far reading everything on the nodes has come. Without a time limit.
    Scrub,
    /// How far the archive of the journal is on each node: see [`crate::Archived`]. Without a time limit.
    Archive,
    /// At which sequence a request with an id was looked into, of the requests that do what they find to be done: whoever
    /// makes it again finds the same. Some 250 bytes each, without a time limit.
    Requests,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: BucketName,
    store: Store,
    /// For one answer.
    timeout: Duration,
}

/// What a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Which writing it is: to be given to [`Bucket::update`].
    pub revision: u64,
}

// === impl BucketName ===

impl BucketName {
    /// Every bucket.
    pub const ALL: [Self; 7] =
        [Self::Leases, Self::Nodes, Self::Uploads, Self::Refills, Self::Scrub, Self::Archive, Self::Requests];

    /// Its name in JetStream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leases => "highwater_leases",
            Self::Nodes => "highwater_nodes",
            Self::Uploads => "highwater_uploads",
            Self::Refills => "highwater_refills",
            Self::Scrub => "highwater_scrub",
            Self::Archive => "highwater_archive",
            Self::Requests => "highwater_requests",
        }
    }

    pub(crate) fn config(self, config: &Config) -> kv::Config {
        let (description, max_age, max_bytes) = match self {
            Self::Leases => {
                ("Duties that one process of Highwater does at a time.", config.lease_ttl, SMALL_BUCKET_BYTES)
            }
            Self::Nodes => ("How Highwater's nodes are.", config.node_ttl, SMALL_BUCKET_BYTES),
            Self::Uploads => ("Uploads to Highwater that can be resumed.", config.upload_ttl, UPLOADS_BUCKET_BYTES),
            Self::Refills => ("How far the refilling of Highwater's nodes is.", Duration::ZERO, SMALL_BUCKET_BYTES),
            Self::Scrub => ("How far reading Highwater's nodes is.", Duration::ZERO, SMALL_BUCKET_BYTES),
            Self::Archive => ("How far the archive of Highwater's journal is.", Duration::ZERO, SMALL_BUCKET_BYTES),
            Self::Requests => ("What Highwater's requests were looked into at.", Duration::ZERO, REQUESTS_BUCKET_BYTES),
        };
        kv::Config {
            bucket: self.as_str().to_owned(),
            description: description.to_owned(),
            max_value_size: MAX_VALUE_BYTES,
            history: 1,
            max_age,
            max_bytes,
            storage: StorageType::File,
            num_replicas: config.replicas.into(),
            republish: None,
            mirror: None,
            sources: None,
            mirror_direct: false,
            compression: false,
            placement: None,
            limit_markers: None,
        }
    }
}

// === impl Journal ===

impl Journal {
    /// How long an upload that is not finished is kept.
    pub fn upload_ttl(&self) -> Duration {
        self.shared().config.upload_ttl
    }

    /// A bucket; [`Error::Missing`] before `gateway init`.
    pub async fn bucket(&self, name: BucketName) -> Result<Bucket, Error> {
        let shared = self.shared();
        let store = shared.link.bucket(name.as_str()).await?;
        Ok(Bucket { name, store, timeout: shared.config.request_timeout })
    }
}

// === impl Bucket ===

impl Bucket {
    /// An entry's value; `None` when there is none, or it has ended. It may be a little old in a cluster, where any
    /// server answers: to change an entry, read it with [`Self::entry`].
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.store.get(key).await.map_err(|error| self.unavailable("read", key, &error))
    }

    /// An entry as the bucket's leader has it; `None` when there is none, or it has ended.
    pub async fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        let subject = format!("{}{key}", self.store.prefix);
        match self.store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let entry = Entry { value: message.payload, revision: message.sequence };
                Ok(is_put(Some(&message.headers)).then_some(entry))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.unavailable("read", key, &error)),
        }
    }

    /// Writes an entry, whatever it was, which starts its time anew.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<(), Error> {
        self.store.put(key, value).await.map(drop).map_err(|error| self.unavailable("write", key, &error))
    }

    /// Writes an entry that is not there, and returns its revision; `None` when the key has another value. The same
    /// value is taken for our own, of a first try whose answer was lost: so trying again is harmless, and who must
    /// be told from others writes something that others do not.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Option<u64>, Error> {
        match self.store.create(key, value.clone()).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => self.own_revision(key, &value).await,
            // Somebody else wrote it between two steps of ours.
            Err(error) if with_sources(&error).contains("wrong last sequence") => self.own_revision(key, &value).await,
            Err(error) => Err(self.unavailable("create", key, &error)),
        }
    }

    /// Writes an entry if it is still the one with `revision`, which starts its time anew, and returns the new revision;
    /// `None` when it was changed or removed meanwhile, or has ended. As in [`Self::create`], the same value is taken for
    /// our own.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>, Error> {
        match self.store.update(key, value.clone(), revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => self.own_revision(key, &value).await,
            Err(error) => Err(self.unavailable("change", key, &error)),
        }
    }

    /// Removes an entry. That it was removed is remembered as long as an entry is kept: for many entries, use
    /// [`Self::delete_under`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.store.delete(key).await.map_err(|error| self.unavailable("remove", key, &error))
    }

    /// Removes an entry if it is still the one with `revision`; else an error.
    pub(crate) async fn delete_at(&self, key: &str, revision: u64) -> Result<(), Error> {
        let deleted = self.store.delete_expect_revision(key, Some(revision)).await;
        deleted.map_err(|error| self.unavailable("remove", key, &error))
    }

    /// Removes every entry whose key begins with `prefix` and a dot, in one step that leaves no trace of them; how many.
    pub async fn delete_under(&self, prefix: &str) -> Result<u64, Error> {
        let purged = self.store.stream.purge().filter(self.under(prefix)).await;
        purged.map(|purged| purged.purged).map_err(|error| self.unavailable("remove all under", prefix, &error))
    }

    /// The keys that have a value.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let keys = self.store.keys().await.map_err(|error| self.unavailable("list", "all keys", &error))?;
        let mut keys: Vec<String> =
            keys.try_collect().await.map_err(|error| self.unavailable("list", "all keys", &error))?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// Every entry whose key begins with `prefix` and a dot, in the order of the keys as text. All or an error: an entry
    /// is missing only if it was written or removed meanwhile.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, Error> {
        let failed = |error: &dyn std::error::Error| self.unavailable("list", prefix, error);
        let consumer = self.store.stream.create_consumer(listing(self.under(prefix))).await;
        let mut consumer = consumer.map_err(|error| failed(&error))?;
        let mut left = usize::try_from(consumer.cached_info().num_pending).unwrap_or(usize::MAX);
        let (mut entries, mut count) = (Vec::new(), 0);
        while left > 0 {
            let asked = consumer.fetch().max_messages(LIST_BATCH).messages().await;
            let mut batch = asked.map_err(|error| failed(&error))?;
            let before = count;
            while let Some(message) =
                tokio::time::timeout(self.timeout, batch.next()).await.map_err(|error| failed(&error))?
            {
                let message = message.map_err(|error| failed(error.as_ref()))?;
                let info = message.info().map_err(|error| failed(error.as_ref()))?;
                count += 1;
                if info.consumer_sequence != count {
                    return Err(self.incomplete(prefix));
                }
                left = usize::try_from(info.pending).unwrap_or(usize::MAX);
                let entry = Entry { revision: info.stream_sequence, value: message.payload.clone() };
                if is_put(message.headers.as_ref()) {
                    entries.extend(message.subject.strip_prefix(&self.store.prefix).map(|key| (key.to_owned(), entry)));
                }
            }
            // What ended meanwhile never comes.
            if count == before {
                break;
            }
        }
        if consumer.info().await.map_err(|error| failed(&error))?.delivered.consumer_sequence != count {
            return Err(self.incomplete(prefix));
        }
        let name = consumer.cached_info().name.clone();
        if let Err(error) = self.store.stream.delete_consumer(&name).await {
            tracing::debug!("the listing {name} is left to the server: {error}");
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    fn under(&self, prefix: &str) -> String {
        format!("{}{prefix}.>", self.store.prefix)
    }

    /// The revision of an entry that has this very value.
    pub(crate) async fn own_revision(&self, key: &str, value: &Bytes) -> Result<Option<u64>, Error> {
        let entry = self.entry(key).await?;
        Ok(entry.filter(|entry| entry.value == value).map(|entry| entry.revision))
    }

    fn incomplete(&self, prefix: &str) -> Error {
        let what = format!("list {prefix} in {}", self.name.as_str());
        Error::unavailable(what, "entries were lost on the way")
    }

    fn unavailable(&self, verb: &str, key: &str, error: &dyn std::error::Error) -> Error {
        Error::unavailable(format!("{verb} {key} in {}", self.name.as_str()), &with_sources(error))
    }
}

/// A reader of the newest message of each subject.
fn listing(filter_subject: String) -> pull::Config {
    pull::Config {
        description: Some("a listing".to_owned()),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: LIST_FORGOTTEN,
        num_replicas: 1,
        memory_storage: true,
        filter_subject,
        ..pull::Config::default()
    }
}

/// Whether a message is an entry, and not the note that one was removed.
fn is_put(headers: Option<&async_nats::HeaderMap>) -> bool {
    let operation = header(headers, OPERATION);
    operation.is_empty() || operation.parse::<Operation>().is_ok_and(|operation| operation == Operation::Put)
}
