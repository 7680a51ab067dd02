//! What s3s-fs does not say about multipart uploads, or says wrongly.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    CompleteMultipartUploadInput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsOutput,
    MultipartUpload, Timestamp,
};
use s3s::{S3Error, S3Result, s3_error};
use tokio::fs;

use super::layout;

/// The least size of every part but the last.
const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// An upload that was completed or aborted, or never was: s3s-fs would call that "access denied".
pub(super) async fn check_open(root: &Path, upload_id: &str) -> S3Result<()> {
    // The id becomes part of a path.
    let is_id = upload_id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id && fs::metadata(layout::upload(root, upload_id)).await.is_ok() {
        return Ok(());
    }
    Err(s3_error!(NoSuchUpload))
}

/// Deletes a part that came when its upload had just been completed or aborted: nobody would look for it any more. Nobody
/// completes or aborts the upload meanwhile.
pub(super) async fn keep_if_open(root: &Path, upload_id: &str, number: i32) -> S3Result<()> {
    let open = check_open(root, upload_id).await;
    if open.is_err()
        && let Err(error) = fs::remove_file(layout::part(root, upload_id, number)).await
        && error.kind() != ErrorKind::NotFound
    {
        return Err(S3Error::internal_error(error));
    }
    open
}

/// Clears what a process that was killed left of uploads which it had half begun, completed or aborted: s3s-fs writes and
/// deletes their files one by one, and no client could name them.
pub(super) fn clear(root: &Path) -> std::io::Result<()> {
    let names: Vec<String> = std::fs::read_dir(root)?
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<Result<_, _>>()?;
    let attributed = names.iter().filter_map(|name| layout::open_upload(name));
    let whole: HashSet<String> =
        attributed.map(|(_, _, id)| id).filter(|id| layout::upload(root, id).exists()).collect();
    for name in &names {
        if layout::upload_of(name).is_some_and(|id| !whole.contains(id)) {
            std::fs::remove_file(root.join(name))?;
        }
    }
    Ok(())
}

/// Finds what is wrong with the list of parts before s3s-fs begins to take the upload apart.
pub(super) async fn check_complete(root: &Path, input: &CompleteMultipartUploadInput) -> S3Result<()> {
    check_open(root, &input.upload_id).await?;
    let parts = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
    for (index, part) in parts.iter().enumerate() {
        let number = part.part_number.ok_or_else(|| s3_error!(InvalidPart, "a part has no number"))?;
        // s3s-fs takes consecutive numbers only, and finds out too late.
        if usize::try_from(number) != Ok(index + 1) {
            return Err(s3_error!(InvalidPartOrder, "part {number} stands at place {}", index + 1));
        }
        let file = layout::part(root, &input.upload_id, number);
        let meta = fs::metadata(&file).await.map_err(|_| s3_error!(InvalidPart, "part {number} was not uploaded"))?;
        if index + 1 < parts.len() && meta.len() < MIN_PART_BYTES {
            return Err(s3_error!(EntityTooSmall));
        }
    }
    Ok(())
}

/// Sorts the parts and gives each its ETag, which a client needs to complete an upload that it takes up again.
pub(super) async fn complete_list(root: &Path, upload_id: &str, output: &mut ListPartsOutput) -> S3Result<()> {
    let Some(parts) = output.parts.as_mut() else { return Ok(()) };
    parts.sort_by_key(|part| part.part_number);
    for part in parts {
        let Some(number) = part.part_number else { continue };
        let file = layout::part(root, upload_id, number);
        let digest = tokio::task::spawn_blocking(move || md5(&file)).await.map_err(S3Error::internal_error)?;
        part.e_tag = Some(ETag::Strong(digest.map_err(S3Error::internal_error)?));
    }
    Ok(())
}

/// Every open upload of the bucket under the prefix, in one page.
pub(super) async fn list_uploads(
    root: &Path,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut uploads = Vec::new();
    let mut entries = fs::read_dir(root).await.map_err(S3Error::internal_error)?;
    while let Some(entry) = entries.next_entry().await.map_err(S3Error::internal_error)? {
        let name = entry.file_name();
        let Some((bucket, key, upload_id)) = name.to_str().and_then(layout::open_upload) else { continue };
        if bucket != input.bucket || !key.starts_with(&prefix) || check_open(root, &upload_id).await.is_err() {
            continue;
        }
        let begun = entry.metadata().await.ok().and_then(|meta| meta.modified().ok()).map(Timestamp::from);
        let upload =
            MultipartUpload { key: Some(key), upload_id: Some(upload_id), initiated: begun, ..Default::default() };
        uploads.push(upload);
    }
    uploads.sort_by(|a, b| (&a.key, &a.upload_id).cmp(&(&b.key, &b.upload_id)));
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix,
        is_truncated: Some(false),
        uploads: Some(uploads),
        ..Default::default()
    })
}

fn md5(file: &PathBuf) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(file)?;
    let mut digest = Md5::new();
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}
