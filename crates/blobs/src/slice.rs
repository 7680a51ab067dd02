//! The slice that an upload is filling.

use bytes::{Bytes, BytesMut};
use proto::SLICE_BYTES;

use crate::checksum::{Checksum, Crc32c};

/// Chunks below this are copied together: a small chunk may keep a large buffer of its connection alive, and a slice of
/// single bytes would need more memory for its list than for its content.
const COPY_BELOW: usize = 32 * 1024;
/// What they are copied into.
const BLOCK: usize = 64 * 1024;

/// At most [`SLICE_BYTES`] in memory, in the pieces in which they came.
#[derive(Debug)]
pub(crate) struct SliceBuffer {
    pieces: Vec<Bytes>,
    tail: BytesMut,
    len: usize,
    /// How many pieces went to the hash.
    hashed: usize,
    crc: Crc32c,
}

// === impl SliceBuffer ===

impl SliceBuffer {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), tail: BytesMut::new(), len: 0, hashed: 0, crc: Crc32c::new() }
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
        self.len += chunk.len();
        if chunk.len() >= COPY_BELOW {
            self.seal();
            self.keep(chunk);
            return;
        }
        let mut chunk = chunk;
        while !chunk.is_empty() {
            if self.tail.capacity() == 0 {
                // A first small chunk may be all there is: no more memory than it needs.
                let first = self.pieces.is_empty() && chunk.len() == self.len;
                self.tail.reserve(if first { chunk.len() } else { BLOCK });
            }
            let room = self.tail.capacity() - self.tail.len();
            self.tail.extend_from_slice(&chunk.split_to(chunk.len().min(room)));
            if self.tail.len() == self.tail.capacity() {
                self.seal();
            }
        }
    }

    /// Makes a piece of what was copied together so far.
    pub(crate) fn seal(&mut self) {
        if !self.tail.is_empty() {
            let piece = std::mem::take(&mut self.tail).freeze();
            self.keep(piece);
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
    fn small_chunks_are_joined_and_large_ones_are_not_copied() {
        let mut slice = SliceBuffer::new();
        let large = Bytes::from(vec![7; COPY_BELOW]);
        for _ in 0..100_000 {
            slice.push(Bytes::from_static(b"x"));
        }
        slice.push(large.clone());
        slice.push(Bytes::from_static(b"end"));
        slice.seal();
        let mut hashed = Vec::new();
        while let Some(piece) = slice.next_unhashed() {
            hashed.extend_from_slice(&piece);
        }
        assert_eq!(slice.len(), 100_000 + COPY_BELOW + 3);
        let (pieces, checksum) = slice.finish();
        assert!(pieces.len() <= 6, "{} pieces", pieces.len());
        assert!(pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
        assert_eq!(hashed, pieces.concat());
        assert!(hashed[..100_000].iter().all(|byte| *byte == b'x'));
        assert_eq!(checksum, Checksum::crc32c(&pieces));
    }
}
