//! Bytes of a node, checked against digests.

use bytes::Bytes;
use proto::{Sha256Digest, SliceDigests};

use crate::blob::Slice;
use crate::sha256::Sha256;
use crate::{BlobRef, Error, Node, NodeFault};

/// Why a node did not give the right bytes.
#[derive(Debug, Clone)]
pub(crate) enum Unfit {
    /// It does not have them.
    Missing,
    /// It has others.
    Wrong(String),
    /// It does not give them, whatever they are.
    Refused(String),
    /// It cannot be asked now.
    Down(Error),
}

// === impl Unfit ===

impl Unfit {
    /// The end of a sentence that begins with the node.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Missing => "does not have it".to_owned(),
            Self::Wrong(reason) | Self::Refused(reason) | Self::Down(Error::Node { reason, .. }) => reason.clone(),
            Self::Down(error) => error.to_string(),
        }
    }

    /// The same, when what was asked for is the list of the slices' digests.
    pub(crate) fn of_list(self) -> Self {
        match self {
            Self::Missing => Self::Wrong("has no digests of its slices".to_owned()),
            Self::Wrong(reason) => Self::Wrong(format!("has wrong digests of its slices: {reason}")),
            Self::Refused(reason) => Self::Refused(format!("does not give the digests of its slices: {reason}")),
            Self::Down(error) => Self::Down(error),
        }
    }
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::Refused { status: 416, .. } => Self::Wrong("has fewer bytes of it".to_owned()),
            Error::Refused { reason, .. } => Self::Refused(format!("refuses to give it: {reason}")),
            Error::FailsAt { reason, .. } => Self::Refused(format!("gives others, but not this one: it {reason}")),
            Error::Unreadable { reason, .. } => Self::Wrong(reason),
            other => Self::Down(other),
        }
    }
}

/// An object that was read, and is right.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Of its slices, when there are several.
    pub(crate) digests: Option<SliceDigests>,
    /// Whether the list of these digests is beside it, where there must be one.
    pub(crate) has_parts: bool,
}

/// A slice as far as it has come; kept when a node breaks off, so that another one need only give the rest.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    pieces: Vec<Bytes>,
    hash: Sha256,
    len: u64,
    /// Whether the beginning is another node's than the end.
    is_joined: bool,
}

// === impl Partial ===

impl Partial {
    /// What another node is asked to continue.
    pub(crate) fn into_prefix(self) -> Self {
        Self { is_joined: self.len > 0, ..self }
    }

    /// Whether the bytes are of several nodes.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined
    }

    pub(crate) fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    fn push(&mut self, piece: Bytes) {
        self.len += piece.len() as u64;
        self.hash.update(&piece);
        self.pieces.push(piece);
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
    let mut partial = Partial::default();
    fetch_into(node, key, slice, is_whole, digest, &mut partial, || {}).await?;
    Ok(partial.into_pieces())
}

/// As [`fetch_slice`], going on where `partial` ends, and telling `moved` whenever bytes come.
pub(crate) async fn fetch_into(
    node: &Node,
    key: &str,
    slice: Slice,
    is_whole: bool,
    digest: Sha256Digest,
    partial: &mut Partial,
    moved: impl Fn(),
) -> Result<(), Unfit> {
    let end = slice.start + slice.len;
    let wrong_length = |len: u64| Unfit::Wrong(format!("has {len} bytes where it should have {}", slice.len));
    let begin = slice.start + partial.len;
    // One that broke off after its last byte has left nothing to ask for.
    if begin < end || slice.len == 0 {
        let range = (!is_whole || partial.len > 0).then_some(begin..end);
        let mut body = node.get_range(key, range).await?;
        if let Some(len) = body.len()
            && len != end - begin
        {
            return Err(wrong_length(partial.len + len));
        }
        while let Some(piece) = body.chunk().await? {
            moved();
            if partial.len + piece.len() as u64 > slice.len {
                return Err(wrong_length(partial.len + piece.len() as u64));
            }
            partial.push(piece);
        }
        moved();
    }
    if partial.len != slice.len {
        return Err(wrong_length(partial.len));
    }
    if std::mem::take(&mut partial.hash).finish() != digest {
        return Err(Unfit::Wrong(format!("has wrong bytes between {} and {end}", slice.start)));
    }
    Ok(())
}

/// The digests of the blob's slices, as `node` has them beside the blob and as the event's digest confirms.
pub(crate) async fn fetch_parts(node: &Node, blob: &BlobRef) -> Result<SliceDigests, Unfit> {
    let Some((list, digest)) = list_of(blob)? else {
        return Err(Unfit::Wrong("has no slices of it".to_owned()));
    };
    let pieces = fetch_slice(node, &blob.blob_id.parts_key(), list, true, digest).await.map_err(Unfit::of_list)?;
    SliceDigests::from_bytes(&pieces.concat()).map_err(|error| Unfit::Wrong(error.to_string()))
}

/// Reads all that `node` has under the blob's key: the digests of its slices when the whole of it is right, and `None` when
/// it is not. Nothing but the digests of the event is believed; wrong bytes are left alone.
pub(crate) async fn prove(node: &Node, blob: &BlobRef) -> Result<Option<Proven>, Unfit> {
    let slices = blob.slices()?;
    // So that wrong bytes are found where they are, not at the end.
    let told = fetch_parts(node, blob).await.ok();
    let has_parts = told.is_some() || blob.slices_sha256.is_none();
    let key = blob.blob_id.key();
    let (mut digests, mut last) = (SliceDigests::default(), None);
    for slice in slices.iter() {
        let digest = hash_slice(node, &key, slice, slices.count == 1).await?;
        if told.as_ref().is_some_and(|told| told.get(slice.index) != Some(digest)) {
            return Ok(None);
        }
        digests.push(digest);
        last = Some(digest);
    }
    let (digests, is_right) = match blob.slices_sha256 {
        None => (None, last == Some(blob.sha256)),
        Some(expected) => {
            let is_right = Sha256Digest::of(&digests.to_bytes()) == expected;
            (Some(digests), is_right)
        }
    };
    Ok(is_right.then_some(Proven { digests, has_parts }))
}

/// The digest of what `node` has in the place of a slice.
async fn hash_slice(node: &Node, key: &str, slice: Slice, is_whole: bool) -> Result<Sha256Digest, Unfit> {
    let range = (!is_whole).then_some(slice.start..slice.start + slice.len);
    let mut body = node.get_range(key, range).await?;
    let (mut hash, mut len) = (Sha256::new(), 0);
    while let Some(piece) = body.chunk().await? {
        hash.update(&piece);
        len += piece.len() as u64;
    }
    if len != slice.len {
        return Err(Unfit::Wrong(format!("has {len} bytes where it should have {}", slice.len)));
    }
    Ok(hash.finish())
}

/// The object with the digests of the blob's slices, as a slice of itself, and its digest; `None` when the blob has one
/// slice only.
pub(crate) fn list_of(blob: &BlobRef) -> Result<Option<(Slice, Sha256Digest)>, Error> {
    let len = blob.slices()?.count as u64 * digest_bytes();
    Ok(blob.slices_sha256.map(|digest| (Slice { index: 0, start: 0, len }, digest)))
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
    match unfit {
        Unfit::Down(error) => return error,
        // What was not seen may be right.
        Unfit::Refused(reason) => {
            return Error::node(
                node.id(),
                NodeFault::Broken,
                format!("does not show what was written to {key}: it {reason}"),
            );
        }
        Unfit::Missing | Unfit::Wrong(_) => {}
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
