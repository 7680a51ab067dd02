//! State that is no fact: leases and node health, in key-value buckets with a time limit.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{self, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::StorageType;
use bytes::Bytes;
use futures::TryStreamExt as _;

use crate::config::Config;
use crate::error::Error;
use crate::journal::{Journal, Shared};
use crate::link::with_sources;

/// The largest value of an entry.
const MAX_VALUE_BYTES: i32 = 16 * 1024;
/// The size of a bucket: entries are few and end by themselves.
const MAX_BUCKET_BYTES: i64 = 64 << 20;

/// The buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketName {
    /// Who does a duty that one process does at a time.
    Leases,
    /// How nodes are, as those who use them see it.
    Nodes,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: BucketName,
    store: Store,
}

/// A duty that this holder has, until `lease_ttl` after it was taken or last renewed.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    store: Store,
    duty: String,
    holder: String,
    revision: u64,
}

// === impl BucketName ===

impl BucketName {
    /// Every bucket.
    pub const ALL: [Self; 2] = [Self::Leases, Self::Nodes];

    /// Its name in JetStream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leases => "highwater_leases",
            Self::Nodes => "highwater_nodes",
        }
    }

    pub(crate) fn config(self, config: &Config) -> kv::Config {
        let (description, max_age) = match self {
            Self::Leases => ("Duties that one process of Highwater does at a time.", config.lease_ttl),
            Self::Nodes => ("How Highwater's nodes are.", config.node_ttl),
        };
        kv::Config {
            bucket: self.as_str().to_owned(),
            description: description.to_owned(),
            max_value_size: MAX_VALUE_BYTES,
            history: 1,
            max_age,
            max_bytes: MAX_BUCKET_BYTES,
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
    /// A bucket; [`Error::Missing`] before `gateway init`.
    pub async fn bucket(&self, name: BucketName) -> Result<Bucket, Error> {
        Ok(Bucket { name, store: self.shared().link.bucket(name.as_str()).await? })
    }

    /// Takes a duty; `None` while somebody else has it. `holder` must be this process's own: who has the same name has
    /// the same lease.
    pub async fn acquire(&self, duty: &str, holder: &str) -> Result<Option<Lease>, Error> {
        let shared = Arc::clone(self.shared());
        let store = shared.link.bucket(BucketName::Leases.as_str()).await?;
        let what = || format!("take the lease {duty}");
        let lease = |revision, shared, store| Lease {
            shared,
            store,
            duty: duty.to_owned(),
            holder: holder.to_owned(),
            revision,
        };
        match store.create(duty, Bytes::copy_from_slice(holder.as_bytes())).await {
            Ok(revision) => Ok(Some(lease(revision, shared, store))),
            // Perhaps our own attempt, whose answer was lost.
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let own = own_revision(&store, duty, holder, &what()).await?;
                Ok(own.map(|revision| lease(revision, shared, store)))
            }
            Err(error) if lost_a_race(&error) => Ok(None),
            Err(error) => Err(Error::unavailable(what(), &with_sources(&error))),
        }
    }
}

// === impl Bucket ===

impl Bucket {
    /// An entry's value; `None` when there is none, or it has ended.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.store.get(key).await.map_err(|error| self.unavailable("read", key, &error))
    }

    /// Writes an entry, which starts its time anew.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<(), Error> {
        self.store.put(key, value).await.map(drop).map_err(|error| self.unavailable("write", key, &error))
    }

    /// Removes an entry.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.store.delete(key).await.map_err(|error| self.unavailable("remove", key, &error))
    }

    /// The keys that have a value.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let keys = self.store.keys().await.map_err(|error| self.unavailable("list", "all keys", &error))?;
        let mut keys: Vec<String> =
            keys.try_collect().await.map_err(|error| self.unavailable("list", "all keys", &error))?;
        keys.sort_unstable();
        Ok(keys)
    }

    fn unavailable(&self, verb: &str, key: &str, error: &dyn std::error::Error) -> Error {
        Error::unavailable(format!("{verb} {key} in {}", self.name.as_str()), &with_sources(error))
    }
}

// === impl Lease ===

impl Lease {
    /// How long it holds without being renewed. Renew it at a third of this.
    pub fn ttl(&self) -> Duration {
        self.shared.config.lease_ttl
    }

    /// Keeps the duty for another [`Self::ttl`]. False: it was lost, and whoever holds it must stop at once.
    pub async fn renew(&mut self) -> Result<bool, Error> {
        let what = format!("renew the lease {}", self.duty);
        let value = Bytes::copy_from_slice(self.holder.as_bytes());
        match self.store.update(&self.duty, value, self.revision).await {
            Ok(revision) => {
                self.revision = revision;
                Ok(true)
            }
            // Perhaps our own renewal, whose answer was lost.
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                let own = own_revision(&self.store, &self.duty, &self.holder, &what).await?;
                self.revision = own.unwrap_or(self.revision);
                Ok(own.is_some())
            }
            Err(error) => Err(Error::unavailable(what, &with_sources(&error))),
        }
    }

    /// Gives the duty back, so that nobody must wait for its time to pass.
    pub async fn release(self) -> Result<(), Error> {
        let given = self.store.delete_expect_revision(&self.duty, Some(self.revision)).await;
        given.map_err(|error| Error::unavailable(format!("give back the lease {}", self.duty), &with_sources(&error)))
    }
}

/// The revision of the duty's entry, if it is this holder's.
async fn own_revision(store: &Store, duty: &str, holder: &str, what: &str) -> Result<Option<u64>, Error> {
    let entry = store.entry(duty).await.map_err(|error| Error::unavailable(what, &with_sources(&error)))?;
    let own = entry.filter(|entry| entry.operation == Operation::Put && entry.value == holder.as_bytes());
    Ok(own.map(|entry| entry.revision))
}

/// Somebody else took it between two steps of ours.
fn lost_a_race(error: &kv::CreateError) -> bool {
    with_sources(error).contains("wrong last sequence")
}
