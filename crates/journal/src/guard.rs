//! The highest checkpoint ever seen, against which the journal is held.
//!
//! A journal that lost its tail gives out the same sequence numbers again; whoever trusts a number alone then skips
//! events. A checkpoint (number and event id) that somebody has read is the proof of what was there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How far somebody has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) n: u64,
    pub(crate) event_id: String,
}

/// Shared by everything that uses one journal.
#[derive(Debug)]
pub(crate) struct Guard {
    highest: Mutex<Option<Checkpoint>>,
    diverged: watch::Sender<Option<String>>,
}

// === impl Guard ===

impl Guard {
    pub(crate) fn new() -> Self {
        Self { highest: Mutex::new(None), diverged: watch::Sender::new(None) }
    }

    /// Keeps the highest checkpoint; two different events at one number are a divergence.
    pub(crate) fn observe(&self, n: u64, event_id: String) {
        let mut highest = self.highest();
        match highest.as_ref() {
            Some(known) if known.n > n => {}
            Some(known) if known.n == n && known.event_id != event_id => {
                let reason = format!("event {n} was {} and is {event_id} at another reader", known.event_id);
                drop(highest);
                self.diverge(&reason);
            }
            _ => *highest = (n > 0).then_some(Checkpoint { n, event_id }),
        }
    }

    /// The highest checkpoint.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.highest().clone()
    }

    /// Its number; 0 without one. What is published from now on must come after it.
    pub(crate) fn floor(&self) -> u64 {
        self.highest().as_ref().map_or(0, |checkpoint| checkpoint.n)
    }

    /// Stops all writes. The first reason stays.
    pub(crate) fn diverge(&self, reason: &str) {
        let first = self.diverged.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            first
        });
        if first {
            tracing::error!("the journal has diverged, all writes are stopped: {reason}");
        }
    }

    /// Why writes are stopped for good.
    pub(crate) fn diverged(&self) -> Option<String> {
        self.diverged.borrow().clone()
    }

    /// Holds the acknowledgement of a new event against what was known before it was first sent.
    pub(crate) fn acknowledged(&self, floor: u64, n: u64) -> Result<(), String> {
        if n > floor {
            return Ok(());
        }
        self.diverge(&format!("a new event got the number {n}, but event {floor} had been read before it was sent"));
        Err(self.diverged().unwrap_or_default())
    }

    fn highest(&self) -> MutexGuard<'_, Option<Checkpoint>> {
        self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_highest_checkpoint() {
        let guard = Guard::new();
        guard.observe(0, "nothing".to_owned());
        assert_eq!(guard.checkpoint(), None);
        guard.observe(5, "e".to_owned());
        guard.observe(3, "c".to_owned());
        guard.observe(5, "e".to_owned());
        assert_eq!(guard.checkpoint(), Some(Checkpoint { n: 5, event_id: "e".to_owned() }));
        assert_eq!(guard.diverged(), None);
    }

    #[test]
    fn two_events_at_one_number_are_a_divergence() {
        let guard = Guard::new();
        guard.observe(5, "e".to_owned());
        guard.observe(5, "f".to_owned());
        assert_eq!(guard.diverged().as_deref(), Some("event 5 was e and is f at another reader"));
    }

    #[test]
    fn a_new_event_below_what_was_read_is_a_divergence_and_the_first_reason_stays() {
        let guard = Guard::new();
        assert_eq!(guard.acknowledged(5, 6), Ok(()));
        let reason = "a new event got the number 5, but event 5 had been read before it was sent";
        assert_eq!(guard.acknowledged(5, 5), Err(reason.to_owned()));
        assert_eq!(guard.acknowledged(9, 1), Err(reason.to_owned()));
    }
}
