//! `[nats]`: where the journal is, and the bounds of its use.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use runtime::config::{Fault, Validate, byte_size, duration, redact_url};
use runtime::retry::Policy;
use serde::Deserialize;
use url::Url;

/// Within this time the same event id is stored once.
pub const DUPLICATE_WINDOW: Duration = Duration::from_mins(10);

/// The largest event, headers included.
pub const MAX_EVENT_BYTES: i32 = 64 * 1024;

/// The commented `[nats]` section with every default, to be part of a service's own default configuration.
pub const CONFIG_DEFAULT: &str = include_str!("config.default.toml");

/// The port on which nats-server shows its state unless told otherwise.
const MONITOR_PORT: u16 = 8222;

/// What a server accepts in one batch unless told otherwise.
const SERVER_MAX_BATCH: usize = 1000;

/// The `[nats]` section. A field that is not given has the value that [`CONFIG_DEFAULT`] shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// URL of the server, or several of one cluster with commas between.
    pub url: String,
    /// Where the servers show `/varz`; one URL for each server, with commas between. Empty: port 8222 on the hosts of
    /// `url`. It is needed because an ordinary client cannot see whether a server fsyncs before it acknowledges.
    pub monitor_url: String,
    /// User name; empty: none.
    pub user: String,
    /// File that holds the user's password; empty: none.
    pub password_file: PathBuf,
    /// File with the certificates to trust, for `tls://`; empty: those of the system.
    pub tls_ca_file: PathBuf,
    /// The stream's name.
    pub stream: String,
    /// How many servers hold the stream: 1 on one server, 3 in a cluster.
    pub replicas: u8,
    /// The least size of the stream; a stream that allows more is no drift.
    #[serde(with = "byte_size")]
    pub max_bytes: u64,
    /// For a connection to be made, and for one look at a monitor URL.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// For one question to the server.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How often the client looks whether the server still answers; after two looks without an answer it connects anew.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// For one attempt to publish.
    #[serde(with = "duration")]
    pub publish_timeout: Duration,
    /// For all attempts to publish one event; at most half of [`DUPLICATE_WINDOW`].
    #[serde(with = "duration")]
    pub publish_max_elapsed: Duration,
    /// From this many concurrent events on, they are published as one atomic batch. A batch costs the server as much as
    /// some 30 single events, however few are in it.
    pub publish_batch_min: usize,
    /// At most this many events in one batch, and this many single publishes in flight.
    pub publish_batch: usize,
    /// At most this many events wait for their turn; more callers wait outside.
    pub publish_queue: usize,
    /// The ceiling of the first delay between attempts.
    #[serde(with = "duration")]
    pub retry_first_delay: Duration,
    /// The ceiling of all delays between attempts.
    #[serde(with = "duration")]
    pub retry_max_delay: Duration,
    /// How often the safety of the journal is checked, besides at every connect.
    #[serde(with = "duration")]
    pub check_interval: Duration,
    /// Events that a replay asks for at once.
    pub replay_batch: usize,
    /// Bytes that a replay asks for at once.
    #[serde(with = "byte_size")]
    pub replay_bytes: u64,
    /// How long a request for events stands.
    #[serde(with = "duration")]
    pub pull_expires: Duration,
    /// How often the server says that it still holds the request.
    #[serde(with = "duration")]
    pub pull_heartbeat: Duration,
    /// A delivery that nobody ends or works on for this long is delivered again.
    #[serde(with = "duration")]
    pub ack_wait: Duration,
    /// Unacknowledged deliveries of one consumer; at most a quarter of them waits in backoff.
    pub max_ack_pending: u32,
    /// How long a lease outlives its holder.
    #[serde(with = "duration")]
    pub lease_ttl: Duration,
    /// How long an entry on a node's health outlives its writer.
    #[serde(with = "duration")]
    pub node_ttl: Duration,
    /// How long an upload can be resumed and finished, from its start. S3 nodes that throw away unfinished multipart
    /// uploads by themselves must wait longer.
    #[serde(with = "duration")]
    pub upload_ttl: Duration,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            monitor_url: String::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            tls_ca_file: PathBuf::new(),
            stream: "HIGHWATER".to_owned(),
            replicas: 1,
            max_bytes: 10 << 30,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(2),
            publish_max_elapsed: Duration::from_secs(30),
            publish_batch_min: 32,
            publish_batch: 100,
            publish_queue: 1024,
            retry_first_delay: Duration::from_millis(50),
            retry_max_delay: Duration::from_secs(2),
            check_interval: Duration::from_secs(5),
            replay_batch: 5000,
            replay_bytes: 16 << 20,
            pull_expires: Duration::from_secs(30),
            pull_heartbeat: Duration::from_secs(5),
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 16384,
            lease_ttl: Duration::from_secs(30),
            node_ttl: Duration::from_mins(1),
            upload_ttl: Duration::from_hours(8 * 24),
        }
    }
}

impl Config {
    /// How the journal retries everything but publishing: for as long as it takes.
    pub(crate) fn patience(&self) -> Policy {
        Policy::new(self.retry_first_delay, self.retry_max_delay)
    }

    /// The servers of `url`.
    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, String> {
        list(&self.url).map(|url| url.parse().map_err(|problem| format!("{:?}: {problem}", redact_url(url)))).collect()
    }

    /// The servers of `url` as text without user names and passwords.
    pub(crate) fn servers_shown(&self) -> String {
        let shown = |server: ServerAddr| format!("{}:{}", server.host(), server.port());
        match self.servers() {
            Ok(servers) => servers.into_iter().map(shown).collect::<Vec<_>>().join(", "),
            Err(problem) => problem,
        }
    }

    /// The monitor URLs, given or derived.
    pub(crate) fn monitors(&self) -> Result<Vec<Url>, String> {
        if self.monitor_url.trim().is_empty() {
            let derive = |server: ServerAddr| {
                let host =
                    if server.host().contains(':') { format!("[{}]", server.host()) } else { server.host().to_owned() };
                Url::parse(&format!("http://{host}:{MONITOR_PORT}")).map_err(|problem| format!("{host:?}: {problem}"))
            };
            return self.servers()?.into_iter().map(derive).collect();
        }
        let parse = |text: &str| match Url::parse(text) {
            Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
            Ok(_) => Err(format!("{:?} is not of the form http://host:port", redact_url(text))),
            Err(problem) => Err(format!("{:?}: {problem}", redact_url(text))),
        };
        list(&self.monitor_url).map(parse).collect()
    }

    fn durations(&self) -> [(&'static str, Duration); 13] {
        [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("ping_interval", self.ping_interval),
            ("publish_timeout", self.publish_timeout),
            ("publish_max_elapsed", self.publish_max_elapsed),
            ("retry_first_delay", self.retry_first_delay),
            ("check_interval", self.check_interval),
            ("pull_expires", self.pull_expires),
            ("pull_heartbeat", self.pull_heartbeat),
            ("ack_wait", self.ack_wait),
            ("lease_ttl", self.lease_ttl),
            ("node_ttl", self.node_ttl),
            ("upload_ttl", self.upload_ttl),
        ]
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, key: &str, problem: &str| {
            if !holds {
                faults.push(Fault::new(key, problem));
            }
        };
        for (key, value) in self.durations() {
            check(!value.is_zero(), key, "must be longer than zero");
        }
        check(self.stream_is_valid(), "stream", "must be 1 to 64 of A-Z, a-z, 0-9, - and _");
        check((1..=5).contains(&self.replicas), "replicas", "must be 1 to 5");
        check(self.max_bytes >= 1 << 20, "max_bytes", "must be at least 1MiB");
        check(i64::try_from(self.max_bytes).is_ok(), "max_bytes", "is too large");
        let half_window = self.publish_max_elapsed <= DUPLICATE_WINDOW / 2;
        check(half_window, "publish_max_elapsed", "must be at most 5m, half the window in which an id is stored once");
        check(
            self.publish_timeout <= self.publish_max_elapsed,
            "publish_timeout",
            "must be at most publish_max_elapsed",
        );
        check((1..=SERVER_MAX_BATCH).contains(&self.publish_batch), "publish_batch", "must be 1 to 1000");
        check(self.publish_batch_min >= 2, "publish_batch_min", "must be at least 2");
        check(self.publish_queue >= 1, "publish_queue", "must be at least 1");
        check(self.retry_max_delay >= self.retry_first_delay, "retry_max_delay", "must be at least retry_first_delay");
        check((1..=100_000).contains(&self.replay_batch), "replay_batch", "must be 1 to 100000");
        let holds_one = self.replay_bytes >= 2 * u64::from(MAX_EVENT_BYTES.unsigned_abs());
        check(holds_one, "replay_bytes", "must be at least 128KiB, so that the largest event fits");
        check(self.pull_heartbeat * 2 <= self.pull_expires, "pull_heartbeat", "must be at most half of pull_expires");
        check(self.max_ack_pending >= 4, "max_ack_pending", "must be at least 4");
        check(
            self.user.is_empty() == self.password_file.as_os_str().is_empty(),
            "user",
            "needs password_file, and the reverse",
        );
        let servers = self.servers().err();
        // Derived from the servers, it has their problem, which is said already.
        let monitors = self.monitors().err().filter(|problem| Some(problem) != servers.as_ref());
        for (key, problem) in [("url", servers), ("monitor_url", monitors)] {
            if let Some(problem) = problem {
                faults.push(Fault::new(key, problem));
            }
        }
        faults
    }
}

impl Config {
    fn stream_is_valid(&self) -> bool {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !self.stream.is_empty() && self.stream.len() <= 64 && self.stream.bytes().all(allowed)
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        nats: Config,
    }

    #[test]
    fn the_commented_defaults_are_the_defaults() {
        let file: File = toml::from_str(CONFIG_DEFAULT).unwrap();
        assert_eq!(file.nats, Config::default());
        assert_eq!(file.nats.faults(), Vec::new());
    }

    #[test]
    fn monitor_urls_are_derived_from_the_hosts() {
        let config = Config { url: "nats://u:p@a:4222,b".to_owned(), ..Config::default() };
        let shown: Vec<String> = config.monitors().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["http://a:8222/", "http://b:8222/"]);
        assert_eq!(config.servers_shown(), "a:4222, b:4222");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let config = Config {
            url: "nats://a:port".to_owned(),
            monitor_url: "https://a".to_owned(),
            stream: "a.b".to_owned(),
            publish_max_elapsed: Duration::from_secs(301),
            user: "me".to_owned(),
            ..Config::default()
        };
        let keys: Vec<String> = config.faults().into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["stream", "publish_max_elapsed", "user", "url", "monitor_url"]);
    }
}
