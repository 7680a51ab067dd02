//! Asking again for copies and erasures that were given up or lost.

use catalog::Wanted;
use proto::{
    Actor, BlobErasureOrdered, BlobId, Event, Fact, NodeId, ReplicationRedriven, Sequence, SpaceId, WantedCopy,
};

use crate::error::{Code, Error, Result};
use crate::files::erase::BLOBS_PER_EVENT;
use crate::files::request::Author;
use crate::files::{Files, SOURCE, publish};

/// Copies in one event: each takes up to 500 bytes, and an event at most 32 KiB.
const COPIES_PER_EVENT: usize = 60;

/// Copies that are looked up at once.
const COPIES_AT_ONCE: u32 = 1200;

/// What shall be asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Only of this node.
    pub(crate) node: Option<NodeId>,
    /// Only this blob.
    pub(crate) blob_id: Option<BlobId>,
    /// Also what is merely pending.
    pub(crate) pending: bool,
}

/// What was asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Redriven {
    /// Copies and erasures.
    pub(crate) replicas: u64,
    /// The last event that asks.
    pub(crate) at: Option<Sequence>,
}

impl Files {
    /// Asks again for what was given up or lost, and answers when the catalog shows it.
    pub(crate) async fn redrive(&self, wish: Wish) -> Result<Redriven> {
        let (mut nodes, checkpoint) = (self.catalog().joined().await?, self.catalog().checkpoints().now());
        if let Some(only) = &wish.node {
            nodes.retain(|row| row.node == *only);
            if nodes.is_empty() {
                return Err(node_not_found(only));
            }
        }
        if let Some(blob_id) = wish.blob_id
            && self.catalog().explain(blob_id, 1).await?.is_none()
        {
            return Err(blob_not_found(blob_id));
        }
        // What this call itself asks for must not be found by its next page.
        let up_to = checkpoint.map_or(0, |checkpoint| checkpoint.n);
        let what = catalog::Redrive { blob_id: wish.blob_id, pending: wish.pending, up_to };
        let mut done = Redriven::default();
        for row in &nodes {
            self.redrive_copies(&row.node, what, &mut done).await?;
        }
        let mut after = None;
        loop {
            let blob_ids = self.catalog().open_erasures(wish.node.as_ref(), what, after, BLOBS_PER_EVENT).await?;
            after = blob_ids.last().copied();
            if after.is_none() {
                break;
            }
            done.replicas += blob_ids.len() as u64;
            done.at = Some(self.ask_again(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids })).await?);
        }
        self.reach(done.at).await?;
        Ok(done)
    }

    async fn redrive_copies(&self, node: &NodeId, what: catalog::Redrive, done: &mut Redriven) -> Result<()> {
        let mut after: Option<Wanted> = None;
        loop {
            let page = self.catalog().open_copies(node, what, after.as_ref(), COPIES_AT_ONCE).await?;
            after = page.last().cloned();
            let copies = page.into_iter().map(|wanted| wanted.copy).collect();
            let (replicas, at) = self.ask_for_copies(node, copies).await?;
            done.replicas += replicas;
            done.at = at.or(done.at);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Asks for copies on a node; how many, and with which event the last of them.
    pub(in crate::files) async fn ask_for_copies(
        &self,
        node: &NodeId,
        copies: Vec<WantedCopy>,
    ) -> Result<(u64, Option<Sequence>)> {
        let (mut asked, mut at) = (0, None);
        for replicas in copies_per_event(copies) {
            asked += replicas.len() as u64;
            let fact = Fact::ReplicationRedriven(ReplicationRedriven { node: node.clone(), replicas });
            at = Some(self.ask_again(fact).await?);
        }
        Ok((asked, at))
    }

    /// Publishes without waiting for the catalog: many of these follow each other, and the fold may refuse each of their
    /// copies that has come about meanwhile.
    async fn ask_again(&self, fact: Fact) -> Result<Sequence> {
        let author = Author { actor: Actor::system(), request_id: None };
        let (asked, _) = self.ask(author, SpaceId::NONE).await?;
        let event = Event {
            id: asked.event_id,
            source: SOURCE.to_owned(),
            time: self.inner().process.clock.now(),
            actor: asked.author.actor,
            request_id: None,
            fingerprint: None,
            rules: fact.rules(),
            fact,
        };
        let published = self.ready()?.journal.publish(&event).await.map_err(|error| publish::stopped(&error))?;
        self.sequence(published.n)
    }
}

pub(super) fn node_not_found(node: &NodeId) -> Error {
    Error::new(Code::NodeNotFound, format!("no node {node} is part of the cluster"))
}

pub(super) fn blob_not_found(blob_id: BlobId) -> Error {
    Error::new(Code::BlobNotFound, format!("no event has brought a blob {blob_id}"))
}

/// The lists of the events that ask for these copies: none too long, and large blobs apart, which have a lane of their own.
pub(in crate::files) fn copies_per_event(copies: Vec<WantedCopy>) -> Vec<Vec<WantedCopy>> {
    let (large, small): (Vec<_>, Vec<_>) = copies.into_iter().partition(WantedCopy::is_large);
    [small, large].iter().flat_map(|copies| copies.chunks(COPIES_PER_EVENT).map(<[WantedCopy]>::to_vec)).collect()
}

#[cfg(test)]
mod tests {
    use proto::{EventId, LARGE_BLOB_BYTES, Sha256Digest};
    use uuid::Uuid;

    use super::*;

    fn copy(n: u128, size_bytes: u64) -> WantedCopy {
        WantedCopy {
            blob_id: BlobId::new(Uuid::from_u128(n)),
            size_bytes,
            sha256: Sha256Digest::of(b"a"),
            slices_sha256: Some(Sha256Digest::of(b"b")),
            slice_bytes: Some(u64::from(u32::MAX)),
            space_id: SpaceId::new(Uuid::from_u128(n)),
            event_id: EventId::new(Uuid::from_u128(n)),
            source: "a-node-with-a-name-that-is-long".parse().unwrap(),
        }
    }

    #[test]
    fn large_blobs_are_asked_for_apart_and_no_event_is_too_long() {
        let copies: Vec<_> = (0..200).map(|n| copy(n, if n % 4 == 0 { LARGE_BLOB_BYTES } else { 1 })).collect();
        let lists = copies_per_event(copies);
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [60, 60, 30, 50]);
        assert!(lists[..3].iter().flatten().all(|copy| !copy.is_large()));
        assert!(lists[3].iter().all(WantedCopy::is_large));
        assert!(lists.iter().all(|list| serde_json::to_vec(list).unwrap().len() < 32 * 1024));
        assert!(copies_per_event(Vec::new()).is_empty());
    }
}
