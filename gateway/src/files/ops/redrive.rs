//! Asking again for copies and erasures that were given up or lost.

use catalog::Wanted;
use journal::Published;
use proto::{
    Actor, BlobErasureOrdered, BlobId, Event, EventId, Fact, Fingerprint, NodeId, ReplicationRedriven, Sequence,
    SpaceId, WantedCopy,
};

use crate::error::{Code, Error, Result};
use crate::files::change::Asked;
use crate::files::erase::BLOBS_PER_EVENT;
use crate::files::request::Author;
use crate::files::series::Series;
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

/// A request under way.
struct Asking<'a> {
    series: &'a Series,
    /// The sequence that it was looked into at.
    up_to: u64,
    /// How many events it has become.
    events: u64,
    done: Redriven,
}

impl Files {
    /// Asks again for what was given up or lost, and answers when the catalog shows it. The same request again answers the
    /// first outcome, also when there was nothing to ask for: only what is as it is since the first one is asked for.
    pub(crate) async fn redrive(&self, wish: Wish, author: &Author) -> Result<Redriven> {
        let series = self.series(author, SpaceId::NONE, wish.fingerprint());
        if series.is_named() {
            // An attempt before this one may just have published what the catalog does not show yet.
            self.reach_head().await?;
        }
        if self.found(&series, series.first).await?.is_none() && self.looked_into(&series).await?.is_none() {
            self.check(&wish).await?;
        }
        // What this call itself asks for must not be found by its next page.
        let now = self.catalog().checkpoints().now().map_or(0, |checkpoint| checkpoint.n);
        let up_to = self.evaluate_at(&series, now).await?;
        let what = catalog::Redrive { blob_id: wish.blob_id, pending: wish.pending, up_to };
        loop {
            let mut asking = self.redriven_before(&series, up_to).await?;
            let is_alone = self.redrive_all(&wish, what, &mut asking).await?;
            self.reach(asking.done.at).await?;
            if is_alone {
                return Ok(asking.done);
            }
            // Another attempt of the request is under way: what it has not asked for is found anew.
            self.reach_head().await?;
        }
    }

    async fn check(&self, wish: &Wish) -> Result<()> {
        if let Some(only) = &wish.node
            && self.catalog().joined().await?.iter().all(|row| row.node != *only)
        {
            return Err(node_not_found(only));
        }
        match wish.blob_id {
            Some(blob_id) if self.catalog().explain(blob_id, 1).await?.is_none() => Err(blob_not_found(blob_id)),
            _ => Ok(()),
        }
    }

    /// What the request has asked for before.
    async fn redriven_before<'a>(&self, series: &'a Series, up_to: u64) -> Result<Asking<'a>> {
        let mut asking = Asking { series, up_to, events: 0, done: Redriven::default() };
        while let Some(found) = self.found(series, asking.next()).await? {
            let replicas = match &found.fact {
                Fact::ReplicationRedriven(redriven) => redriven.replicas.len(),
                Fact::BlobErasureOrdered(ordered) => ordered.blob_ids.len(),
                _ => return Err(publish::reused()),
            };
            asking.count(replicas, self.sequence(found.row.seq)?);
        }
        Ok(asking)
    }

    /// Asks for all that was not asked for before; false when another attempt of the request does the same.
    async fn redrive_all(&self, wish: &Wish, what: catalog::Redrive, asking: &mut Asking<'_>) -> Result<bool> {
        let mut nodes = self.catalog().joined().await?;
        nodes.retain(|row| wish.node.as_ref().is_none_or(|only| row.node == *only));
        for row in &nodes {
            let mut after: Option<Wanted> = None;
            loop {
                let page = self.catalog().open_copies(&row.node, what, after.as_ref(), COPIES_AT_ONCE).await?;
                after = page.last().cloned();
                let copies = page.into_iter().map(|wanted| wanted.copy).collect();
                for replicas in copies_per_event(copies) {
                    let count = replicas.len();
                    let fact = ReplicationRedriven { node: row.node.clone(), replicas };
                    if !self.ask_next(asking, count, Fact::ReplicationRedriven(fact)).await? {
                        return Ok(false);
                    }
                }
                if after.is_none() {
                    break;
                }
            }
        }
        let mut after = None;
        loop {
            let blob_ids = self.catalog().open_erasures(wish.node.as_ref(), what, after, BLOBS_PER_EVENT).await?;
            after = blob_ids.last().copied();
            if after.is_none() {
                return Ok(true);
            }
            let count = blob_ids.len();
            let fact = Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids });
            if !self.ask_next(asking, count, fact).await? {
                return Ok(false);
            }
        }
    }

    /// Publishes the next event of the request; false when there is one already.
    async fn ask_next(&self, asking: &mut Asking<'_>, replicas: usize, fact: Fact) -> Result<bool> {
        let author = asking.series.noting(&asking.up_to.to_string())?;
        let asked = Asked { event_id: asking.next(), author };
        let Published { n, duplicate, .. } = self.ask_again(asked, Some(asking.series.fingerprint), fact).await?;
        // Nobody else has the id of a request that the client has not named.
        if duplicate && asking.series.is_named() {
            return Ok(false);
        }
        asking.count(replicas, self.sequence(n)?);
        Ok(true)
    }

    /// Asks for copies on a node; how many, and with which event the last of them.
    pub(in crate::files) async fn ask_for_copies(
        &self,
        node: &NodeId,
        copies: Vec<WantedCopy>,
    ) -> Result<(u64, Option<Sequence>)> {
        let (mut count, mut at) = (0, None);
        for replicas in copies_per_event(copies) {
            count += replicas.len() as u64;
            let fact = Fact::ReplicationRedriven(ReplicationRedriven { node: node.clone(), replicas });
            let author = Author { actor: Actor::system(), request_id: None };
            let (asked, _) = self.ask(author, SpaceId::NONE).await?;
            at = Some(self.sequence(self.ask_again(asked, None, fact).await?.n)?);
        }
        Ok((count, at))
    }

    /// Publishes without waiting for the catalog: many of these follow each other, and the fold may refuse each of their
    /// copies that has come about meanwhile.
    async fn ask_again(&self, asked: Asked, fingerprint: Option<Fingerprint>, fact: Fact) -> Result<Published> {
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let event = Event {
            id: asked.event_id,
            source: SOURCE.to_owned(),
            time: self.inner().process.clock.now(),
            actor: asked.author.actor,
            request_id: asked.author.request_id,
            fingerprint,
            rules: fact.rules(),
            fact,
        };
        self.ready()?.journal.publish(&event).await.map_err(|error| publish::stopped(&error))
    }
}

// === impl Wish ===

impl Wish {
    fn fingerprint(&self) -> Fingerprint {
        let node = self.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let blob_id = self.blob_id.map(|id| id.to_string()).unwrap_or_default();
        let pending = if self.pending { "yes" } else { "no" };
        Fingerprint::of_series("redrive", SpaceId::NONE, &[&node, &blob_id, pending])
    }
}

// === impl Asking ===

impl Asking<'_> {
    /// The id of the next event.
    fn next(&self) -> EventId {
        if self.events == 0 { self.series.first } else { self.series.first.step(self.events) }
    }

    fn count(&mut self, replicas: usize, at: Sequence) {
        self.events += 1;
        self.done.replicas += replicas as u64;
        self.done.at = Some(at);
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
