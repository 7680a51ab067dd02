//! Having repaired what differs: events that ask the replicators for copies or erasures, never a hand on an object.

use std::collections::{HashMap, HashSet};

use proto::{
    BlobCondemned, BlobErasureOrdered, BlobId, Fact, Orphan, ReplicaLost, Sequence, Sha256Digest, SpaceId, WantedCopy,
};

use super::node::Audit;
use super::{Difference, Finding, Stop};
use crate::files::erase::BLOBS_PER_EVENT;
use crate::files::ops::copies_per_event;
use crate::files::{Decision, Receipt};

/// Orphans in one event: each takes some 250 bytes.
const ORPHANS_PER_EVENT: usize = 100;

/// The events that have blobs repaired.
type Repairs = HashMap<BlobId, Sequence>;

impl Audit<'_> {
    /// Publishes what has these findings repaired, as the catalog was at `at`, and notes which event it is. Of a copy that no
    /// other node holds, it is said too that it is lost, so that nothing more is built upon it; what is there is not touched.
    pub(super) async fn repair(&self, findings: &mut [Finding], at: u64) -> Result<(), Stop> {
        let (mut repairs, mut alone) = (Repairs::new(), HashSet::new());
        for of_kind in findings.chunk_by(|a, b| a.difference == b.difference) {
            let difference = of_kind[0].difference;
            let blobs: Vec<BlobId> = of_kind.iter().filter_map(|finding| finding.blob_id).collect();
            match difference {
                Difference::Missing | Difference::Truncated | Difference::Corrupt | Difference::Parts => {
                    alone.extend(self.lost(difference, &blobs, at, &mut repairs).await?);
                }
                Difference::Resurrected => self.erase_again(&blobs, &mut repairs).await?,
                Difference::Orphan => self.condemn(&blobs, &mut repairs).await?,
                Difference::Foreign | Difference::Unreported | Difference::Recoverable => {}
            }
        }
        for finding in findings.iter_mut() {
            finding.repaired_by = finding.blob_id.and_then(|blob_id| repairs.get(&blob_id).copied());
            if finding.blob_id.is_some_and(|blob_id| alone.contains(&blob_id)) {
                finding.detail.push_str("; no other node holds it");
            }
        }
        Ok(())
    }

    /// Says that the copies are lost, which asks for them again; answers the blobs that no other node holds.
    async fn lost(
        &self,
        difference: Difference,
        blobs: &[BlobId],
        at: u64,
        to: &mut Repairs,
    ) -> Result<HashSet<BlobId>, Stop> {
        let reason = match difference {
            Difference::Missing => "audit: it is not there",
            Difference::Truncated => "audit: it has another length",
            Difference::Corrupt => "audit: it has other bytes, or cannot be read",
            _ => "audit: its slice digests are missing or wrong",
        };
        let wanted = self.files.catalog().wanted_copies(self.node.id(), blobs).await?;
        let is_alone = |copy: &&WantedCopy| copy.source == *self.node.id();
        let alone = wanted.iter().filter(is_alone).map(|copy| copy.blob_id).collect();
        for copies in copies_per_event(wanted) {
            let lost = ReplicaLost {
                node: self.node.id().clone(),
                marker_id: self.marker_id,
                evaluated_at: at,
                reason: reason.to_owned(),
                replicas: copies.clone(),
            };
            let receipt = self.files.by_itself(Fact::ReplicaLost(lost)).await?;
            note(to, copies.iter().map(|copy| copy.blob_id), &receipt);
        }
        Ok(alone)
    }

    /// The fold changes nothing for blobs that are erased everywhere; the nodes obey all the same.
    async fn erase_again(&self, blobs: &[BlobId], to: &mut Repairs) -> Result<(), Stop> {
        for blob_ids in blobs.chunks(BLOBS_PER_EVENT as usize) {
            let ordered = BlobErasureOrdered { blob_ids: blob_ids.to_vec() };
            let receipt = self.files.by_itself(Fact::BlobErasureOrdered(ordered)).await?;
            to.extend(blob_ids.iter().map(|blob_id| (*blob_id, receipt.sequence)));
        }
        Ok(())
    }

    /// Makes orphans known, as condemned: the duty that erases does the rest.
    async fn condemn(&self, blobs: &[BlobId], to: &mut Repairs) -> Result<(), Stop> {
        for blob_ids in blobs.chunks(ORPHANS_PER_EVENT) {
            let mut orphans = Vec::with_capacity(blob_ids.len());
            for blob_id in blob_ids {
                orphans.push(self.orphan(*blob_id).await?);
            }
            let condemned = BlobCondemned { blob_ids: Vec::new(), orphans };
            let receipt = self.files.by_itself(Fact::BlobCondemned(condemned)).await?;
            note(to, blob_ids.iter().copied(), &receipt);
        }
        Ok(())
    }

    /// All that can be said of an object that no event names. Where only its slice digests were left, it is empty.
    async fn orphan(&self, blob_id: BlobId) -> Result<Orphan, Stop> {
        let look = self.look();
        let content = look.unknown_content(blob_id).await?;
        let named = if content.is_some() { blob_id.key() } else { blob_id.parts_key() };
        let head = look.again(async || self.node.head(&named).await).await?;
        let space_id = head.and_then(|head| head.metadata.get("space-id")?.parse().ok());
        Ok(Orphan {
            blob_id,
            size_bytes: content.map_or(0, |content| content.size_bytes),
            sha256: content.and_then(|content| content.sha256).unwrap_or_else(|| Sha256Digest::of(&[])),
            space_id: space_id.unwrap_or(SpaceId::NONE),
            node: self.node.id().clone(),
        })
    }
}

fn note(to: &mut Repairs, blobs: impl Iterator<Item = BlobId>, receipt: &Receipt) {
    if receipt.decision != Decision::Rejected {
        to.extend(blobs.map(|blob_id| (blob_id, receipt.sequence)));
    }
}
