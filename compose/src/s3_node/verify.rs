//! Checking a body against the digests that came with it, while it is written.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use s3s::TrailingHeaders;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{StreamingBlob, UploadPartInput};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, StdError, s3_error};

/// What a body must be. Digests in base64, as in the headers.
#[derive(Debug, Default)]
pub(super) struct Expected {
    crc32: Option<String>,
    crc32c: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
    crc64nvme: Option<String>,
    md5: Option<String>,
}

/// Which digest was wrong, once the body was read to its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<OnceLock<&'static str>>);

/// A body that ends in an error when it is not what it must be: whoever writes it to a file then gives the file up.
struct Verified {
    inner: StreamingBlob,
    hasher: Option<(ChecksumHasher, Md5)>,
    expected: Expected,
    trailers: Option<TrailingHeaders>,
    verdict: Verdict,
}

#[derive(Debug, thiserror::Error)]
#[error("the body does not match its {0}")]
struct Mismatch(&'static str);

impl Expected {
    pub(super) fn of_part(input: &UploadPartInput) -> Self {
        Self {
            crc32: input.checksum_crc32.clone(),
            crc32c: input.checksum_crc32c.clone(),
            sha1: input.checksum_sha1.clone(),
            sha256: input.checksum_sha256.clone(),
            crc64nvme: input.checksum_crc64nvme.clone(),
            md5: input.content_md5.clone(),
        }
    }
}

impl Verdict {
    /// The answer to a request whose body was wrong, else the error it failed with.
    pub(super) fn explain(&self, error: S3Error) -> S3Error {
        match self.0.get() {
            Some(what) => s3_error!(BadDigest, "the body does not match its {what}"),
            None => error,
        }
    }
}

/// Wraps a body so that it is checked.
pub(super) fn verified(
    body: StreamingBlob,
    expected: Expected,
    trailers: Option<TrailingHeaders>,
    verdict: &Verdict,
) -> StreamingBlob {
    // Digests that may come in trailers must be computed without knowing whether they come.
    let any = trailers.is_some();
    let hasher = ChecksumHasher {
        crc32: (any || expected.crc32.is_some()).then(Default::default),
        crc32c: (any || expected.crc32c.is_some()).then(Default::default),
        sha1: (any || expected.sha1.is_some()).then(Default::default),
        sha256: (any || expected.sha256.is_some()).then(Default::default),
        crc64nvme: (any || expected.crc64nvme.is_some()).then(Default::default),
    };
    let hasher = Some((hasher, Md5::new()));
    StreamingBlob::new(Verified { inner: body, hasher, expected, trailers, verdict: verdict.clone() })
}

impl Stream for Verified {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.inner).poll_next(cx));
        match next {
            Some(Ok(bytes)) => {
                let wants_md5 = self.expected.md5.is_some();
                if let Some((checksums, md5)) = &mut self.hasher {
                    checksums.update(&bytes);
                    if wants_md5 {
                        md5.update(&bytes);
                    }
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => match self.judge() {
                Some(mismatch) => Poll::Ready(Some(Err(Box::new(mismatch)))),
                None => Poll::Ready(None),
            },
        }
    }
}

impl ByteStream for Verified {
    fn remaining_length(&self) -> RemainingLength {
        self.inner.remaining_length()
    }
}

impl Verified {
    /// At the end of the body, once: which digest is wrong.
    fn judge(&mut self) -> Option<Mismatch> {
        let (checksums, md5) = self.hasher.take()?;
        let found = checksums.finalize();
        let trailer = |name: &str| {
            self.trailers.as_ref()?.read(|headers| Some(headers.get(name)?.to_str().ok()?.to_owned())).flatten()
        };
        let md5 = base64_simd::STANDARD.encode_to_string(md5.finalize());
        let expected = &self.expected;
        let pairs = [
            ("x-amz-checksum-crc32", &expected.crc32, found.checksum_crc32),
            ("x-amz-checksum-crc32c", &expected.crc32c, found.checksum_crc32c),
            ("x-amz-checksum-sha1", &expected.sha1, found.checksum_sha1),
            ("x-amz-checksum-sha256", &expected.sha256, found.checksum_sha256),
            ("x-amz-checksum-crc64nvme", &expected.crc64nvme, found.checksum_crc64nvme),
            ("content-md5", &expected.md5, Some(md5)),
        ];
        for (name, from_header, found) in pairs {
            let expected = from_header.clone().or_else(|| trailer(name));
            if expected.is_some() && expected != found {
                // Set once only, because this runs once.
                let _ = self.verdict.0.set(name);
                return Some(Mismatch(name));
            }
        }
        None
    }
}
