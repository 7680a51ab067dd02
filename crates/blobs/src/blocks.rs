//! Memory for what uploads hold: blocks of one length, used again and again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Length of a block. A slice is a few dozens of them, and the hash takes as much at once.
pub(crate) const BLOCK: usize = 256 * 1024;

/// Free blocks that are kept though fewer are in use: those of one slice.
const KEPT: usize = 32;

/// The blocks of a process. The allocator would find room for the next buffer in another arena than the one where the last
/// was freed, and keep what was freed for a while: a third more memory, or much time for giving it back at once
/// (docs/PERFORMANCE.md, "Memory"). Here what is free is never more than what is in use, or [`KEPT`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    free: Vec<Vec<u8>>,
    in_use: usize,
}

/// Memory for [`BLOCK`] bytes, of which the first ones are filled.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    blocks: Blocks,
}

// === impl Blocks ===

impl Blocks {
    /// An empty block.
    pub(crate) fn take(&self) -> Block {
        let mut shared = self.lock();
        shared.in_use += 1;
        let free = shared.free.pop();
        drop(shared);
        Block { bytes: free.unwrap_or_else(|| Vec::with_capacity(BLOCK)), blocks: self.clone() }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut shared = self.lock();
        shared.in_use -= 1;
        shared.free.push(bytes);
        let kept = shared.in_use.max(KEPT);
        let too_many = if shared.free.len() > kept { shared.free.split_off(kept) } else { Vec::new() };
        drop(shared);
        drop(too_many);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Block ===

impl Block {
    /// Copies as much of `chunk` into the block as fits, and takes it away from there.
    pub(crate) fn fill(&mut self, chunk: &mut Bytes) {
        let len = chunk.len().min(BLOCK - self.bytes.len());
        self.bytes.extend_from_slice(&chunk.split_to(len));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() == BLOCK
    }

    /// What it was filled with. The block is free again when the last part of it is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.blocks.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(blocks: &Blocks, with: &'static [u8]) -> Bytes {
        let mut block = blocks.take();
        block.fill(&mut Bytes::from_static(with));
        block.freeze()
    }

    #[test]
    fn a_block_is_used_again_when_nobody_has_a_part_of_it() {
        let blocks = Blocks::default();
        let first = filled(&blocks, b"first");
        let (place, part) = (first.as_ptr(), first.slice(1..3));
        drop(first);
        let second = filled(&blocks, b"second");
        assert_ne!(second.as_ptr(), place);
        assert_eq!(part, "ir");
        drop(part);
        let third = filled(&blocks, b"third");
        assert_eq!((third.as_ptr(), &third[..]), (place, &b"third"[..]));
    }

    #[test]
    fn no_more_is_kept_than_is_in_use() {
        let blocks = Blocks::default();
        let mut taken: Vec<_> = (0..4 * KEPT).map(|_| filled(&blocks, b"x")).collect();
        let mut most = 0;
        while let Some(one) = taken.pop() {
            drop(one);
            let shared = blocks.lock();
            let (free, in_use) = (shared.free.len(), shared.in_use);
            assert_eq!(in_use, taken.len());
            assert!(free <= in_use.max(KEPT), "{free} free, {in_use} in use");
            most = most.max(free);
        }
        assert!(most >= 2 * KEPT - 1, "what comes back is kept while there is use for it: {most}");
        assert_eq!(blocks.lock().free.len(), KEPT);
    }

    #[test]
    fn a_block_takes_what_fits() {
        let blocks = Blocks::default();
        let (mut block, mut chunk) = (blocks.take(), Bytes::from(vec![1; BLOCK - 1]));
        block.fill(&mut chunk);
        assert!(chunk.is_empty() && !block.is_full());
        let mut chunk = Bytes::from_static(b"\x02\x03");
        block.fill(&mut chunk);
        assert!(block.is_full());
        assert_eq!(chunk, b"\x03"[..]);
        assert_eq!(block.freeze()[BLOCK - 2..], [1, 2]);
    }
}
