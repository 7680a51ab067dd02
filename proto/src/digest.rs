//! Digests of content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Invalid;

const BYTES: usize = 32;

/// A SHA-256 digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Digest([u8; BYTES]);

/// The digests of a blob's slices, in order: each slice but the last has the same length. Stored on every node beside
/// the blob (`BlobId::parts_key`) as the plain concatenation, whose own digest is in the event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SliceDigests(Vec<Sha256Digest>);

// === impl Sha256Digest ===

impl Sha256Digest {
    /// Wraps a digest computed elsewhere.
    pub const fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Hashes `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<&[u8]> for Sha256Digest {
    type Error = Invalid;

    fn try_from(bytes: &[u8]) -> Result<Self, Invalid> {
        let bytes = bytes
            .try_into()
            .map_err(|_| Invalid::new("sha256", format!("has {} bytes instead of {BYTES}", bytes.len())))?;
        Ok(Self(bytes))
    }
}

impl FromStr for Sha256Digest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = hex::decode(text).map_err(|_| Invalid::new("sha256", "is not hexadecimal"))?;
        Self::try_from(bytes.as_slice())
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

// === impl SliceDigests ===

impl SliceDigests {
    /// Adds the next slice's digest.
    pub fn push(&mut self, digest: Sha256Digest) {
        self.0.push(digest);
    }

    /// The digest of slice `index`, from 0.
    pub fn get(&self, index: usize) -> Option<Sha256Digest> {
        self.0.get(index).copied()
    }

    /// How many slices.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no slice.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As stored beside the blob.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|digest| digest.0).collect()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        if !bytes.len().is_multiple_of(BYTES) {
            return Err(Invalid::new("slice digests", format!("have {} bytes, no multiple of {BYTES}", bytes.len())));
        }
        bytes.chunks_exact(BYTES).map(Sha256Digest::try_from).collect::<Result<_, _>>().map(Self)
    }
}
