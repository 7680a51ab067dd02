//! Objects that no event describes: what they are, found out by reading them.

use proto::{BlobId, SliceDigests};

use crate::blob::MAX_PARTS;
use crate::commit::{put_parts, written};
use crate::hash::Hasher;
use crate::node::found;
use crate::verify::{Unfit, digest_bytes, fetch_parts};
use crate::{BlobRef, Error, Node, ObjectMeta, Written};

/// What a node has under a blob's key, described as an upload of the same bytes would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The description.
    pub written: Written,
    slices: Option<SliceDigests>,
}

impl Node {
    /// Reads all that the node has under the key of `blob`, telling `passed` how many bytes come; `None` when there is
    /// nothing. [`Error::Unreadable`] when they are not those of which the digests lie beside it, or too few to have any;
    /// where there are none, nobody can say whether these bytes are the right ones.
    pub async fn describe(&self, blob: BlobId, passed: impl Fn(u64)) -> Result<Option<Described>, Error> {
        let marker_id = self.admit().await?;
        let Some(mut body) = found(self.get_range(&blob.key(), None).await)? else { return Ok(None) };
        let mut hasher = Hasher::new(self.config().hash_queue);
        while let Some(piece) = body.chunk().await? {
            passed(piece.len() as u64);
            hasher.update(piece).await;
        }
        let digests = hasher.finish().await;
        let list = self.get(&blob.parts_key(), MAX_PARTS * digest_bytes()).await?;
        let told = list.and_then(|list| SliceDigests::from_bytes(&list).ok());
        if told.is_some_and(|told| digests.slices.as_ref() != Some(&told)) {
            let reason = format!("what node {} has is not what the digests of its slices say", self.id());
            return Err(Error::Unreadable { blob, reason });
        }
        Ok(Some(Described { written: written(self, marker_id, &digests), slices: digests.slices }))
    }

    /// Makes sure that the digests of the slices are beside the object, as an event that names it promises.
    pub async fn adopt(&self, blob: BlobId, described: &Described, meta: &ObjectMeta) -> Result<(), Error> {
        let Some(slices) = &described.slices else { return Ok(()) };
        let reference = BlobRef::written(blob, &described.written);
        match fetch_parts(self, &reference).await {
            Ok(_) => Ok(()),
            Err(Unfit::Down(error)) => Err(error),
            Err(Unfit::Refused(reason)) => Err(Error::Unreadable { blob, reason }),
            Err(Unfit::Missing | Unfit::Wrong(_)) => put_parts(self, &reference, meta, slices).await,
        }
    }
}
