//! The end of blobs: those that no version names any more are condemned after a grace period, and those that the fold
//! has condemned are ordered to be erased. The replicators do it, node by node.

use std::time::Duration;

use catalog::ReceiptRow;
use proto::{Actor, BlobCondemned, BlobErasureOrdered, Fact, SpaceId};

use super::request::Author;
use super::{Files, Receipt};
use crate::error::Result;

/// Blobs in one event: each takes 39 bytes, and an event at most 32 KiB.
pub(super) const BLOBS_PER_EVENT: u32 = 500;

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Erased {
    /// Blobs proposed.
    pub(crate) condemned: usize,
    /// Blobs whose erasure was ordered.
    pub(crate) ordered: usize,
}

impl Erased {
    /// Whether there may be more to do at once.
    pub(crate) const fn is_full(self) -> bool {
        self.condemned == BLOBS_PER_EVENT as usize || self.ordered == BLOBS_PER_EVENT as usize
    }
}

impl Files {
    /// One round of the duty: condemns what nothing names for longer than `grace`, and orders what is condemned.
    pub(crate) async fn erase(&self, grace: Duration) -> Result<Erased> {
        let before = self.inner().process.clock.now() - grace;
        let unnamed = self.catalog().condemnable(before, BLOBS_PER_EVENT).await?;
        let mut done = Erased { condemned: unnamed.len(), ordered: 0 };
        if !unnamed.is_empty() {
            self.by_itself(Fact::BlobCondemned(BlobCondemned { blob_ids: unnamed, orphans: Vec::new() })).await?;
        }
        // Read from the catalog, so that only what the fold has accepted is ordered.
        let condemned = self.catalog().condemned(BLOBS_PER_EVENT).await?;
        done.ordered = condemned.len();
        if !condemned.is_empty() {
            self.by_itself(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: condemned })).await?;
        }
        Ok(done)
    }

    /// A change that the system itself makes.
    pub(crate) async fn by_itself(&self, fact: Fact) -> Result<Receipt> {
        let author = Author { actor: Actor::system(), request_id: None };
        let (asked, _): (_, Option<ReceiptRow>) = self.ask(author, SpaceId::NONE).await?;
        self.change(asked, fact).await
    }
}
