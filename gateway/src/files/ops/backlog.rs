//! How soon a backlog is gone, going by how fast it went lately.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::NodeId;
use tokio::time::Instant;

/// Readings of one node that are kept.
const READINGS: usize = 30;

/// The least time between two readings: the catalog moves in steps, and closer ones would say little.
const APART: Duration = Duration::from_secs(1);

/// A reading that is older says nothing about how fast it goes now.
const OLDEST: Duration = Duration::from_mins(2);

/// What the catalog showed of each node's backlog lately. Only for telling how fast it shrinks: the backlog itself is
/// counted anew each time.
#[derive(Debug, Default)]
pub(crate) struct Backlogs(BTreeMap<NodeId, VecDeque<Reading>>);

/// What the catalog showed once.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    checkpoint: u64,
    bytes: u64,
}

// === impl Backlogs ===

impl Backlogs {
    /// Notes how many bytes are pending on a node, and answers how long it takes until none are if it goes on as it did;
    /// none while nothing is pending, while the backlog does not shrink, and before that can be told.
    pub(crate) fn note(&mut self, node: &NodeId, at: Instant, checkpoint: u64, bytes: u64) -> Option<Duration> {
        let readings = self.0.entry(node.clone()).or_default();
        // Another catalog, which is being folded anew.
        if readings.back().is_some_and(|last| checkpoint < last.checkpoint) {
            readings.clear();
        }
        readings.retain(|reading| at.saturating_duration_since(reading.at) <= OLDEST);
        let eta = readings.front().and_then(|first| first.eta(at, bytes));
        if readings.back().is_none_or(|last| at.saturating_duration_since(last.at) >= APART) {
            if readings.len() == READINGS {
                readings.pop_front();
            }
            readings.push_back(Reading { at, checkpoint, bytes });
        }
        eta
    }

    /// Forgets nodes that are not part of the cluster any more.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&NodeId) -> bool) {
        self.0.retain(|node, _| is_there(node));
    }
}

// === impl Reading ===

impl Reading {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn eta(&self, now: Instant, bytes: u64) -> Option<Duration> {
        let gone = self.bytes.checked_sub(bytes).filter(|gone| *gone > 0)?;
        let took = now.saturating_duration_since(self.at);
        if bytes == 0 || took.is_zero() {
            return None;
        }
        Duration::try_from_secs_f64(took.as_secs_f64() * (bytes as f64 / gone as f64)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes these bytes, each so many seconds after the first, and answers the last estimate.
    fn eta(readings: &[(u64, u64)]) -> Option<Duration> {
        let (mut backlogs, start, node) = (Backlogs::default(), Instant::now(), "node-a".parse().unwrap());
        let mut last = None;
        for (after, bytes) in readings {
            last = backlogs.note(&node, start + Duration::from_secs(*after), 1 + after, *bytes);
        }
        last
    }

    #[test]
    fn a_backlog_that_shrinks_is_gone_when_it_goes_on_so() {
        assert_eq!(eta(&[(0, 1000), (10, 500)]), Some(Duration::from_secs(10)));
        assert_eq!(eta(&[(0, 1000), (5, 900), (10, 800)]), Some(Duration::from_secs(40)));
    }

    #[test]
    fn what_does_not_shrink_has_no_end() {
        assert_eq!(eta(&[(0, 1000)]), None);
        assert_eq!(eta(&[(0, 1000), (10, 1000)]), None);
        assert_eq!(eta(&[(0, 1000), (10, 1500)]), None);
        assert_eq!(eta(&[(0, 1000), (10, 0)]), None, "it is gone");
    }

    #[test]
    fn old_readings_do_not_count() {
        // It shrank long ago, and stands still since.
        assert_eq!(eta(&[(0, 1000), (10, 500), (100, 500), (131, 500)]), None);
    }

    #[test]
    fn another_catalog_begins_anew() {
        let (mut backlogs, start, node) = (Backlogs::default(), Instant::now(), "node-a".parse().unwrap());
        backlogs.note(&node, start, 100, 1000);
        assert_eq!(backlogs.note(&node, start + Duration::from_secs(10), 50, 500), None);
        assert!(backlogs.note(&node, start + Duration::from_secs(20), 60, 250).is_some());
        backlogs.keep(|_| false);
        assert_eq!(backlogs.note(&node, start + Duration::from_secs(30), 70, 100), None);
    }
}
