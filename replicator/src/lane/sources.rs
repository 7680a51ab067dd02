//! The places of a lane, as they are shared among the nodes that are read from: a slow one does not get all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::NodeId;
use tokio::time::Instant;

/// So long is a node remembered as slow.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What is under way in a lane, by source.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Copies from a slow source at once.
    most: usize,
    by_source: Mutex<HashMap<NodeId, Source>>,
}

#[derive(Debug, Default)]
struct Source {
    /// When the copies under way count as late.
    late_at: Vec<Instant>,
    slow_until: Option<Instant>,
}

/// A copy under way.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    sources: &'a Sources,
    source: NodeId,
    late_at: Instant,
}

// === impl Sources ===

impl Sources {
    /// Of a lane that makes so many copies at once.
    pub(crate) fn new(concurrency: usize) -> Self {
        Self { most: (concurrency / 2).max(1), by_source: Mutex::default() }
    }

    /// Begins a copy from this node that should be done after so long; `None` when the node is slow, and has its share.
    pub(super) fn begin(&self, source: &NodeId, expected: Duration) -> Option<UnderWay<'_>> {
        let now = Instant::now();
        let mut all = self.lock();
        let of_source = all.entry(source.clone()).or_default();
        if of_source.late_at.iter().any(|late_at| *late_at <= now) {
            of_source.slow_until = Some(now + REMEMBERED);
        }
        let is_slow = of_source.slow_until.is_some_and(|until| now < until);
        if is_slow && of_source.late_at.len() >= self.most {
            return None;
        }
        let late_at = now + expected;
        of_source.late_at.push(late_at);
        Some(UnderWay { sources: self, source: source.clone(), late_at })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Source>> {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl UnderWay ===

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut all = self.sources.lock();
        let Some(of_source) = all.get_mut(&self.source) else { return };
        if let Some(index) = of_source.late_at.iter().position(|late_at| *late_at == self.late_at) {
            of_source.late_at.swap_remove(index);
        }
        if self.late_at <= now {
            of_source.slow_until = Some(now + REMEMBERED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(2);

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_source_gets_half_of_the_places_for_a_while() {
        let (sources, slow, quick) = (Sources::new(8), node("node-a"), node("node-b"));
        let begun: Vec<_> = (0..8).map(|_| sources.begin(&slow, SOON).unwrap()).collect();
        tokio::time::advance(SOON).await;
        assert!(sources.begin(&slow, SOON).is_none());
        assert!(sources.begin(&quick, SOON).is_some());
        drop(begun);
        let begun: Vec<_> = (0..8).filter_map(|_| sources.begin(&slow, SOON)).collect();
        assert_eq!(begun.len(), 4);
        drop(begun);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!((0..8).filter_map(|_| sources.begin(&slow, SOON)).collect::<Vec<_>>().len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_with_one_place_gives_it_to_anybody() {
        let (sources, slow) = (Sources::new(1), node("node-a"));
        let begun = sources.begin(&slow, SOON).unwrap();
        tokio::time::advance(SOON * 2).await;
        drop(begun);
        assert!(sources.begin(&slow, SOON).is_some());
    }
}
