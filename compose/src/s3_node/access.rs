//! Who may ask, and for which keys.

use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, s3_error};

/// Lets every signed request through, unless its key would lead out of the bucket's folder.
pub(super) struct Access;

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        match cx.s3_path().as_object() {
            Some((_, key)) => check_key(key),
            None => Ok(()),
        }
    }
}

/// s3s-fs makes paths of keys: a key that is no plain relative path could reach other buckets.
pub(super) fn check_key(key: &str) -> S3Result<()> {
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= 255;
    if key.split('/').all(is_plain) && !key.contains('\0') {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "this node takes no key with empty, `.`, `..` or overlong segments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_no_plain_paths_are_refused() {
        for bad in ["..", "../x", "a/../../b", "a/./b", "/etc/passwd", "a//b", "a/", "nul\0", &"x".repeat(256)] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "blobs/ab/0197", "..a/b..", "with space/ü"] {
            assert!(check_key(good).is_ok(), "{good:?}");
        }
    }
}
