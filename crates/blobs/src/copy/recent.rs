//! Small blobs that were read a moment ago, for the copies of the same blob to other nodes: one read serves them all.
//!
//! A read costs a node about a fifth of what a write of a small object does, and each new blob is copied to every other node at
//! about the same time. What is kept is not verified: the target, or the copy itself, does that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proto::{BlobId, NodeId};
use tokio::sync::OnceCell;

/// The bytes of a blob, as one node gave them.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) from: NodeId,
    pub(super) pieces: Vec<Bytes>,
}

/// Who comes first reads, who comes while it does waits for it.
type Cell = Arc<OnceCell<Known>>;

/// The blobs read last, within a budget.
#[derive(Debug)]
pub(crate) struct Recent {
    budget: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    blobs: HashMap<BlobId, Cell>,
    /// The order in which they came, with their sizes.
    order: VecDeque<(BlobId, u64)>,
    bytes: u64,
}

// === impl Recent ===

impl Recent {
    /// Keeps at most so many bytes; 0 keeps nothing.
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// Whether a blob of this size is kept at all: one that leaves room for others.
    pub(super) fn takes(&self, size_bytes: u64) -> bool {
        size_bytes <= self.budget / 16
    }

    /// The blob's bytes: known, or read now. A failed read is forgotten, so that the next one tries by itself.
    pub(super) async fn get<E>(
        &self,
        blob: BlobId,
        size_bytes: u64,
        read: impl Future<Output = Result<Known, E>>,
    ) -> Result<Known, E> {
        let cell = self.cell(blob, size_bytes);
        cell.get_or_try_init(|| read).await.cloned()
    }

    /// Forgets bytes that turned out to be wrong, and that they took any room. Rare enough to look through all.
    pub(super) fn forget(&self, blob: BlobId) {
        let mut kept = self.lock();
        kept.blobs.remove(&blob);
        if let Some(at) = kept.order.iter().position(|(other, _)| *other == blob)
            && let Some((_, bytes)) = kept.order.remove(at)
        {
            kept.bytes -= bytes;
        }
    }

    fn cell(&self, blob: BlobId, size_bytes: u64) -> Cell {
        let mut kept = self.lock();
        if let Some(cell) = kept.blobs.get(&blob) {
            return Arc::clone(cell);
        }
        let cell = Cell::default();
        kept.blobs.insert(blob, Arc::clone(&cell));
        kept.order.push_back((blob, size_bytes));
        kept.bytes += size_bytes;
        // An entry costs something even when its blob is empty.
        while kept.bytes > self.budget || kept.order.len() as u64 > self.budget / 1024 {
            let Some((oldest, bytes)) = kept.order.pop_front() else { break };
            kept.blobs.remove(&oldest);
            kept.bytes -= bytes;
        }
        cell
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use uuid::Uuid;

    use super::*;

    fn blob(n: u128) -> BlobId {
        BlobId::new(Uuid::from_u128(n))
    }

    fn known() -> Known {
        Known { from: "node-a".parse().unwrap(), pieces: vec![Bytes::from_static(b"abc")] }
    }

    /// How often the blobs are read when they are asked for in this order.
    async fn reads(recent: &Recent, blobs: &[u128], size_bytes: u64) -> u32 {
        let count = AtomicU32::new(0);
        for n in blobs {
            let read = async {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(known())
            };
            recent.get(blob(*n), size_bytes, read).await.unwrap();
        }
        count.into_inner()
    }

    #[tokio::test]
    async fn one_read_serves_all() {
        assert_eq!(reads(&Recent::new(1 << 20), &[1, 1, 2, 1, 2], 100).await, 2);
    }

    #[tokio::test]
    async fn the_oldest_go_when_the_budget_is_spent() {
        let recent = Recent::new(16 * 1024);
        assert!(recent.takes(1024) && !recent.takes(1025));
        assert_eq!(reads(&recent, &(0..100).collect::<Vec<_>>(), 1024).await, 100);
        assert_eq!(reads(&recent, &[99, 98, 85], 1024).await, 0);
        assert_eq!(reads(&recent, &[0], 1024).await, 1);
    }

    #[tokio::test]
    async fn wrong_bytes_and_failed_reads_are_forgotten() {
        let recent = Recent::new(1 << 20);
        assert!(recent.get(blob(1), 3, async { Err::<Known, &str>("down") }).await.is_err());
        assert_eq!(reads(&recent, &[1, 1], 3).await, 1);
        recent.forget(blob(1));
        assert_eq!(reads(&recent, &[1], 3).await, 1);
    }

    #[tokio::test]
    async fn what_was_forgotten_takes_no_room() {
        let recent = Recent::new(16 * 1024);
        for _ in 0..100 {
            assert_eq!(reads(&recent, &[1], 1024).await, 1);
            recent.forget(blob(1));
        }
        let (bytes, entries) = {
            let kept = recent.lock();
            (kept.bytes, kept.order.len())
        };
        assert_eq!((bytes, entries), (0, 0));
        // As many as fit are kept, the one that was read again among them.
        assert_eq!(reads(&recent, &(1..=16).collect::<Vec<_>>(), 1024).await, 16);
        assert_eq!(reads(&recent, &(1..=16).collect::<Vec<_>>(), 1024).await, 0);
    }
}
