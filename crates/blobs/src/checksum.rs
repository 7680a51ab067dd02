//! Checksums that a node can verify while it receives bytes.

use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_types::base64;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use proto::Sha256Digest;

/// A checksum of a body, given before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Costs the sender nothing where the digest is known already, as in a copy.
    Sha256(Sha256Digest),
    /// Costs sender and node next to nothing: for uploads, whose digest is known only at the end.
    Crc32c(u32),
}

/// Which one, without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Crc32c,
}

/// A CRC32C in the making.
#[derive(Debug)]
pub(crate) struct Crc32c(Digest);

// === impl Checksum ===

impl Checksum {
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Crc32c(_) => Algorithm::Crc32c,
        }
    }

    /// As it stands in a header: base64.
    pub(crate) fn value(self) -> String {
        match self {
            Self::Sha256(digest) => base64::encode(digest.as_bytes()),
            Self::Crc32c(sum) => base64::encode(sum.to_be_bytes()),
        }
    }

    /// The CRC32C of `pieces`.
    pub(crate) fn crc32c(pieces: &[Bytes]) -> Self {
        let mut sum = Crc32c::new();
        for piece in pieces {
            sum.update(piece);
        }
        sum.finish()
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// The request header that carries a checksum of this kind.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Crc32c => "x-amz-checksum-crc32c",
        }
    }

    pub(crate) fn s3(self) -> ChecksumAlgorithm {
        match self {
            Self::Sha256 => ChecksumAlgorithm::Sha256,
            Self::Crc32c => ChecksumAlgorithm::Crc32C,
        }
    }
}

// === impl Crc32c ===

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> Checksum {
        let sum = u32::try_from(self.0.finalize()).expect("a CRC32C has 32 bits");
        Checksum::Crc32c(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_of_the_standard_check_string() {
        let pieces = [Bytes::from_static(b"1234"), Bytes::from_static(b"56789")];
        assert_eq!(Checksum::crc32c(&pieces), Checksum::Crc32c(0xE306_9283));
        assert_eq!(Checksum::crc32c(&pieces).value(), "4waSgw==");
    }
}
