//! Whether the journal may be used: the server, the stream's configuration, and that it is still the same journal.

use std::fmt;

use async_nats::jetstream::stream;

use crate::config::Config;
use crate::error::Error;
use crate::guard::Guard;
use crate::journal::{Head, Identity};
use crate::layout;
use crate::link::{ConnectionId, Link};
use crate::monitor::{self, Varz};

/// Older servers lose acknowledged messages (before 2.12.7), fsync once per message of a batch, or cannot reset a
/// consumer.
const OLDEST: Version = Version { numbers: [2, 15, 1], released: true };

/// What the checks found, for the connection on which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) connection: ConnectionId,
    /// What is wrong; empty: the journal may be used.
    pub(crate) faults: Vec<String>,
}

/// A journal that may be used.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) connection: ConnectionId,
    pub(crate) identity: Identity,
    pub(crate) head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u32; 3],
    released: bool,
}

/// Looks at the server and at the stream; [`Error::Unsafe`] with every fault when they must not be used.
pub(crate) async fn look(link: &Link, config: &Config) -> Result<Look, Error> {
    let connection = connection(link)?;
    let info = match link.stream(&config.stream).await {
        // Waiting for a stream on a server that must not be used anyway would only hide why.
        Err(missing @ Error::Missing { .. }) => {
            let faults = server_faults(link, config, None).await?;
            return Err(if faults.is_empty() { missing } else { Error::Unsafe(faults) });
        }
        found => found?,
    };
    let mut faults = server_faults(link, config, Some(&info)).await?;
    faults.extend(stream_faults(config, &info.config));
    if link.current().as_ref() != Some(&connection) {
        return Err(changed());
    }
    match layout::identity(&info.config) {
        Ok(identity) if faults.is_empty() => Ok(Look { connection, identity, head: Head::of(&info) }),
        _ => Err(Error::Unsafe(faults)),
    }
}

/// Whether the stream is still the one that was opened, and holds what was read before.
pub(crate) async fn same_journal(
    link: &Link,
    config: &Config,
    guard: &Guard,
    opened: Identity,
    found: Identity,
    head: Head,
) -> Result<(), Error> {
    let name = &config.stream;
    let diverged = |reason: String| {
        guard.diverge(&reason);
        Error::Diverged(guard.diverged().unwrap_or_default())
    };
    if found.incarnation != opened.incarnation {
        return Err(diverged(format!(
            "the stream {name} has the incarnation {}, it had {} before: it was restored, or deleted and made again",
            found.incarnation, opened.incarnation
        )));
    }
    if found.cluster != opened.cluster {
        return Err(diverged(format!(
            "the stream {name} belongs to the cluster {}, it belonged to {} before",
            found.cluster, opened.cluster
        )));
    }
    if let Some(checkpoint) = guard.checkpoint() {
        if head.n < checkpoint.n {
            // Others read on while this looks, so `head` may just be older than the checkpoint: only one that is asked
            // for now, when the checkpoint is known, proves anything.
            let now = Head::of(&link.stream(name).await?);
            if now.n < checkpoint.n {
                return Err(diverged(format!(
                    "the stream {name} ends with event {}, but event {} had been read: its tail is lost",
                    now.n, checkpoint.n
                )));
            }
        }
        // A hole at the checkpoint says nothing about what was there.
        let there = link.read(name, checkpoint.n).await?;
        if let Some(there) = there
            && there.message_id != checkpoint.event_id
        {
            return Err(diverged(format!(
                "event {} of the stream {name} is {}, but {} had been read there: its tail was lost and written anew",
                checkpoint.n, there.message_id, checkpoint.event_id
            )));
        }
    }
    guard.diverged().map_or(Ok(()), |reason| Err(Error::Diverged(reason)))
}

/// What is wrong with the servers that hold the stream, or, while there is no stream, with the one we talk to.
pub(crate) async fn server_faults(
    link: &Link,
    config: &Config,
    stream: Option<&stream::Info>,
) -> Result<Vec<String>, Error> {
    let info = link.client.server_info();
    let own = Server { id: Some(info.server_id), name: info.server_name };
    let mut faults: Vec<String> = version_fault(&own.name, &info.version).into_iter().collect();
    let monitors = match config.monitors() {
        Ok(monitors) => monitors,
        Err(problem) => return Err(Error::refused("read `nats.monitor_url`", &problem)),
    };
    let asked = monitors.iter().map(|url| monitor::varz(url, config.connect_timeout));
    let answers: Vec<Result<Varz, String>> = futures::future::join_all(asked).await;
    let seen: Vec<String> = monitors
        .iter()
        .zip(&answers)
        .map(|(url, answer)| match answer {
            Ok(varz) => format!("{url} is nats-server {}", varz.server_name),
            Err(problem) => format!("{url}: {problem}"),
        })
        .collect();
    for server in holders(stream, own) {
        match answers.iter().flatten().find(|varz| server.is(varz)) {
            Some(varz) => faults.extend(varz_faults(&server.name, varz)),
            None => faults.push(format!(
                "cannot see whether nats-server {} fsyncs before it acknowledges ({}): start it with `http_port: 8222` and set `nats.monitor_url` to its address",
                server.name,
                seen.join(", ")
            )),
        }
    }
    faults.dedup();
    Ok(faults)
}

/// What is wrong with the stream's configuration.
pub(crate) fn stream_faults(config: &Config, found: &stream::Config) -> Vec<String> {
    if let Err(fault) = layout::identity(found) {
        return vec![fault];
    }
    if found.metadata.contains_key(layout::RESTORING) {
        return vec![format!(
            "the stream {} is not whole, restoring it was cut short: go on with `gateway journal restore --file` and the file that it wrote",
            found.name
        )];
    }
    let drift = layout::stream_drift(config, found);
    if drift.is_empty() {
        return Vec::new();
    }
    let name = &config.stream;
    vec![format!(
        "the stream {name} is not as `gateway init` makes it: {}; set it back with `nats stream edit {name}`",
        drift.join(", ")
    )]
}

/// The connection that is there now.
pub(crate) fn connection(link: &Link) -> Result<ConnectionId, Error> {
    link.current().ok_or_else(changed)
}

fn changed() -> Error {
    Error::unavailable("check the journal", "the connection to NATS is not there")
}

/// A server that must be safe.
struct Server {
    id: Option<String>,
    name: String,
}

/// The servers that hold the stream. Only the one that we talk to is known by its id, the others by their names.
fn holders(stream: Option<&stream::Info>, own: Server) -> Vec<Server> {
    let mut names: Vec<String> = Vec::new();
    if let Some(cluster) = stream.and_then(|info| info.cluster.as_ref()) {
        names.extend(cluster.leader.clone());
        names.extend(cluster.replicas.iter().map(|peer| peer.name.clone()));
    }
    names.retain(|name| !name.is_empty());
    if names.is_empty() {
        return vec![own];
    }
    names.into_iter().map(|name| Server { id: (name == own.name).then(|| own.id.clone()).flatten(), name }).collect()
}

fn varz_faults(name: &str, varz: &Varz) -> Vec<String> {
    let mut faults: Vec<String> = version_fault(name, &varz.version).into_iter().collect();
    if !varz.has_jetstream() {
        faults.push(format!("nats-server {name} runs without JetStream: add a `jetstream` block to its configuration"));
    } else if !varz.sync_always() {
        faults.push(format!(
            "nats-server {name} acknowledges before it fsyncs, and would lose acknowledged changes in a power cut: set `sync_interval: always` in the `jetstream` block of its configuration"
        ));
    }
    faults
}

fn version_fault(name: &str, version: &str) -> Option<String> {
    match Version::parse(version) {
        Some(found) if found >= OLDEST => None,
        _ => Some(format!("nats-server {name} has the version {version:?}: {OLDEST} or newer is needed")),
    }
}

// === impl Server ===

impl Server {
    fn is(&self, varz: &Varz) -> bool {
        match &self.id {
            Some(id) => *id == varz.server_id,
            None => self.name == varz.server_name,
        }
    }
}

// === impl Version ===

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('v');
        let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
        let mut parsed = numbers.split('.').map(str::parse);
        let mut next = || parsed.next()?.ok();
        Some(Self { numbers: [next()?, next()?, next()?], released: suffix.is_empty() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_2_15_1_on_are_new_enough() {
        for version in ["2.15.1", "v2.15.1", "2.15.2", "2.16.0-RC.1", "3.0.0"] {
            assert_eq!(version_fault("a", version), None, "{version}");
        }
        for version in ["2.15.0", "2.15.1-RC.1", "2.9.10", "1.99.99", "2.15", "", "new"] {
            let sentence = format!("nats-server a has the version {version:?}: 2.15.1 or newer is needed");
            assert_eq!(version_fault("a", version), Some(sentence));
        }
    }
}
