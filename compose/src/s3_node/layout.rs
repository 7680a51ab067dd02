//! Where s3s-fs keeps things on the disk, as far as the code around it must know. All names are s3s-fs's own
//! (version 0.14); the tests of the store fail when they change.

use std::path::{Path, PathBuf};

use base64_simd::URL_SAFE_NO_PAD as BASE64;

/// A folder beside the buckets in which single PUTs are gathered. No client can name it: it is no valid bucket name.
pub(super) const STAGING: &str = ".staging";

/// The file of an object's bytes.
pub(super) fn object(root: &Path, bucket: &str, key: &str) -> PathBuf {
    root.join(bucket).join(key)
}

/// The files that s3s-fs keeps for an object besides its bytes: attributes, then digests.
pub(super) fn sidecars(root: &Path, bucket: &str, key: &str) -> [PathBuf; 2] {
    let stem = format!(".bucket-{}.object-{}", BASE64.encode_to_string(bucket), BASE64.encode_to_string(key));
    [root.join(format!("{stem}.metadata.json")), root.join(format!("{stem}.internal.json"))]
}

/// The file that exists while a multipart upload is open.
pub(super) fn upload(root: &Path, upload_id: &str) -> PathBuf {
    root.join(format!(".upload-{upload_id}.json"))
}

pub(super) fn part(root: &Path, upload_id: &str, number: i32) -> PathBuf {
    root.join(format!(".upload_id-{upload_id}.part-{number}"))
}

/// The id in the name of a file that belongs to a multipart upload, whichever it is.
pub(super) fn upload_of(file_name: &str) -> Option<&str> {
    let attributes = || file_name.strip_prefix(".bucket-")?.strip_suffix(".metadata.json")?.split_once(".upload-");
    let part = || file_name.strip_prefix(".upload_id-")?.split_once(".part-");
    let open = file_name.strip_prefix(".upload-").and_then(|rest| rest.strip_suffix(".json"));
    open.or_else(|| part().map(|(id, _)| id)).or_else(|| attributes().map(|(_, id)| id))
}

/// Bucket, key and id of a multipart upload, from the name of the file with its attributes.
pub(super) fn open_upload(file_name: &str) -> Option<(String, String, String)> {
    let rest = file_name.strip_prefix(".bucket-")?.strip_suffix(".metadata.json")?;
    let (bucket, rest) = rest.split_once(".object-")?;
    let (key, upload_id) = rest.split_once(".upload-")?;
    let text = |coded: &str| String::from_utf8(BASE64.decode_to_vec(coded).ok()?).ok();
    Some((text(bucket)?, text(key)?, upload_id.to_owned()))
}
