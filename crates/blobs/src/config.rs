//! Settings of the S3 nodes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use proto::{NodeId, SLICE_BYTES};
use runtime::config::{Fault, Validate, byte_size, duration, read_secret, redact_url, within};
use runtime::retry::Policy;
use serde::Deserialize;
use url::Url;

const MIN_BUCKET_NAME: usize = 3;
const MAX_BUCKET_NAME: usize = 63;

/// The longest object that S3 takes in one request (Amazon S3, "Uploading objects").
const MAX_SINGLE_PUT: u64 = 5 * 1024 * 1024 * 1024;

/// One S3 endpoint and bucket; an entry of the `[[nodes]]` list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name in events; never changes and is never given to another disk.
    pub id: NodeId,
    /// Where it listens: `http://host:port` or `https://host`.
    pub endpoint: String,
    /// The region that requests are signed for; MinIO's default is `us-east-1`.
    pub region: String,
    /// The bucket, used by nothing else.
    pub bucket: String,
    /// The access key's name.
    pub access_key: String,
    /// The file that holds the secret key, so that it stands in no configuration and no process list.
    pub secret_key_file: PathBuf,
}

/// How the nodes are used; `[blobs]`. Every field has a default ([`Config::default`], `config.default.toml`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes that all uploads of the process together may hold in requests under way, besides the one slice that each
    /// of them is filling.
    #[serde(with = "byte_size")]
    pub send_budget: u64,
    /// Parts of one upload under way at once.
    pub upload_parallel_parts: usize,
    /// Pieces (of at most 256 KiB) of one upload that may wait to be hashed; past it the upload waits for the hash.
    pub hash_queue: usize,
    /// Bytes that all downloads of the process together may fetch ahead; a download that gets nothing of it still
    /// works, slice by slice.
    #[serde(with = "byte_size")]
    pub prefetch_budget: u64,
    /// Parts of one large blob that are copied at once.
    pub copy_parallel_parts: usize,
    /// Blobs of this size and more are copied in parts, one for each slice, and a copy that was cut short goes on where it
    /// was; those below in one request, which costs the nodes less (docs/PERFORMANCE.md).
    #[serde(with = "byte_size")]
    pub copy_parts_from: u64,
    /// Bytes of small blobs that are kept for a moment, so that one read serves the copies to all nodes; 0 keeps none.
    #[serde(with = "byte_size")]
    pub copy_memory: u64,
    /// For a TCP (and TLS) connection to come about.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// For an answer to a read to begin, and between two pieces of its body.
    #[serde(with = "duration")]
    pub read_timeout: Duration,
    /// A node that has not begun to answer a read after the average of its times and four mean deviations, but at least
    /// after this, has another one asked too. Nodes that are all faster than this count as equally fast.
    #[serde(with = "duration")]
    pub hedge_after_min: Duration,
    /// The same for a node of which no time is known, and for one that falls silent in the middle of a slice.
    #[serde(with = "duration")]
    pub hedge_after: Duration,
    /// At most so many of a hundred slices are asked of a second node like that; a few may come in a row. 0 for none.
    pub hedge_percent: u8,
    /// For any other request; a body adds the time it takes at `min_bytes_per_second`. When the node is unavailable, nothing
    /// is waited for any longer of which no byte has moved for this long.
    #[serde(with = "duration")]
    pub operation_timeout: Duration,
    /// The slowest a body may go on average before the request counts as hung.
    #[serde(with = "byte_size")]
    pub min_bytes_per_second: u64,
    /// How long an idle connection is kept.
    #[serde(with = "duration")]
    pub pool_idle_timeout: Duration,
    /// Idle connections kept per node.
    pub pool_max_idle: usize,
    /// How a part of a large upload, and its completion, are tried again.
    pub retry: Policy,
    /// Faults of a node in a row that make it count as unavailable.
    pub breaker_faults: u32,
    /// So often in a row a node must fail at one blob, and serve another one right after, until the failure counts as that
    /// blob's and not the node's.
    pub key_faults: u32,
    /// When an unavailable node is tried again.
    pub breaker: Policy,
    /// How often each node's marker is read.
    #[serde(with = "duration")]
    pub health_interval: Duration,
}

/// What is wrong with the list of nodes, all at once: ids and places must be unique, names must have their form. Keys are
/// relative to the list (`[0].id`); `runtime::config::within` puts them under its name.
pub fn check_nodes(nodes: &[NodeConfig]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if nodes.is_empty() {
        faults.push(Fault::new("", "must name at least one node"));
    }
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (index, node) in nodes.iter().enumerate() {
        let key = |field: &str| format!("[{index}].{field}");
        if !ids.insert(&node.id) {
            faults.push(Fault::new(key("id"), format!("{} is used twice", node.id)));
        }
        if !places.insert((node.endpoint.trim_end_matches('/'), &node.bucket)) {
            let problem = format!("{} with bucket {} is used twice", redact_url(&node.endpoint), node.bucket);
            faults.push(Fault::new(key("endpoint"), problem));
        }
        faults.extend(node.problems().into_iter().map(|(field, problem)| Fault::new(key(field), problem)));
    }
    faults
}

/// The nodes' secrets that cannot be read, all at once; to be asked before anything is started. Keys as in [`check_nodes`].
pub fn check_secrets(nodes: &[NodeConfig]) -> Vec<Fault> {
    let fault = |(index, node): (usize, &NodeConfig)| {
        let error = read_secret(&node.secret_key_file).err()?;
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Some(Fault::new(format!("[{index}].secret_key_file"), format!("{error}{cause}")))
    };
    nodes.iter().enumerate().filter_map(fault).collect()
}

// === impl NodeConfig ===

impl NodeConfig {
    /// The endpoint's scheme, host and port.
    pub(crate) fn origin(&self) -> Result<Url, String> {
        // Somebody may have put a password into it.
        let shown = redact_url(&self.endpoint);
        let url = Url::parse(&self.endpoint).map_err(|error| format!("{shown:?} is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("{shown:?} is not http://host:port or https://host"));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{shown:?} must be scheme, host and port only"));
        }
        Ok(url)
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Err(problem) = self.origin() {
            problems.push(("endpoint", problem));
        }
        if self.region.is_empty() {
            problems.push(("region", "is empty".to_owned()));
        }
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let length = self.bucket.len();
        if !(MIN_BUCKET_NAME..=MAX_BUCKET_NAME).contains(&length) || !self.bucket.bytes().all(allowed) {
            let form = format!("{MIN_BUCKET_NAME} to {MAX_BUCKET_NAME} of a-z, 0-9, - and .");
            problems.push(("bucket", format!("{:?} is not {form}", self.bucket)));
        }
        if self.access_key.is_empty() {
            problems.push(("access_key", "is empty".to_owned()));
        }
        if self.secret_key_file.as_os_str().is_empty() {
            problems.push(("secret_key_file", "is empty".to_owned()));
        }
        problems
    }
}

// === impl Config ===

impl Config {
    /// How long a request with a body of `bytes` may take.
    pub(crate) fn limit(&self, bytes: u64) -> Duration {
        self.operation_timeout + Duration::from_secs(bytes / self.min_bytes_per_second.max(1))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_budget: 64 * 1024 * 1024,
            upload_parallel_parts: 4,
            hash_queue: 4,
            prefetch_budget: 64 * 1024 * 1024,
            copy_parallel_parts: 4,
            copy_parts_from: 256 * 1024 * 1024,
            copy_memory: 32 * 1024 * 1024,
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(10),
            hedge_after_min: Duration::from_millis(50),
            hedge_after: Duration::from_millis(500),
            hedge_percent: 10,
            operation_timeout: Duration::from_secs(20),
            min_bytes_per_second: 8 * 1024,
            pool_idle_timeout: Duration::from_secs(20),
            pool_max_idle: 64,
            retry: Policy::new(Duration::from_millis(100), Duration::from_secs(2))
                .with_max_elapsed(Duration::from_secs(15)),
            breaker_faults: 3,
            key_faults: 3,
            breaker: Policy::new(Duration::from_millis(500), Duration::from_secs(3)),
            health_interval: Duration::from_secs(5),
        }
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.send_budget < SLICE_BYTES || self.send_budget > u64::from(u32::MAX) {
            let problem = format!("must be between {SLICE_BYTES}, the length of a slice, and {}", u32::MAX);
            faults.push(Fault::new("send_budget", problem));
        }
        if self.prefetch_budget > u64::from(u32::MAX) {
            faults.push(Fault::new("prefetch_budget", format!("must be at most {}", u32::MAX)));
        }
        if self.copy_parts_from > MAX_SINGLE_PUT {
            faults.push(Fault::new("copy_parts_from", "must be at most 5GiB, the most that S3 takes in one request"));
        }
        let counts = [
            ("upload_parallel_parts", self.upload_parallel_parts),
            ("hash_queue", self.hash_queue),
            ("copy_parallel_parts", self.copy_parallel_parts),
        ];
        let zero = counts.into_iter().filter(|(_, count)| *count == 0);
        faults.extend(zero.map(|(key, _)| Fault::new(key, "must be at least 1")));
        if self.breaker_faults == 0 {
            faults.push(Fault::new("breaker_faults", "must be at least 1"));
        }
        if self.key_faults == 0 {
            faults.push(Fault::new("key_faults", "must be at least 1"));
        }
        if self.min_bytes_per_second == 0 {
            faults.push(Fault::new("min_bytes_per_second", "must be more than zero"));
        }
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
            ("hedge_after_min", self.hedge_after_min),
            ("hedge_after", self.hedge_after),
            ("operation_timeout", self.operation_timeout),
            ("health_interval", self.health_interval),
        ];
        let zero = times.into_iter().filter(|(_, time)| time.is_zero());
        faults.extend(zero.map(|(key, _)| Fault::new(key, "must be longer than zero")));
        if self.hedge_percent > 100 {
            faults.push(Fault::new("hedge_percent", "must be at most 100"));
        }
        if self.retry.max_elapsed.is_none() {
            faults.push(Fault::new("retry.max_elapsed", "must be set: somebody waits for the upload"));
        }
        for (key, policy) in [("retry", &self.retry), ("breaker", &self.breaker)] {
            faults.extend(within(key, policy.faults()));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
