//! The slice that an upload is filling.

use bytes::Bytes;
use proto::SLICE_BYTES;

use crate::blocks::{BLOCK, Block, Blocks};
use crate::checksum::{Checksum, Crc32c};

/// A first chunk that is no longer may be all there is, and gets no more memory than it needs.
const SMALL: usize = BLOCK / 4;

/// At most [`SLICE_BYTES`] in memory. Chunks are copied: each is a part of a buffer of its connection, of any length, and
/// would keep all of it.
#[derive(Debug)]
pub(crate) struct SliceBuffer {
    blocks: Blocks,
    pieces: Vec<Bytes>,
    tail: Option<Block>,
    len: usize,
    /// How many pieces went to the hash.
    hashed: usize,
    crc: Crc32c,
}

// === impl SliceBuffer ===

impl SliceBuffer {
    pub(crate) fn new(blocks: &Blocks) -> Self {
        Self { blocks: blocks.clone(), pieces: Vec::new(), tail: None, len: 0, hashed: 0, crc: Crc32c::new() }
    }

    /// What is in it; it is empty afterwards.
    pub(crate) fn take(&mut self) -> Self {
        let next = Self::new(&self.blocks);
        std::mem::replace(self, next)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How much still fits.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(SLICE_BYTES).unwrap_or(usize::MAX) - self.len
    }

    /// Adds a chunk that fits.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.len == 0 && chunk.len() <= SMALL {
            self.len = chunk.len();
            self.keep(Bytes::copy_from_slice(&chunk));
            return;
        }
        self.len += chunk.len();
        let mut chunk = chunk;
        while !chunk.is_empty() {
            let mut block = self.tail.take().unwrap_or_else(|| self.blocks.take());
            block.fill(&mut chunk);
            if block.is_full() {
                self.keep(block.freeze());
            } else {
                self.tail = Some(block);
            }
        }
    }

    /// Makes a piece of what was copied together so far.
    pub(crate) fn seal(&mut self) {
        if let Some(block) = self.tail.take() {
            self.keep(block.freeze());
        }
    }

    /// The next piece that has not been hashed.
    pub(crate) fn next_unhashed(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.hashed)?.clone();
        self.hashed += 1;
        Some(piece)
    }

    /// The pieces, sealed before, and their checksum.
    pub(crate) fn finish(self) -> (Vec<Bytes>, Checksum) {
        (self.pieces, self.crc.finish())
    }

    fn keep(&mut self, piece: Bytes) {
        self.crc.update(&piece);
        self.pieces.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_any_length_are_joined() {
        let mut slice = SliceBuffer::new(&Blocks::default());
        let mut expected = Vec::new();
        let lens = std::iter::repeat_n(1, 100_000).chain([300_000, 2 * BLOCK, 3]);
        for (n, len) in lens.enumerate() {
            let chunk = vec![u8::try_from(n % 251).unwrap(); len];
            expected.extend_from_slice(&chunk);
            slice.push(chunk.into());
        }
        slice.seal();
        let mut hashed = Vec::new();
        while let Some(piece) = slice.next_unhashed() {
            hashed.extend_from_slice(&piece);
        }
        assert_eq!(slice.len(), expected.len());
        let (pieces, checksum) = slice.finish();
        assert!(pieces.len() <= expected.len() / BLOCK + 3, "{} pieces", pieces.len());
        assert!(hashed == expected && pieces.concat() == expected);
        assert_eq!(checksum, Checksum::crc32c(&pieces));
    }
}
