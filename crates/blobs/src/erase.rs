//! Erasing a blob from a node, for good.
//!
//! The tombstone `erased/<blob id>` comes first. Whoever copies the blob at the same time either completes the copy before
//! the object is deleted, or sees the tombstone afterwards and undoes the copy: so nothing is left either way.

use bytes::Bytes;
use proto::{BlobId, MarkerId};

use crate::checksum::Algorithm;
use crate::multipart::{Multipart, pending};
use crate::{Error, Node, NodeFault};

impl Node {
    /// Leaves nothing of `blob` on the node but its tombstone, and makes sure of it; the marker of the disk on which that
    /// is so. A blob that is not there, or was erased before, is erased all the same.
    ///
    /// [`Error::faulty_node`] tells a fault of the node from one of this blob.
    pub async fn erase(&self, blob: BlobId) -> Result<MarkerId, Error> {
        let marker_id = self.admit().await?;
        match self.try_erase(blob).await {
            Ok(()) => self.key_faults().forget(blob),
            Err(error) => return Err(self.blame_for_keeping(blob, error).await),
        }
        if self.marker().map(|marker| marker.marker_id) != Some(marker_id) {
            return Err(Error::node(self.id(), NodeFault::WrongMarker, "got another marker during the erasure"));
        }
        Ok(marker_id)
    }

    async fn try_erase(&self, blob: BlobId) -> Result<(), Error> {
        if let Err(error) = self.put_tombstone(blob).await {
            if !matches!(error, Error::Node { fault: NodeFault::Full, .. }) {
                return Err(error);
            }
            // Erasing is what makes room on a full node. What a late copy makes of it is deleted below.
            self.delete_blob(blob).await?;
            self.put_tombstone(blob).await?;
        }
        self.abort_uploads(&blob.key()).await?;
        self.delete_blob(blob).await?;
        for key in [blob.key(), blob.parts_key()] {
            if self.head(&key).await?.is_some() {
                return Err(Error::NotDeleted { node: self.id().clone(), key });
            }
        }
        Ok(())
    }

    /// Whether `blob` was erased here.
    pub async fn has_tombstone(&self, blob: BlobId) -> Result<bool, Error> {
        Ok(self.head(&blob.erased_key()).await?.is_some())
    }

    /// Deletes the object of a blob and the digests of its slices.
    pub(crate) async fn delete_blob(&self, blob: BlobId) -> Result<(), Error> {
        self.delete(&blob.key()).await?;
        self.delete(&blob.parts_key()).await
    }

    async fn put_tombstone(&self, blob: BlobId) -> Result<(), Error> {
        self.put(&blob.erased_key(), Bytes::new()).await
    }

    /// Throws away the parts that copies or uploads have sent, as far as the node lists them. A copy under way then fails,
    /// and finds the tombstone.
    async fn abort_uploads(&self, key: &str) -> Result<(), Error> {
        let uploads = pending(self, key).await?.unwrap_or_default();
        for upload in uploads.into_iter().filter(|upload| upload.key == key) {
            Multipart::resume(self, key, upload.id, Algorithm::Sha256, None).abort().await?;
        }
        Ok(())
    }
}
