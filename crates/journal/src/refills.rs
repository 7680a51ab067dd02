//! How far the refilling of a node has come: an entry of the bucket [`BucketName::Refills`] for each node, and one for each
//! pair of a node and another one that its blobs wait for.

use proto::{MarkerId, NodeId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Error;
use crate::journal::Journal;
use crate::kv::BucketName;

/// So often somebody else may write an entry while it is begun anew.
const ATTEMPTS: u32 = 5;

/// The refilling of a node that joined, or whose disk was changed: every blob that the events before that brought is
/// copied to it. Or its catching up with another one that was away: what some events ask for whose blobs that one has.
/// Lost entries are no loss of data: copies can be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refill {
    /// Sequence number of the event that asks for it; of those that are caught up with, the first.
    pub cause: u64,
    /// The node that is caught up with: only what is first to be read from there is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<NodeId>,
    /// The marker of the disk that is filled.
    pub marker_id: MarkerId,
    /// What the events up to this one brought is on the node.
    pub position: u64,
    /// The last event that counts.
    pub until: u64,
    /// Blobs copied so far, without those that were there.
    pub blobs_copied: u64,
    /// The sum of their sizes.
    pub bytes_copied: u64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When this was written.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Whether it has come to its end.
    pub done: bool,
}

/// A refill as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// How far it has come.
    pub refill: Refill,
    /// Which writing it is: to be given to [`Journal::save_refill`].
    pub revision: u64,
}

// === impl Refill ===

impl Refill {
    /// A refill of the disk with this marker, which the event `cause` asks for, at its beginning.
    pub fn new(cause: u64, marker_id: MarkerId, now: OffsetDateTime) -> Self {
        let (source, position, until, blobs_copied, bytes_copied) = (None, 0, cause, 0, 0);
        let (started_at, updated_at, done) = (now, now, false);
        Self { cause, source, marker_id, position, until, blobs_copied, bytes_copied, started_at, updated_at, done }
    }

    /// The catching up with `source` from event `n` to event `until`.
    fn with_source(source: &NodeId, n: u64, until: u64, marker_id: MarkerId, now: OffsetDateTime) -> Self {
        let source = Some(source.clone());
        Self { source, position: n.saturating_sub(1), until, ..Self::new(n, marker_id, now) }
    }

    /// Whether it does, or has done, what event `n` asks for. Once that is so it stays so, whatever becomes of the entry.
    pub fn covers(&self, n: u64) -> bool {
        (self.cause..=self.until).contains(&n)
    }

    /// This catching up, if it is not done, with event `n` besides, and all that follow up to `until`.
    fn extended(&self, n: u64, until: u64) -> Option<Self> {
        let mut refill = self.clone();
        refill.until = refill.until.max(until);
        if n < refill.cause {
            refill.cause = n;
            refill.position = n.saturating_sub(1);
        }
        (!self.done).then_some(refill)
    }

    /// The key of its entry.
    fn key(node: &NodeId, source: Option<&NodeId>) -> String {
        source.map_or_else(|| node.to_string(), |source| format!("{node}.{source}"))
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a refill holds only numbers and words")
    }
}

// === impl Journal ===

impl Journal {
    /// The refill of a node; `None` when there never was one, or its entry was lost. One
    /// that cannot be read is none: [`Self::begin_refill`] writes it anew, and says so.
    pub async fn refill(&self, node: &NodeId) -> Result<Option<Saved>, Error> {
        self.saved(&Refill::key(node, None)).await
    }

    /// How far a node's catching up with another one has come; `None` when there never was any.
    pub async fn catching_up(&self, node: &NodeId, source: &NodeId) -> Result<Option<Saved>, Error> {
        self.saved(&Refill::key(node, Some(source))).await
    }

    /// How far a node's catching up has come with each of those that it has ever had to catch up with.
    pub async fn all_catching_up(&self, node: &NodeId) -> Result<Vec<(NodeId, Refill)>, Error> {
        let entries = self.bucket(BucketName::Refills).await?.list(node.as_str()).await?;
        let refills = entries.iter().filter_map(|(_, entry)| serde_json::from_slice::<Refill>(&entry.value).ok());
        Ok(refills.filter_map(|refill| Some((refill.source.clone()?, refill))).collect())
    }

    /// Leaves to the catching up of `node` with `source` what event `n` asks of it; then its delivery may be acknowledged.
    /// All that is in the journal by now is left to it as well, so that few have to write.
    pub async fn leave_to_catching_up(
        &self,
        node: &NodeId,
        source: &NodeId,
        n: u64,
        marker_id: MarkerId,
        now: OffsetDateTime,
    ) -> Result<Refill, Error> {
        let (bucket, key) = (self.bucket(BucketName::Refills).await?, Refill::key(node, Some(source)));
        for _ in 0..ATTEMPTS {
            let entry = bucket.entry(&key).await?;
            let known = entry.as_ref().and_then(|entry| serde_json::from_slice::<Refill>(&entry.value).ok());
            if let Some(known) = &known
                && known.covers(n)
            {
                return Ok(known.clone());
            }
            let until = self.head().await?.n.max(n);
            let refill = known
                .and_then(|known| known.extended(n, until))
                .unwrap_or_else(|| Refill::with_source(source, n, until, marker_id, now));
            let written = match entry {
                None => bucket.create(&key, refill.to_bytes().into()).await?,
                Some(entry) => bucket.update(&key, refill.to_bytes().into(), entry.revision).await?,
            };
            if written.is_some() {
                return Ok(refill);
            }
        }
        let what = format!("have node {node} catch up with node {source}");
        Err(Error::unavailable(what, "its entry changes all the time"))
    }

    async fn saved(&self, key: &str) -> Result<Option<Saved>, Error> {
        let Some(entry) = self.bucket(BucketName::Refills).await?.entry(key).await? else { return Ok(None) };
        match serde_json::from_slice(&entry.value) {
            Ok(refill) => Ok(Some(Saved { refill, revision: entry.revision })),
            Err(_) => Ok(None),
        }
    }

    /// Has a node filled, unless the refill that it has is as new; whether this one took its place.
    pub async fn begin_refill(&self, node: &NodeId, refill: &Refill) -> Result<bool, Error> {
        let bucket = self.bucket(BucketName::Refills).await?;
        for _ in 0..ATTEMPTS {
            let written = match bucket.entry(node.as_str()).await? {
                None => bucket.create(node.as_str(), refill.to_bytes().into()).await?,
                Some(entry) => {
                    match serde_json::from_slice::<Refill>(&entry.value) {
                        Ok(known) if known.cause >= refill.cause => return Ok(false),
                        Ok(_) => {}
                        Err(error) => tracing::warn!(
                            node.id = %node, "the refill of node {node} cannot be read, and is begun anew: {error}"
                        ),
                    }
                    bucket.update(node.as_str(), refill.to_bytes().into(), entry.revision).await?
                }
            };
            if written.is_some() {
                return Ok(true);
            }
        }
        Err(Error::unavailable(format!("begin the refill of node {node}"), "its entry changes all the time"))
    }

    /// Writes how far a refill has come, and returns the new revision; `None` when another one has taken its place.
    pub async fn save_refill(&self, node: &NodeId, refill: &Refill, revision: u64) -> Result<Option<u64>, Error> {
        let key = Refill::key(node, refill.source.as_ref());
        self.bucket(BucketName::Refills).await?.update(&key, refill.to_bytes().into(), revision).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catching_up_grows_and_never_passes_over_anything() {
        let (now, source) = (OffsetDateTime::UNIX_EPOCH, "node-a".parse().unwrap());
        let marker_id = "7e0c2f1e-6a56-4b52-9a3e-5f0d1b0f7a11".parse().unwrap();
        let begun = Refill::with_source(&source, 10, 20, marker_id, now);
        assert_eq!((begun.position, begun.covers(9), begun.covers(10), begun.covers(20)), (9, false, true, true));
        let come = Refill { position: 15, ..begun.clone() };
        let later = come.extended(25, 30).unwrap();
        assert_eq!((later.cause, later.position, later.until), (10, 15, 30));
        let earlier = come.extended(5, 20).unwrap();
        assert_eq!((earlier.cause, earlier.position, earlier.until), (5, 4, 20));
        assert_eq!(Refill { done: true, ..come }.extended(25, 30), None);
        let other = "node-c".parse().unwrap();
        assert_eq!(Refill::key(&other, begun.source.as_ref()), "node-c.node-a");
        assert_eq!(Refill::key(&other, None), "node-c");
    }
}
