//! How many deliveries one loop works on, and how many it holds besides.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounds of one [`crate::consume()`] loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// At most so many are worked on at once, that is: hold a [`Slot`].
    pub started: usize,
    /// At most so many are held in all: worked on, paused, or finished and waiting to be ended.
    pub unended: usize,
}

/// The right to work on a delivery. Dropping it lets another delivery start, though this one has not ended yet.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

/// A delivery that is not worked on for a while; see [`Slot::pause`].
#[derive(Debug)]
pub struct Paused(Arc<Semaphore>);

// === impl Slots ===

impl Slots {
    /// A delivery is worked on until it ends: at most `concurrency` at once, and no others.
    pub const fn until_ended(concurrency: usize) -> Self {
        Self { started: concurrency, unended: concurrency }
    }

    /// The same, with at least one of each.
    pub(crate) fn at_least_one(self) -> Self {
        Self { started: self.started.max(1), unended: self.unended.max(1) }
    }
}

// === impl Slot ===

impl Slot {
    /// The next free one.
    pub(crate) async fn take(slots: &Arc<Semaphore>) -> Self {
        let permit = Arc::clone(slots).acquire_owned().await.expect("nobody closes the semaphore of a loop");
        Self { slots: Arc::clone(slots), _permit: permit }
    }

    /// Lets another delivery start while this one waits for something.
    #[must_use = "what is paused is resumed, or its delivery ended"]
    pub fn pause(self) -> Paused {
        Paused(self.slots)
    }
}

// === impl Paused ===

impl Paused {
    /// Waits for the right to go on.
    pub async fn resume(self) -> Slot {
        Slot::take(&self.0).await
    }
}
