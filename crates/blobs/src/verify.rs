//! Bytes of a node, checked against digests.

use bytes::Bytes;
use proto::{Sha256Digest, SliceDigests};
use sha2::{Digest as _, Sha256};

use crate::blob::Slice;
use crate::{BlobRef, Error, Node, NodeFault};

/// Why a node did not give the right bytes.
#[derive(Debug, Clone)]
pub(crate) enum Unfit {
    /// It does not have them.
    Missing,
    /// It has others.
    Wrong(String),
    /// It cannot be asked now.
    Down(Error),
}

// === impl Unfit ===

impl Unfit {
    /// The end of a sentence that begins with the node.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Missing => "does not have it".to_owned(),
            Self::Wrong(reason) | Self::Down(Error::Node { reason, .. }) => reason.clone(),
            Self::Down(error) => error.to_string(),
        }
    }
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::Refused { status: 416, .. } => Self::Wrong("has fewer bytes of it".to_owned()),
            Error::Refused { reason, .. } => Self::Wrong(format!("refuses to give it: {reason}")),
            Error::Unreadable { reason, .. } => Self::Wrong(reason),
            other => Self::Down(other),
        }
    }
}

/// Slice `slice` of the object `key`, right to the last bit. `is_whole` when it is the whole object.
pub(crate) async fn fetch_slice(
    node: &Node,
    key: &str,
    slice: Slice,
    is_whole: bool,
    digest: Sha256Digest,
) -> Result<Vec<Bytes>, Unfit> {
    let range = (!is_whole).then(|| slice.start..slice.start + slice.len);
    let mut body = node.get_range(key, range).await?;
    let wrong_length = |len: u64| Unfit::Wrong(format!("has {len} bytes where it should have {}", slice.len));
    if let Some(len) = body.len()
        && len != slice.len
    {
        return Err(wrong_length(len));
    }
    let (mut pieces, mut hash, mut len) = (Vec::new(), Sha256::new(), 0);
    while let Some(piece) = body.chunk().await? {
        len += piece.len() as u64;
        if len > slice.len {
            return Err(wrong_length(len));
        }
        hash.update(&piece);
        pieces.push(piece);
    }
    if len != slice.len {
        return Err(wrong_length(len));
    }
    if Sha256Digest::new(hash.finalize().into()) != digest {
        let end = slice.start + slice.len;
        return Err(Unfit::Wrong(format!("has wrong bytes between {} and {end}", slice.start)));
    }
    Ok(pieces)
}

/// The digests of the blob's slices, as `node` has them beside the blob and as the event's digest confirms.
pub(crate) async fn fetch_parts(node: &Node, blob: &BlobRef) -> Result<SliceDigests, Unfit> {
    let slices = blob.slices()?;
    let Some(digest) = blob.slices_sha256 else { return Err(Unfit::Wrong("has no slices of it".to_owned())) };
    let len = slices.count as u64 * digest_bytes();
    let list = Slice { index: 0, start: 0, len };
    let pieces =
        fetch_slice(node, &blob.blob_id.parts_key(), list, true, digest).await.map_err(|unfit| match unfit {
            Unfit::Missing => Unfit::Wrong("has no digests of its slices".to_owned()),
            Unfit::Wrong(reason) => Unfit::Wrong(format!("has wrong digests of its slices: {reason}")),
            Unfit::Down(error) => Unfit::Down(error),
        })?;
    SliceDigests::from_bytes(&pieces.concat()).map_err(|error| Unfit::Wrong(error.to_string()))
}

/// Reads the blob on `node` and compares: for nodes that do not verify what they receive. Wrong bytes are deleted, and
/// are a fault of the node, which was sent the right ones.
pub(crate) async fn read_back(node: &Node, blob: &BlobRef, digests: Option<&SliceDigests>) -> Result<(), Error> {
    let slices = blob.slices()?;
    let key = blob.blob_id.key();
    for slice in slices.iter() {
        let digest = match digests {
            None => Some(blob.sha256),
            Some(digests) => digests.get(slice.index),
        };
        let Some(digest) = digest else {
            return Err(Error::Unreadable { blob: blob.blob_id, reason: "it has too few digests".to_owned() });
        };
        if let Err(unfit) = fetch_slice(node, &key, slice, slices.count == 1, digest).await {
            return Err(stored_wrongly(node, &key, unfit).await);
        }
    }
    Ok(())
}

/// As [`read_back`], for the `.parts` object.
pub(crate) async fn read_back_parts(node: &Node, blob: &BlobRef) -> Result<(), Error> {
    match fetch_parts(node, blob).await {
        Ok(_) => Ok(()),
        Err(unfit) => Err(stored_wrongly(node, &blob.blob_id.parts_key(), unfit).await),
    }
}

async fn stored_wrongly(node: &Node, key: &str, unfit: Unfit) -> Error {
    if let Unfit::Down(error) = unfit {
        return error;
    }
    if let Err(error) = node.delete(key).await {
        let id = node.id();
        tracing::warn!(node.id = %id, "cannot delete the wrong bytes of {key} on node {id}: {error}");
    }
    Error::node(node.id(), NodeFault::Broken, format!("did not keep what was written to {key}: it {}", unfit.reason()))
}

/// The length of one digest in the list.
pub(crate) fn digest_bytes() -> u64 {
    Sha256Digest::of(&[]).as_bytes().len() as u64
}
