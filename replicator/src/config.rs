//! The replicator's settings.

use std::fmt;
use std::time::Duration;

use journal::Lane;
use proto::NodeId;
use runtime::config::{Fault, Validate, byte_size, duration, within};
use runtime::program::Settings;
use runtime::retry::Policy;
use runtime::telemetry;
use serde::Deserialize;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// So many copies or erasures, at up to 86 bytes of JSON each, fit into one event, whose list may have 32 KiB; a test encodes them.
const MAX_CONFIRMED_AT_ONCE: usize = 360;

/// A segment is held in memory, and its last event goes over this; half of what is read as one.
const MAX_ARCHIVE_SEGMENT_BYTES: u64 = blobs::archive::MAX_SEGMENT_BYTES / 2;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[nats]`
    pub nats: journal::Config,
    /// `[[nodes]]`
    #[serde(default)]
    pub nodes: Vec<blobs::NodeConfig>,
    /// `[blobs]`
    pub blobs: blobs::Config,
    /// `[replicator]`
    pub replicator: Replicator,
    /// `[telemetry]`
    pub telemetry: telemetry::Config,
    /// How long copies under way may take to end when a shutdown was asked for; what does not end in time is copied again
    /// by another process, or the next one.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
}

/// How the work is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicator {
    /// The nodes to copy to; empty for all configured ones.
    pub serve: Vec<NodeId>,
    /// The lanes to work in.
    pub lanes: Vec<LaneName>,
    /// Copies to one node at once in the lane for small blobs.
    pub concurrency: u16,
    /// Copies to one node at once in the lane for large blobs.
    pub large_concurrency: u16,
    /// After so many failed attempts for the blob's own reason, its replication is parked.
    pub park_after: u32,
    /// The delays between these attempts.
    pub retry: Policy,
    /// So many blobs of one node and lane may wait between attempts at once; the next one holds its place at work instead.
    pub max_waiting: u16,
    /// The delays after which a blob comes again that could not be copied because of a node, or of the journal.
    pub give_back: Policy,
    /// The delays after which a blob comes again that could not be read, as the nodes that may have it are down; and one
    /// that had to make room for the blobs of other nodes.
    pub source_wait: Policy,
    /// With so many deliveries of one node and lane unacknowledged, in all processes together, blobs that cannot be read do not
    /// wait there any more: the node catches up with the ones that have them when they are there again.
    pub max_source_waiting: u32,
    /// A copy that takes longer than this, and than its bytes at `slow_bytes_per_second`, shows that its source is slow: for
    /// a while that source gets at most half of the places of the lane.
    #[serde(with = "duration")]
    pub slow_after: Duration,
    /// See `slow_after`.
    #[serde(with = "byte_size")]
    pub slow_bytes_per_second: u64,
    /// The delay after which an event comes again that only a later version of the program understands.
    #[serde(with = "duration")]
    pub unknown_event_delay: Duration,
    /// How long a blob that nothing names is kept before its erasure is ordered: the gateway's setting, which must be the
    /// same. A copy that an event older than half of it asks for is undone if its blob was erased meanwhile; younger ones
    /// need not look. The other half is for clocks that differ.
    #[serde(with = "duration")]
    pub erase_grace: Duration,
    /// Blobs erased from one node at once.
    pub erase_concurrency: u16,
    /// Copies to one node at once while it is filled, besides those of the lanes.
    pub refill_concurrency: u16,
    /// So many blobs of one node that is filled may wait, besides, for nodes that are down and alone have them; with more of
    /// them the filling stands still. Each takes about 1.5 KiB of memory. So many, too, may be done after the first that is
    /// not, while a node catches up with another one.
    pub refill_set_aside: usize,
    /// How often it is looked whether a node is to be filled.
    #[serde(with = "duration")]
    pub refill_interval: Duration,
    /// How often it is written down how far the filling of a node has come: so much is looked at again after a crash.
    #[serde(with = "duration")]
    pub refill_save_within: Duration,
    /// How often it is looked whether the journal is to be archived on a node: whether another process has ended, or the node
    /// is there again.
    #[serde(with = "duration")]
    pub archive_interval: Duration,
    /// At most so long is an event in the journal alone before it is written to the archive.
    #[serde(with = "duration")]
    pub archive_within: Duration,
    /// A segment of the archive ends with the event that makes it so long, or so many.
    #[serde(with = "byte_size")]
    pub archive_segment_bytes: u64,
    /// See `archive_segment_bytes`.
    pub archive_segment_events: usize,
    /// How often it is told to others how far the archive on a node is.
    #[serde(with = "duration")]
    pub archive_save_within: Duration,
    /// How often all segments on a node are read and checked; what is wrong is written once more from the journal.
    #[serde(with = "duration")]
    pub archive_check_interval: Duration,
    /// At most so many copies, or erasures, are reported in one event.
    pub confirm_batch: usize,
    /// At most so long does a finished copy or erasure wait for others to be reported with it.
    #[serde(with = "duration")]
    pub confirm_within: Duration,
    /// At most so many finished copies of one node and lane, or erasures, wait to be reported.
    pub confirm_queue: usize,
}

/// A lane as written in flags and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneName {
    /// Blobs below 64 MiB, and the erasure of all
    Small,
    /// Blobs of 64 MiB and more
    Large,
    /// The journal itself, as segments on the node
    Archive,
}

// === impl Config ===

impl Config {
    /// The nodes to copy to.
    pub fn targets(&self) -> Vec<NodeId> {
        if self.replicator.serve.is_empty() { self.node_ids() } else { self.replicator.serve.clone() }
    }

    /// All configured nodes.
    pub fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id.clone()).collect()
    }

    /// What is wrong with `[replicator]`, by itself and with the other tables.
    pub fn own_faults(&self) -> Vec<Fault> {
        let mut faults = within("replicator", self.replicator.faults());
        for node in &self.replicator.serve {
            if !self.nodes.iter().any(|known| known.id == *node) {
                faults.push(Fault::new("replicator.serve", format!("{node} is not one of the configured nodes")));
            }
        }
        let quarter = self.nats.max_ack_pending / 4;
        let waiting = [
            ("replicator.max_waiting", u32::from(self.replicator.max_waiting)),
            ("replicator.max_source_waiting", self.replicator.max_source_waiting),
        ];
        for (key, _) in waiting.into_iter().filter(|(_, most)| *most > quarter) {
            faults.push(Fault::new(key, format!("must be at most {quarter}, a quarter of nats.max_ack_pending")));
        }
        faults
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = within("nats", self.nats.faults());
        faults.extend(within("nodes", blobs::check_nodes(&self.nodes)));
        faults.extend(within("blobs", self.blobs.faults()));
        faults.extend(self.own_faults());
        faults
    }
}

impl Settings for Config {
    fn telemetry(&self) -> &telemetry::Config {
        &self.telemetry
    }

    fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace
    }
}

// === impl Replicator ===

impl Replicator {
    /// Copies to one node at once in this lane.
    pub fn concurrency(&self, lane: Lane) -> usize {
        usize::from(match lane {
            Lane::Small => self.concurrency,
            Lane::Large => self.large_concurrency,
        })
    }
}

impl Validate for Replicator {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, key: &str, problem: &str| {
            if !holds {
                faults.push(Fault::new(key, problem));
            }
        };
        check(!self.lanes.is_empty(), "lanes", "must name at least one lane");
        check(self.concurrency >= 1, "concurrency", "must be at least 1");
        check(self.large_concurrency >= 1, "large_concurrency", "must be at least 1");
        check(self.park_after >= 1, "park_after", "must be at least 1");
        check(self.erase_concurrency >= 1, "erase_concurrency", "must be at least 1");
        check(self.refill_concurrency >= 1, "refill_concurrency", "must be at least 1");
        check(!self.refill_interval.is_zero(), "refill_interval", "must be longer than zero");
        check(!self.refill_save_within.is_zero(), "refill_save_within", "must be longer than zero");
        check(self.max_waiting >= 1, "max_waiting", "must be at least 1");
        check(self.max_source_waiting >= 1, "max_source_waiting", "must be at least 1");
        check(!self.slow_after.is_zero(), "slow_after", "must be longer than zero");
        check(self.slow_bytes_per_second >= 1, "slow_bytes_per_second", "must be more than zero");
        check(!self.unknown_event_delay.is_zero(), "unknown_event_delay", "must be longer than zero");
        check(!self.archive_interval.is_zero(), "archive_interval", "must be longer than zero");
        check(!self.archive_check_interval.is_zero(), "archive_check_interval", "must be longer than zero");
        check(!self.archive_save_within.is_zero(), "archive_save_within", "must be longer than zero");
        check(self.archive_segment_events >= 1, "archive_segment_events", "must be at least 1");
        let fits = (1..=MAX_ARCHIVE_SEGMENT_BYTES).contains(&self.archive_segment_bytes);
        check(fits, "archive_segment_bytes", "must be 1 byte to 32 MiB");
        let fits = (1..=MAX_CONFIRMED_AT_ONCE).contains(&self.confirm_batch);
        check(fits, "confirm_batch", "must be 1 to 360, so that the event stays below 32 KiB");
        check(self.confirm_queue >= 1, "confirm_queue", "must be at least 1");
        faults.extend(within("retry", self.retry.faults()));
        faults.extend(within("give_back", self.give_back.faults()));
        faults.extend(within("source_wait", self.source_wait.faults()));
        faults
    }
}

// === impl LaneName ===

impl LaneName {
    /// The consumers whose deliveries are its work; `None` for the lane that has none.
    pub const fn consumers(self) -> Option<Lane> {
        match self {
            Self::Small => Some(Lane::Small),
            Self::Large => Some(Lane::Large),
            Self::Archive => None,
        }
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Archive => "archive",
        })
    }
}

#[cfg(test)]
mod tests;
