//! Multipart uploads, as far as every S3 server has them.

use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::body::SdkBody;
use proto::BlobId;
use runtime::retry;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::blob::BLOB_ID_ENTRY;
use crate::breaker::Kind;
use crate::checksum::{Algorithm, Checksum};
use crate::node::found;
use crate::{Error, Node, NodeFault, ObjectHead, ObjectMeta};

/// The slowest a server may be at making one object of its parts.
const COMPLETION_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;

/// A multipart upload under way on one node.
#[derive(Debug, Clone)]
pub(crate) struct Multipart {
    pub(crate) node: Node,
    pub(crate) key: String,
    pub(crate) id: String,
    algorithm: Algorithm,
    /// What the object's metadata will say that it is.
    blob: Option<BlobId>,
}

/// A part that the node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) etag: String,
    /// In base64, when the node was given one.
    pub(crate) checksum: Option<String>,
    pub(crate) size_bytes: u64,
}

/// A multipart upload that a listing shows.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) initiated_at: Option<OffsetDateTime>,
}

// === impl Multipart ===

impl Multipart {
    /// Begins one. The node is told which checksum each part will carry, because some want to know.
    pub(crate) async fn begin(
        node: &Node,
        key: &str,
        meta: Option<(BlobId, &ObjectMeta)>,
        algorithm: Algorithm,
    ) -> Result<Self, Error> {
        let mut request = node.s3().create_multipart_upload().bucket(node.bucket()).key(key);
        request = request.checksum_algorithm(algorithm.s3());
        for (name, value) in meta.iter().flat_map(|(blob, meta)| meta.entries(*blob)) {
            request = request.metadata(name, value);
        }
        let created = node.sdk(Kind::Write, key, request.send().await)?;
        let Some(id) = created.upload_id else {
            return Err(Error::node(node.id(), NodeFault::Broken, "begins a multipart upload without an id"));
        };
        let blob = meta.map(|(blob, _)| blob);
        Ok(Self { node: node.clone(), key: key.to_owned(), id, algorithm, blob })
    }

    /// One that was begun before, with the same kind of checksum, for the same blob.
    pub(crate) fn resume(node: &Node, key: &str, id: String, algorithm: Algorithm, blob: Option<BlobId>) -> Self {
        Self { node: node.clone(), key: key.to_owned(), id, algorithm, blob }
    }

    /// Sends part `number`, from 1, with `len` bytes.
    pub(crate) async fn put_part(
        &self,
        number: i32,
        body: SdkBody,
        len: u64,
        checksum: Checksum,
    ) -> Result<Part, Error> {
        let headers = vec![("content-length", len.to_string()), (checksum.algorithm().header(), checksum.value())];
        let part = number.to_string();
        let query = [("partNumber", part.as_str()), ("uploadId", self.id.as_str())];
        let response = self.node.send_body(&self.key, &query, headers, body, len).await?;
        let Some(etag) = response.headers().get("etag") else {
            return Err(Error::node(self.node.id(), NodeFault::Broken, "takes a part without naming it"));
        };
        Ok(Part { number, etag: etag.to_owned(), checksum: Some(checksum.value()), size_bytes: len })
    }

    /// The parts that the node has; `None` when it cannot say, or knows nothing of the upload.
    pub(crate) async fn parts(&self) -> Result<Option<Vec<Part>>, Error> {
        let (mut parts, mut after) = (Vec::new(), None::<String>);
        loop {
            let request = self.node.s3().list_parts().bucket(self.node.bucket()).key(&self.key);
            let request = request.upload_id(&self.id).set_part_number_marker(after.clone());
            let page = match self.node.sdk(Kind::Read, &self.key, request.send().await) {
                Ok(page) => page,
                Err(error) if error.is_unsupported() || matches!(error, Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            parts.extend(page.parts.unwrap_or_default().into_iter().filter_map(|part| {
                Some(Part {
                    number: part.part_number?,
                    etag: part.e_tag?,
                    checksum: match self.algorithm {
                        Algorithm::Sha256 => part.checksum_sha256,
                        Algorithm::Crc32c => part.checksum_crc32_c,
                    },
                    size_bytes: u64::try_from(part.size?).ok()?,
                })
            }));
            match page.next_part_number_marker {
                Some(next) if page.is_truncated == Some(true) && Some(&next) != after.as_ref() => after = Some(next),
                _ => return Ok(Some(parts)),
            }
        }
    }

    /// Makes the object out of `parts`, which together have `size_bytes`. An answer can get lost after the node has done
    /// it, and a second try then meets an upload that is no more: so the object itself is asked for. `NotFound` when there
    /// is neither.
    pub(crate) async fn complete(&self, mut parts: Vec<Part>, size_bytes: u64) -> Result<(), Error> {
        parts.sort_by_key(|part| part.number);
        let policy = &self.node.config().retry;
        retry::run(policy, &CancellationToken::new(), async || {
            let error = match self.try_complete(&parts, size_bytes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match self.node.head(&self.key).await {
                Ok(Some(head)) if self.is_made(&head, size_bytes) => Ok(()),
                // Whether it was done is not known yet.
                Err(unknown) if matches!(error, Error::NotFound { .. }) => Err(unknown),
                Ok(_) | Err(_) => Err(error),
            }
        })
        .await
    }

    fn is_made(&self, head: &ObjectHead, size_bytes: u64) -> bool {
        let is_ours = |blob: BlobId| head.metadata.get(BLOB_ID_ENTRY) == Some(&blob.to_string());
        head.size_bytes == size_bytes && self.blob.is_none_or(is_ours)
    }

    async fn try_complete(&self, parts: &[Part], size_bytes: u64) -> Result<(), Error> {
        let completed = parts.iter().map(|part| {
            let one = CompletedPart::builder().part_number(part.number).e_tag(&part.etag);
            match self.algorithm {
                Algorithm::Sha256 => one.set_checksum_sha256(part.checksum.clone()),
                Algorithm::Crc32c => one.set_checksum_crc32_c(part.checksum.clone()),
            }
            .build()
        });
        let all = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let request = self.node.s3().complete_multipart_upload().bucket(self.node.bucket()).key(&self.key);
        let request = request.upload_id(&self.id).multipart_upload(all);
        // Some servers copy the parts together now.
        let limit =
            self.node.config().operation_timeout + Duration::from_secs(size_bytes / COMPLETION_BYTES_PER_SECOND);
        let timeouts = TimeoutConfig::builder().operation_timeout(limit).build();
        let request = request.customize().config_override(Builder::new().timeout_config(timeouts));
        self.node.sdk(Kind::Write, &self.key, request.send().await).map(drop)
    }

    /// Throws the parts away; an upload that is no more is no error.
    pub(crate) async fn abort(&self) -> Result<(), Error> {
        let request = self.node.s3().abort_multipart_upload().bucket(self.node.bucket()).key(&self.key);
        found(self.node.sdk(Kind::Write, &self.key, request.upload_id(&self.id).send().await)).map(drop)
    }

    /// As [`Self::abort`], for those who have an error of their own to report.
    pub(crate) async fn give_up(&self) {
        if let Err(error) = self.abort().await {
            let (node, key) = (self.node.id(), &self.key);
            tracing::warn!(
                node.id = %node,
                "cannot abort the multipart upload of {key} on node {node}, it is left to the sweep: {error}"
            );
        }
    }
}

/// The multipart uploads under way on `node`; `None` when it cannot say.
pub(crate) async fn pending(node: &Node, prefix: &str) -> Result<Option<Vec<Pending>>, Error> {
    let (mut all, mut from) = (Vec::new(), (None::<String>, None::<String>));
    loop {
        let request = node.s3().list_multipart_uploads().bucket(node.bucket()).prefix(prefix);
        let request = request.set_key_marker(from.0.clone()).set_upload_id_marker(from.1.clone());
        let page = match node.sdk(Kind::Read, prefix, request.send().await) {
            Ok(page) => page,
            Err(error) if error.is_unsupported() => return Ok(None),
            Err(error) => return Err(error),
        };
        all.extend(page.uploads.unwrap_or_default().into_iter().filter_map(|upload| {
            let at = upload.initiated.and_then(|at| OffsetDateTime::from_unix_timestamp(at.secs()).ok());
            Some(Pending { key: upload.key?, id: upload.upload_id?, initiated_at: at })
        }));
        let next = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) || next == from || next.0.is_none() {
            return Ok(Some(all));
        }
        from = next;
    }
}
