//! How soon a node begins to answer, and how many questions may be asked twice because of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Config;

/// A slice that is asked for twice costs so much of a [`Hedges`] account, in percent of one.
const PRICE: u64 = 100;
/// The most that is saved up: so many may come in a row after a quiet time.
const MAX_SAVED: u64 = 10 * PRICE;

/// The moving average of the time until a node's first byte, and its mean deviation, as in TCP's estimate of round trips
/// (RFC 6298, with its constants).
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<Estimate>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Estimate {
    average: Duration,
    deviation: Duration,
}

/// What a process may still spend on asking twice: each slice that is read adds a small share of one more question, so
/// that a cluster whose nodes are all slow is not asked for twice as much by it.
#[derive(Debug)]
pub(crate) struct Hedges {
    percent: u64,
    saved: Mutex<u64>,
}

// === impl Pace ===

impl Pace {
    /// A first byte came after this time.
    pub(crate) fn note(&self, took: Duration) {
        let mut estimate = self.lock();
        *estimate = Some(match *estimate {
            None => Estimate { average: took, deviation: took / 2 },
            Some(Estimate { average, deviation }) => Estimate {
                average: average * 7 / 8 + took / 8,
                deviation: deviation * 3 / 4 + average.abs_diff(took) / 4,
            },
        });
    }

    /// No first byte had come after this time, when another node had given everything. That is at least what it takes
    /// there now: an average would forget it among the many good answers before.
    pub(crate) fn note_lost(&self, waited: Duration) {
        let mut estimate = self.lock();
        let before = estimate.map_or(Duration::ZERO, |estimate| estimate.average);
        let average = before.max(waited);
        *estimate = Some(Estimate { average, deviation: average / 2 });
    }

    /// How long to wait for a first byte before another node is asked too.
    pub(crate) fn patience(&self, config: &Config) -> Duration {
        match *self.lock() {
            None => config.hedge_after,
            Some(Estimate { average, deviation }) => config.hedge_after_min.max(average + deviation * 4),
        }
    }

    /// Slower nodes have a higher class. All up to `hedge_after_min` have the lowest: a difference that nobody waits for is
    /// no reason to ask one node for everything. Above, each doubling is a class. A node of which nothing is known counts as
    /// fast, so that something becomes known.
    pub(crate) fn class(&self, config: &Config) -> u32 {
        let Some(Estimate { average, .. }) = *self.lock() else { return 0 };
        let unit = config.hedge_after_min.max(Duration::from_millis(1));
        if average <= unit {
            return 0;
        }
        let times = u64::try_from(average.as_micros() / unit.as_micros()).unwrap_or(u64::MAX);
        times.checked_ilog2().unwrap_or(0) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Option<Estimate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Hedges ===

impl Hedges {
    /// `percent` of the slices may be asked for twice, and a few at once after a start.
    pub(crate) fn new(percent: u8) -> Self {
        let saved = if percent == 0 { 0 } else { MAX_SAVED };
        Self { percent: u64::from(percent), saved: Mutex::new(saved) }
    }

    /// A slice is asked for.
    pub(crate) fn earn(&self) {
        let mut saved = self.lock();
        *saved = (*saved + self.percent).min(MAX_SAVED);
    }

    /// Whether one slice may be asked for twice; it is paid for then.
    pub(crate) fn spend(&self) -> bool {
        let mut saved = self.lock();
        let left = saved.checked_sub(PRICE);
        *saved = left.unwrap_or(*saved);
        left.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
