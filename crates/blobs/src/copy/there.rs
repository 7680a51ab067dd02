//! What of a blob the target has before it is copied.

use proto::SliceDigests;

use crate::checksum::Algorithm;
use crate::copy::{CopyOptions, Job};
use crate::verify::{Proven, Unfit, digest_bytes, fetch_parts, prove, read_back};
use crate::{Error, ObjectHead};

/// What a target has of a blob.
#[derive(Debug)]
pub(super) enum There {
    /// All of it, as far as the options ask for that.
    All,
    /// The object, but not the digests of its slices, which are these.
    Object(SliceDigests),
    /// Nothing that may be kept.
    Nothing,
}

impl Job<'_> {
    /// What the target has of the blob that need not be copied.
    pub(super) async fn there(self) -> Result<There, Error> {
        let CopyOptions { first_attempt, overwrite, .. } = self.options;
        if overwrite {
            return Ok(self.proven().await);
        }
        Ok(if !first_attempt && self.is_there().await? { There::All } else { There::Nothing })
    }

    /// What the target has of the blob, as far as reading it shows that it is right. What cannot be read is written again.
    async fn proven(self) -> There {
        let (target, blob) = (self.target, self.blob);
        match target.head(&blob.blob_id.key()).await {
            Ok(Some(head)) if head.size_bytes == blob.size_bytes => {}
            Ok(_) | Err(_) => return There::Nothing,
        }
        match prove(target, blob).await {
            Ok(Some(Proven { has_parts: true, .. })) => There::All,
            Ok(Some(Proven { digests: Some(digests), .. })) => There::Object(digests),
            Ok(Some(_) | None) | Err(_) => There::Nothing,
        }
    }

    /// Whether the target has the blob, whole and right, with its slice digests. A target that verifies what it receives
    /// can have nothing else under this key; on any other it is read.
    async fn is_there(self) -> Result<bool, Error> {
        let (target, blob) = (self.target, self.blob);
        let has_length = |head: Option<ObjectHead>, len: u64| head.is_some_and(|head| head.size_bytes == len);
        if !has_length(target.head(&blob.blob_id.key()).await?, blob.size_bytes) {
            return Ok(false);
        }
        let verifies = target.verifies().await?;
        let trusted = verifies.object(Algorithm::Sha256) && verifies.part(Algorithm::Sha256);
        let digests = match (blob.slices_sha256, trusted) {
            (None, _) => None,
            (Some(_), true) => {
                let len = blob.slices()?.count as u64 * digest_bytes();
                if !has_length(target.head(&blob.blob_id.parts_key()).await?, len) {
                    return Ok(false);
                }
                None
            }
            (Some(_), false) => match fetch_parts(target, blob).await {
                Ok(digests) => Some(digests),
                Err(Unfit::Down(error)) => return Err(error),
                Err(_) => return Ok(false),
            },
        };
        Ok(trusted || read_back(target, blob, digests.as_ref()).await.is_ok())
    }
}
