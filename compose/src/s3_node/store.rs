//! s3s-fs with a staging area, locks, honest answers and checked bodies around it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, PutObjectInput,
    PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::fs;
use tokio::sync::RwLock;

use super::access::check_key;
use super::layout::{self, STAGING};
use super::locks::{Held, Locks};
use super::multipart;
use super::verify::{Expected, Verdict, verified};

/// The objects of one node.
#[derive(Debug)]
pub(super) struct Store {
    inner: FileSystem,
    root: PathBuf,
    locks: Locks,
    /// Held by each listing, and alone by whoever takes an object away: s3s-fs fails at one that goes while it lists.
    listing: RwLock<()>,
}

impl Store {
    /// Opens the folder, makes it when it is missing, and clears what an ended process left half done.
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("make the folder {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("resolve {}", root.display()))?;
        match std::fs::remove_dir_all(root.join(STAGING)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("clear the staging folder"),
            Ok(()) | Err(_) => {}
        }
        multipart::clear(&root).with_context(|| format!("clear half uploads in {}", root.display()))?;
        // FileSystem::new removes its own temporary files.
        let inner = FileSystem::new(&root).map_err(|error| anyhow::anyhow!("{error:?}")).context("open the folder")?;
        Ok(Self { inner, root, locks: Locks::default(), listing: RwLock::default() })
    }

    async fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if fs::metadata(self.root.join(bucket)).await.is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket))
    }

    /// s3s-fs takes the folders in a key for objects.
    async fn check_object(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket).await?;
        if fs::metadata(layout::object(&self.root, bucket, key)).await.is_ok_and(|meta| meta.is_file()) {
            return Ok(());
        }
        Err(s3_error!(NoSuchKey))
    }

    /// Finds the object and keeps it as it is while s3s-fs opens its files, one after the other.
    async fn hold_object(&self, bucket: &str, key: &str) -> S3Result<Held> {
        // Before the lock, too: nobody waits for an object that is still being put together.
        self.check_object(bucket, key).await?;
        let held = self.locks.lock(bucket, key).await;
        self.check_object(bucket, key).await?;
        Ok(held)
    }

    async fn remove(&self, bucket: &str, key: &str) {
        let _lock = self.locks.lock(bucket, key).await;
        let _alone = self.listing.write().await;
        self.discard(bucket, key).await;
    }

    /// Puts a staged object into its place: what is known about it first, so that it is never seen without.
    async fn commit(&self, staged: &str, bucket: &str, key: &str) -> S3Result<()> {
        let _lock = self.locks.lock(bucket, key).await;
        let object = layout::object(&self.root, bucket, key);
        if let Some(folder) = object.parent() {
            fs::create_dir_all(folder).await.map_err(s3s::S3Error::internal_error)?;
        }
        let from = layout::sidecars(&self.root, STAGING, staged);
        let to = layout::sidecars(&self.root, bucket, key);
        for (from, to) in from.iter().zip(&to) {
            fs::rename(from, to).await.map_err(s3s::S3Error::internal_error)?;
        }
        fs::rename(layout::object(&self.root, STAGING, staged), object).await.map_err(s3s::S3Error::internal_error)
    }

    async fn discard(&self, bucket: &str, key: &str) {
        let [attributes, digests] = layout::sidecars(&self.root, bucket, key);
        for file in [layout::object(&self.root, bucket, key), attributes, digests] {
            // Not there, most likely. Nothing names it any more in any case.
            let _ = fs::remove_file(file).await;
        }
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        // Whatever s3s-fs calls it, also when another request was faster: the bucket is there.
        let bucket = req.input.bucket.clone();
        match self.inner.create_bucket(req).await {
            Err(_) if self.check_bucket(&bucket).await.is_ok() => Err(s3_error!(BucketAlreadyOwnedByYou)),
            made => made,
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.inner.head_bucket(req).await
    }

    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.inner.list_buckets(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.inner.get_bucket_location(req).await
    }

    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        // s3s-fs puts the object in its place before it compares digests, and its files one by one: so it writes to the
        // staging folder, under a name of this request's own, and only a whole object leaves it.
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        self.check_bucket(&bucket).await?;
        let staged = crate::data::random_hex();
        STAGING.clone_into(&mut req.input.bucket);
        req.input.key.clone_from(&staged);
        if req.input.if_match.is_some() || req.input.if_none_match.is_some() {
            return Err(s3_error!(NotImplemented, "this node has no conditional PUT"));
        }
        let stored = match self.inner.put_object(req).await {
            Ok(stored) => self.commit(&staged, &bucket, &key).await.map(|()| stored),
            Err(error) => Err(error),
        };
        if stored.is_err() {
            self.discard(STAGING, &staged).await;
        }
        stored
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _held = self.hold_object(&req.input.bucket, &req.input.key).await?;
        self.inner.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _held = self.hold_object(&req.input.bucket, &req.input.key).await?;
        self.inner.head_object(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.check_bucket(&req.input.bucket).await?;
        self.remove(&req.input.bucket, &req.input.key).await;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.check_bucket(&req.input.bucket).await?;
        let keys: Vec<String> = req.input.delete.objects.iter().map(|object| object.key.clone()).collect();
        keys.iter().try_for_each(|key| check_key(key))?;
        for key in &keys {
            self.remove(&req.input.bucket, key).await;
        }
        self.inner.delete_objects(req).await
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let _there = self.listing.read().await;
        self.inner.list_objects(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _there = self.listing.read().await;
        self.inner.list_objects_v2(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.check_bucket(&req.input.bucket).await?;
        self.inner.create_multipart_upload(req).await
    }

    async fn upload_part(&self, mut req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        multipart::check_open(&self.root, &req.input.upload_id).await?;
        // s3s-fs compares no digest of a part.
        let verdict = Verdict::default();
        let expected = Expected::of_part(&req.input);
        let sha256 = req.input.checksum_sha256.clone();
        let trailers = req.trailing_headers.clone();
        req.input.body = req.input.body.map(|body| verified(body, expected, trailers, &verdict));
        let UploadPartInput { bucket, key, upload_id, part_number, .. } = &req.input;
        let (bucket, key, upload_id, number) = (bucket.clone(), key.clone(), upload_id.clone(), *part_number);
        let mut stored = self.inner.upload_part(req).await.map_err(|error| verdict.explain(error))?;
        let _lock = self.locks.lock(&bucket, &key).await;
        multipart::keep_if_open(&self.root, &upload_id, number).await?;
        stored.output.checksum_sha256 = sha256;
        Ok(stored)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _lock = self.locks.lock(&req.input.bucket, &req.input.key).await;
        multipart::check_complete(&self.root, &req.input).await?;
        self.inner.complete_multipart_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let _lock = self.locks.lock(&req.input.bucket, &req.input.key).await;
        multipart::check_open(&self.root, &req.input.upload_id).await?;
        self.inner.abort_multipart_upload(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        multipart::check_open(&self.root, &req.input.upload_id).await?;
        let upload_id = req.input.upload_id.clone();
        let mut listed = self.inner.list_parts(req).await?;
        multipart::complete_list(&self.root, &upload_id, &mut listed.output).await?;
        Ok(listed)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.check_bucket(&req.input.bucket).await?;
        Ok(S3Response::new(multipart::list_uploads(&self.root, req.input).await?))
    }
}
