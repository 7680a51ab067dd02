//! Fingerprints of requests.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::{FileUploaded, Invalid, Sha256Digest};

/// A digest of everything that a request asks for: an equal one under the same request id is the same request again,
/// another one is a mistake of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(Sha256Digest);

impl Fingerprint {
    /// The fingerprint of an upload: where to, which content, under which condition. What the server chose (blob, node)
    /// does not count.
    pub fn of_upload(uploaded: &FileUploaded) -> Self {
        let modified_at = uploaded.modified_at.map(|at| at.unix_timestamp_nanos().to_string()).unwrap_or_default();
        let if_version = uploaded.if_version.map(|id| id.to_string()).unwrap_or_default();
        Self::of_fields(&[
            "upload",
            &uploaded.space_id.to_string(),
            uploaded.path.as_str(),
            &uploaded.size_bytes.to_string(),
            &uploaded.sha256.to_string(),
            &uploaded.content_type,
            &modified_at,
            &if_version,
            match uploaded.on_conflict {
                crate::OnConflict::Overwrite => "overwrite",
                crate::OnConflict::Fail => "fail",
                crate::OnConflict::KeepBoth => "keep_both",
            },
        ])
    }

    fn of_fields(fields: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        Self(Sha256Digest::new(hash.finalize().into()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Fingerprint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}
