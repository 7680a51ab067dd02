//! The gateway's configuration; `config.default.toml` has every key with its default and says what it does.

use std::net::SocketAddr;
use std::time::Duration;

use proto::SLICE_BYTES;
use runtime::config::{Fault, Validate, within};
use runtime::program::Settings;
use runtime::retry::Policy;
use serde::Deserialize;

use crate::{plain, server};

/// The source of all defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// A piece of a body is up to 256 KiB, and a node that gives nothing for some seconds counts as silent.
const MIN_SCRUB_BYTES_PER_SECOND: u64 = 64 * 1024;
/// S3 takes at most so many parts for one object, and a part is a slice.
const MAX_PARTS: u64 = 10_000;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Where to listen: gRPC, health, reflection, metrics.
    pub(crate) listen: SocketAddr,
    /// How long requests in flight may take to finish once the gateway is told to stop.
    #[serde(with = "runtime::config::duration")]
    pub(crate) shutdown_grace: Duration,
    /// The journal.
    pub(crate) nats: journal::Config,
    /// The catalog.
    pub(crate) database: catalog::Config,
    /// The nodes.
    pub(crate) nodes: Vec<blobs::NodeConfig>,
    /// How nodes are used.
    pub(crate) blobs: blobs::Config,
    /// Logs.
    pub(crate) telemetry: runtime::telemetry::Config,
    /// Bounds of requests.
    pub(crate) limits: Limits,
    /// Bounds of connections.
    pub(crate) connections: server::Connections,
    /// Bounds of HTTP/1.1.
    pub(crate) http1: server::Http1,
    /// Bounds of HTTP/2.
    pub(crate) http2: server::Http2,
    /// Bounds of scrapes.
    pub(crate) metrics: plain::Metrics,
    /// How the gateway watches over what it depends on.
    pub(crate) watch: Watch,
    /// What one gateway at a time does for all.
    pub(crate) duties: Duties,
    /// `gateway init`.
    pub(crate) init: Init,
}

/// What one gateway at a time does for all: the section `[duties]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Duties {
    /// How often blobs that nothing names are looked for.
    #[serde(with = "runtime::config::duration")]
    pub(crate) erase_interval: Duration,
    /// How often the spaces' retention is applied.
    #[serde(with = "runtime::config::duration")]
    pub(crate) prune_interval: Duration,
    /// How long the asking for copies where blobs shall be rests between two steps.
    #[serde(with = "runtime::config::duration")]
    pub(crate) rebalance_pause: Duration,
    /// How often all blobs are looked at for that, also when neither placement nor nodes have changed.
    #[serde(with = "runtime::config::duration")]
    pub(crate) rebalance_interval: Duration,
    /// So many copies a node may lack, of whatever cause, for more to be asked for.
    pub(crate) rebalance_ahead: u32,
    /// How often the markers of the nodes are looked at.
    #[serde(with = "runtime::config::duration")]
    pub(crate) nodes_interval: Duration,
    /// After so many looks in a row that find no marker, a node that has joined counts as wiped.
    pub(crate) wiped_after: u32,
    /// How often it is tried to take back a wiped node that cannot be taken back, as it is full or takes no writes.
    pub(crate) wiped_retry: Policy,
    /// How long reading everything on the nodes and comparing it may take; zero turns it off.
    #[serde(with = "runtime::config::duration")]
    pub(crate) scrub_interval: Duration,
    /// How fast that reads, at most.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) scrub_bytes_per_second: u64,
}

/// Bounds of requests: the section `[limits]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Limits {
    /// Most uploads at once.
    pub(crate) max_uploads: usize,
    /// Most downloads at once.
    pub(crate) max_downloads: usize,
    /// How long a request waits until it is one of them.
    #[serde(with = "runtime::config::duration")]
    pub(crate) queue_wait: Duration,
    /// Most bytes in one chunk of an upload.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) chunk_bytes: u64,
    /// Most bytes in one message of a download.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) download_chunk_bytes: u64,
    /// Most bytes in one file.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_file_bytes: u64,
    /// How long the first message of an upload may take.
    #[serde(with = "runtime::config::duration")]
    pub(crate) metadata_timeout: Duration,
    /// How long a client may send nothing, or take nothing, in the middle of a file.
    #[serde(with = "runtime::config::duration")]
    pub(crate) idle_timeout: Duration,
    /// How long an upload may take from its first byte to its last.
    #[serde(with = "runtime::config::duration")]
    pub(crate) upload_timeout: Duration,
    /// How long an upload waits until the catalog shows it.
    #[serde(with = "runtime::config::duration")]
    pub(crate) projection_wait: Duration,
    /// How long a change that the fold may reject waits for its outcome.
    #[serde(with = "runtime::config::duration")]
    pub(crate) outcome_wait: Duration,
    /// How far back it is looked for how fast the nodes' backlogs shrink.
    #[serde(with = "runtime::config::duration")]
    pub(crate) eta_window: Duration,
    /// Copies before an upload is acknowledged, when the client does not say.
    pub(crate) ack_replicas: u32,
    /// How long an upload may wait for its copies, and a client for those of a version.
    #[serde(with = "runtime::config::duration")]
    pub(crate) replication_wait: Duration,
    /// How long a blob that nothing names is kept before it is condemned.
    #[serde(with = "runtime::config::duration")]
    pub(crate) erase_grace: Duration,
    /// For how many days the content of a deleted space is kept when the space does not say.
    pub(crate) deleted_space_days: u32,
    /// How old an object that no event names must be to be condemned.
    #[serde(with = "runtime::config::duration")]
    pub(crate) orphan_grace: Duration,
    /// How old an object must be for an audit to say that it should not be there, or that nobody has reported it.
    #[serde(with = "runtime::config::duration")]
    pub(crate) audit_settle: Duration,
    /// Objects that one audit looks at or reads at once.
    pub(crate) audit_reads: usize,
    /// Blobs whose ids one audit holds in memory.
    pub(crate) audit_held_blobs: usize,
    /// How long a read waits for its `min_sequence`.
    #[serde(with = "runtime::config::duration")]
    pub(crate) min_sequence_wait: Duration,
    /// Entries on a page when the client does not say.
    pub(crate) page_size: u32,
    /// Most entries on a page.
    pub(crate) max_page_size: u32,
    /// Bytes after which a page ends, however many entries were asked for.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) page_bytes: u64,
    /// From how full a journal on users' changes are turned away, in percent.
    pub(crate) journal_full_percent: u8,
}

/// How the gateway watches over what it depends on: the section `[watch]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Watch {
    /// How often journal, catalog and nodes are looked at.
    #[serde(with = "runtime::config::duration")]
    pub(crate) interval: Duration,
    /// How long each may take to answer.
    #[serde(with = "runtime::config::duration")]
    pub(crate) timeout: Duration,
    /// How often nodes are swept of uploads and probes that died in their middle.
    #[serde(with = "runtime::config::duration")]
    pub(crate) sweep_interval: Duration,
    /// How old these must be: longer than any upload or copy takes.
    #[serde(with = "runtime::config::duration")]
    pub(crate) sweep_age: Duration,
}

/// `gateway init`: the section `[init]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Init {
    /// How often to try what is not there yet.
    pub(crate) retry: Policy,
    /// How long to wait for a node that does not answer.
    #[serde(with = "runtime::config::duration")]
    pub(crate) node_wait: Duration,
}

// === impl Config ===

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = within("nodes", blobs::check_nodes(&self.nodes));
        faults.extend(within("nats", self.nats.faults()));
        faults.extend(within("database", self.database.faults()));
        faults.extend(within("blobs", self.blobs.faults()));
        faults.extend(within("limits", self.limits.faults()));
        faults.extend(within("connections", self.connections.faults()));
        faults.extend(within("http1", self.http1.faults()));
        faults.extend(within("http2", self.http2.faults()));
        faults.extend(within("metrics", self.metrics.faults()));
        faults.extend(within("watch", self.watch.faults()));
        faults.extend(within("duties", self.duties.faults()));
        faults.extend(within("init.retry", self.init.retry.faults()));
        if self.watch.sweep_age <= self.limits.upload_timeout {
            faults.push(Fault::new("watch.sweep_age", "must be longer than limits.upload_timeout"));
        }
        faults
    }
}

impl Settings for Config {
    fn telemetry(&self) -> &runtime::telemetry::Config {
        &self.telemetry
    }

    fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace
    }
}

// === impl Watch ===

impl Validate for Watch {
    fn faults(&self) -> Vec<Fault> {
        let times = [("interval", self.interval), ("timeout", self.timeout), ("sweep_interval", self.sweep_interval)];
        let zero = times.into_iter().filter(|(_, time)| time.is_zero());
        zero.map(|(key, _)| Fault::new(key, "must be longer than zero")).collect()
    }
}

// === impl Duties ===

impl Validate for Duties {
    fn faults(&self) -> Vec<Fault> {
        let times = [
            ("erase_interval", self.erase_interval),
            ("prune_interval", self.prune_interval),
            ("rebalance_pause", self.rebalance_pause),
            ("rebalance_interval", self.rebalance_interval),
            ("nodes_interval", self.nodes_interval),
        ];
        let zero = times.into_iter().filter(|(_, time)| time.is_zero());
        let mut faults: Vec<Fault> = zero.map(|(key, _)| Fault::new(key, "must be longer than zero")).collect();
        let counts = [("wiped_after", self.wiped_after), ("rebalance_ahead", self.rebalance_ahead)];
        let none = counts.into_iter().filter(|(_, count)| *count == 0);
        faults.extend(none.map(|(key, _)| Fault::new(key, "must be at least 1")));
        faults.extend(within("wiped_retry", self.wiped_retry.faults()));
        if self.scrub_bytes_per_second < MIN_SCRUB_BYTES_PER_SECOND {
            faults
                .push(Fault::new("scrub_bytes_per_second", "must be at least 64KiB, or a node would count as silent"));
        }
        faults
    }
}

// === impl Limits ===

impl Validate for Limits {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let counts = [
            ("max_uploads", self.max_uploads as u64),
            ("max_downloads", self.max_downloads as u64),
            ("chunk_bytes", self.chunk_bytes),
            ("download_chunk_bytes", self.download_chunk_bytes),
            ("audit_reads", self.audit_reads as u64),
            ("page_size", self.page_size.into()),
            ("page_bytes", self.page_bytes),
        ];
        faults.extend(counts.iter().filter(|(_, n)| *n == 0).map(|(key, _)| Fault::new(*key, "must be at least 1")));
        if self.eta_window.is_zero() {
            faults.push(Fault::new("eta_window", "must be longer than zero"));
        }
        if self.orphan_grace < self.erase_grace {
            faults.push(Fault::new("orphan_grace", "must not be shorter than erase_grace"));
        }
        if self.max_page_size < self.page_size {
            faults.push(Fault::new("max_page_size", "must not be less than page_size"));
        }
        // Clients take messages of 4 MiB unless told otherwise, and the length of a message is 32 bits.
        if self.chunk_bytes > 1 << 30 {
            faults.push(Fault::new("chunk_bytes", "must be at most 1GiB"));
        }
        if self.max_file_bytes > MAX_PARTS * SLICE_BYTES {
            let most = MAX_PARTS * SLICE_BYTES;
            faults.push(Fault::new("max_file_bytes", format!("must be at most {most}, which S3 can hold in parts")));
        }
        if !(1..=100).contains(&self.journal_full_percent) {
            faults.push(Fault::new("journal_full_percent", "must be from 1 to 100"));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
