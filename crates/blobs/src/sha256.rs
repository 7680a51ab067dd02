//! SHA-256 of bytes as they come.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use proto::Sha256Digest;

/// A SHA-256 in the making. It is assembly of aws-lc, since all bytes on the data path go through it: about twice as fast as
/// portable code on a processor that has no instructions for SHA-256, and as fast on one that has. It cannot be kept
/// unfinished; where that is needed, `HashState` is.
#[derive(Clone)]
pub struct Sha256(Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Sha256Digest {
        let digest = self.0.finish();
        Sha256Digest::try_from(digest.as_ref()).expect("a SHA-256 has 32 bytes")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_that_proto_computes() {
        let mut hash = Sha256::new();
        hash.update(b"ab");
        assert_eq!(hash.clone().finish(), Sha256Digest::of(b"ab"));
        hash.update(b"c");
        assert_eq!(hash.finish(), Sha256Digest::of(b"abc"));
        assert_eq!(Sha256::default().finish(), Sha256Digest::of(b""));
    }
}
