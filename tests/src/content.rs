//! File content for tests: made from a seed, so that any part of it can be made again without keeping it.

use std::sync::LazyLock;

use bytes::Bytes;
use proto::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// Bytes that begin with a number of their own and are copied as a whole: this crate is not optimised, and to make
/// gigabytes word by word took an eighth of the CPU time of the tests that need them.
const BLOCK: usize = 4096;

/// What follows the number is somewhere in here.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..1 << 17).flat_map(|word| mix(0, word).to_le_bytes()).collect());

/// Content of a size, made from a seed. Equal ones are equal byte for byte; those of two seeds differ in every block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub seed: u64,
    pub size: u64,
}

impl Content {
    pub const fn new(seed: u64, size: u64) -> Self {
        Self { seed, size }
    }

    /// All bytes at once; for contents that fit memory.
    pub fn bytes(self) -> Bytes {
        self.range(0, self.size)
    }

    /// `length` bytes from `offset`.
    pub fn range(self, offset: u64, length: u64) -> Bytes {
        let block_size = u64::try_from(BLOCK).unwrap();
        let first = offset / block_size;
        let end = (offset + length).div_ceil(block_size);
        let mut bytes = Vec::with_capacity(usize::try_from(end - first).unwrap() * BLOCK);
        for block in first..end {
            let number = mix(self.seed, block);
            let noise = usize::try_from(number).unwrap() % (NOISE.len() - BLOCK);
            let number = number.to_le_bytes();
            bytes.extend_from_slice(&number);
            bytes.extend_from_slice(&NOISE[noise..][..BLOCK - number.len()]);
        }
        let skip = usize::try_from(offset - first * block_size).unwrap();
        Bytes::from(bytes).slice(skip..skip + usize::try_from(length).unwrap())
    }

    /// In pieces of `chunk` bytes.
    pub fn chunks(self, chunk: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
        (0..self.size.div_ceil(chunk)).map(move |i| self.range(i * chunk, chunk.min(self.size - i * chunk)))
    }

    pub fn sha256(self) -> Sha256Digest {
        let mut hash = Sha256::new();
        self.chunks(1024 * 1024).for_each(|chunk| hash.update(&chunk));
        Sha256Digest::new(hash.finalize().into())
    }
}

pub fn digest_of(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::of(bytes)
}

/// SplitMix64 (Steele, Lea, Flood 2014) of the block's place, keyed by the seed.
fn mix(seed: u64, block: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ block.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
