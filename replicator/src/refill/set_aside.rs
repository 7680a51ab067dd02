//! The blobs of a refill that wait for the node that has them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many blobs wait for a node that they can be read from.
#[derive(Debug)]
pub(super) struct SetAside {
    most: usize,
    now: AtomicUsize,
    changed: Notify,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a SetAside);

// === impl SetAside ===

impl SetAside {
    /// At most so many make room for others; who comes then holds the others up.
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// One more waits, until that is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Waiting(self)
    }

    /// How many have made room.
    pub(super) fn count(&self) -> usize {
        self.now.load(Ordering::Relaxed).min(self.most)
    }

    /// Until one more has made room, for the one who asks.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_makes_room_up_to_the_bound() {
        let set_aside = SetAside::new(2);
        let waiting: Vec<_> = (0..3).map(|_| set_aside.wait()).collect();
        set_aside.changed().await;
        assert_eq!(set_aside.count(), 2);
        drop(waiting);
        assert_eq!(set_aside.count(), 0);
    }
}
