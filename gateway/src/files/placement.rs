//! Where blobs shall be, and asking for the copies that are missing there.
//!
//! A change of the placement moves nothing by itself: uploads name the nodes that they shall be on, and for what was there
//! before, one gateway at a time goes through the blobs (`duties/rebalance.rs`) and asks for what is missing where it
//! should be. Copies that are on other nodes stay there.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use blobs::Standing;
use catalog::{Cluster, Outcome, Placed, PlacementRow, ReplicaState};
use proto::{
    BlobId, Fact, Fingerprint, Kind, Layout, NodeId, NodeRule, Placement, PlacementChanged, Sequence, SpaceId,
    WantedCopy,
};

use super::request::Author;
use super::series::Series;
use super::{Decision, Files};
use crate::error::{Code, Error, Result};

/// Blobs that are looked at together.
const PAGE: u32 = 1000;

/// What shall be said of the placement; the rest stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PlacementChange {
    /// On how many nodes blobs shall be, 0 for all; none says nothing of it.
    pub(crate) copies: Option<u32>,
    /// What is said of single nodes.
    pub(crate) nodes: BTreeMap<NodeId, NodeRule>,
}

/// How many copies may still be asked for of each node; none of a node that is not in it.
pub(crate) type Room = BTreeMap<NodeId, u32>;

/// How far asking has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// Copies that were asked for.
    pub(crate) copies: u64,
    /// The last blob that was looked at, when there are more.
    pub(crate) up_to: Option<BlobId>,
    /// Whether some could not be asked for, for want of room.
    pub(crate) is_short: bool,
}

impl Files {
    /// How blobs are placed now.
    pub(crate) async fn placement(&self, at_least: Option<Sequence>) -> Result<Cluster> {
        self.reach(at_least).await?;
        Ok(self.catalog().cluster().await?)
    }

    /// Changes how blobs are placed; with the event that said so. Nothing is published when nothing changes. The same request
    /// again answers the placement that the first one came to, and changes nothing.
    pub(crate) async fn change_placement(&self, author: &Author, change: PlacementChange) -> Result<Cluster> {
        let opened = self.ready()?;
        // Two changes after each other shall both count.
        self.reach_head().await?;
        let series = self.series(author, SpaceId::NONE, change.fingerprint());
        let cluster = self.catalog().cluster().await?;
        if let Some(n) = self.placed_by(&series).await? {
            return Ok(Cluster { placement: self.placement_said(n).await?, ..cluster });
        }
        if let Some(unknown) = change.nodes.keys().find(|id| cluster.nodes.iter().all(|row| row.node != **id)) {
            let problem = format!("no node {unknown} is part of the cluster");
            return Err(Error::new(Code::NodeNotFound, problem));
        }
        let placement = change.applied_to(&cluster.placement.placement);
        if let Some(copies) = placement.copies.filter(|copies| copies.get() as usize > cluster.nodes.len()) {
            let nodes = cluster.nodes.len();
            let problem = format!("{copies} nodes are asked for, and there are {nodes}");
            return Err(Error::new(Code::ReplicasInvalid, problem).fact("limit", nodes));
        }
        if placement == cluster.placement.placement {
            let n = self.look_into(&series, cluster.placement.seq).await?;
            return Ok(Cluster { placement: self.placement_said(n).await?, ..cluster });
        }
        let fact = Fact::PlacementChanged(PlacementChanged { placement });
        let receipt = self.add(&series, series.first, "", fact).await?;
        match (receipt.decision, receipt.reason.as_deref()) {
            // Somebody else said the same at the same time.
            (Decision::Rejected, Some("placement_unchanged")) => {}
            (Decision::Rejected, reason) => {
                return Err(Error::internal(format!("the placement was rejected: {}", reason.unwrap_or_default())));
            }
            _ => tracing::info!("the placement was changed with event {}", receipt.sequence),
        }
        self.reach(Some(receipt.sequence)).await?;
        let _alone = opened.learning.lock().await;
        let cluster = self.catalog().cluster().await?;
        self.take_layout(&cluster);
        if receipt.decision == Decision::Rejected {
            let n = self.placement_before(receipt.sequence.n).await?;
            return Ok(Cluster { placement: self.placement_said(n).await?, ..cluster });
        }
        Ok(cluster)
    }

    /// The event that said what the request asked for, when it was made before: its own, or an earlier one that had said the
    /// same already (0: nobody has to say how it is at first).
    async fn placed_by(&self, series: &Series) -> Result<Option<u64>> {
        match self.receipt_of(series, series.first).await? {
            Some(row) if row.outcome == Outcome::Applied => Ok(Some(row.seq)),
            Some(row) if row.reason.as_deref() == Some("placement_unchanged") => {
                self.placement_before(row.seq).await.map(Some)
            }
            Some(_) | None => self.looked_into(series).await,
        }
    }

    /// The event that said how the placement was when event `n` was decided; 0: none.
    async fn placement_before(&self, n: u64) -> Result<u64> {
        let journal = &self.ready()?.journal;
        let (mut last, mut from) = (0, 1);
        while let Some(recorded) = journal.next_of(Kind::PlacementChanged, from).await?.filter(|found| found.n < n) {
            from = recorded.n + 1;
            let Ok(event) = recorded.decode() else { continue };
            let row = self.catalog().receipt(event.id).await?;
            if row.is_some_and(|row| row.seq == recorded.n && row.outcome == Outcome::Applied) {
                last = recorded.n;
            }
        }
        Ok(last)
    }

    /// What an event said of the placement.
    async fn placement_said(&self, n: u64) -> Result<PlacementRow> {
        if n == 0 {
            return Ok(PlacementRow::default());
        }
        let recorded = self.ready()?.journal.read(n).await?;
        let recorded = recorded.ok_or_else(|| Error::diverged(format!("event {n} is not there any more")))?;
        match recorded.decode().map_err(Error::internal)?.fact {
            Fact::PlacementChanged(PlacementChanged { placement }) => Ok(PlacementRow { seq: n, placement }),
            _ => Err(Error::internal(format!("event {n} says nothing of the placement"))),
        }
    }

    /// Places uploads as the catalog says from here on. Who calls it holds [`super::Opened::learning`].
    pub(super) fn take_layout(&self, cluster: &Cluster) {
        if let Some(opened) = self.opened() {
            let stays = |node: &NodeId| opened.nodes.standing(node) != Standing::Leaving;
            let members = cluster.nodes.iter().map(|row| row.node.clone()).filter(stays).collect();
            let layout = Layout { placement: cluster.placement.placement.clone(), members };
            if layout != *opened.nodes.layout() {
                opened.nodes.set_layout(layout);
            }
        }
    }

    /// Goes through the live blobs after one, and asks for the copies that are missing where they shall be, as long as
    /// there is room. Ends early where there is none for a node that has had some.
    pub(crate) async fn ask_for_missing(
        &self,
        layout: &Layout,
        mut after: Option<BlobId>,
        room: &mut Room,
    ) -> Result<Asked> {
        let (mut asked, mut last) = (Asked::default(), None);
        loop {
            let page = self.catalog().placed(None, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            let mut missing: BTreeMap<NodeId, Vec<WantedCopy>> = BTreeMap::new();
            let mut is_full = false;
            for placed in page {
                let blob_id = placed.copy.blob_id;
                for node in lacking(&placed, layout) {
                    match room.get_mut(&node) {
                        None => asked.is_short = true,
                        Some(0) => is_full = true,
                        Some(left) => {
                            *left -= 1;
                            asked.copies += 1;
                            missing.entry(node).or_default().push(placed.copy.clone());
                        }
                    }
                }
                if is_full {
                    break;
                }
                after = Some(blob_id);
            }
            for (node, copies) in missing {
                last = self.ask_for_copies(&node, copies).await?.1.or(last);
            }
            if is_full || is_last {
                asked.up_to = if is_full { Some(after.unwrap_or(NO_BLOB)) } else { None };
                // Whoever counts what is pending shall count these.
                self.reach(last).await?;
                return Ok(asked);
            }
        }
    }

    /// How many of the live blobs on a node are on no other one, or not yet on all of `waited_for` that shall hold them when
    /// it is gone. Goes through all of them.
    pub(super) async fn unsafe_without(&self, node: &NodeId, layout: &Layout, waited_for: &[NodeId]) -> Result<u64> {
        let (mut after, mut open) = (None, 0);
        loop {
            let page = self.catalog().placed(Some(node), after, PAGE).await?;
            open += page.iter().filter(|placed| !is_safe_without(placed, node, layout, waited_for)).count() as u64;
            let Some(last) = page.last().filter(|_| page.len() == PAGE as usize) else { return Ok(open) };
            after = Some(last.copy.blob_id);
        }
    }
}

/// Before every blob.
const NO_BLOB: BlobId = BlobId::new(uuid::Uuid::nil());

/// The nodes that shall hold a blob and have no pair with it.
fn lacking(placed: &Placed, layout: &Layout) -> Vec<NodeId> {
    let mut targets = layout.targets(placed.copy.blob_id);
    targets.retain(|target| placed.pairs.iter().all(|(node, _)| node != target));
    targets
}

/// Whether another node holds a blob than one, and all of `waited_for` that shall.
fn is_safe_without(placed: &Placed, node: &NodeId, layout: &Layout, waited_for: &[NodeId]) -> bool {
    let is_stored = |target: &NodeId| placed.pairs.contains(&(target.clone(), ReplicaState::Stored));
    let is_elsewhere = placed.pairs.iter().any(|(other, state)| other != node && *state == ReplicaState::Stored);
    let mut targets = layout.targets(placed.copy.blob_id);
    targets.retain(|target| target != node && waited_for.contains(target));
    is_elsewhere && targets.iter().all(is_stored)
}

// === impl PlacementChange ===

impl PlacementChange {
    fn fingerprint(&self) -> Fingerprint {
        let mut words = vec![self.copies.map(|copies| copies.to_string()).unwrap_or_default()];
        for (node, rule) in &self.nodes {
            let zone = rule.zone.as_ref().map(ToString::to_string).unwrap_or_default();
            words.extend([node.to_string(), rule.weight.get().to_string(), zone]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Fingerprint::of_series("set_placement", SpaceId::NONE, &words)
    }

    fn applied_to(self, before: &Placement) -> Placement {
        let mut nodes = before.nodes.clone();
        nodes.extend(self.nodes);
        // What is said of a node like of all others is not said.
        nodes.retain(|_, rule| *rule != NodeRule::default());
        Placement { copies: self.copies.map_or(before.copies, NonZeroU32::new), nodes }
    }
}

#[cfg(test)]
mod tests {
    use proto::{EventId, Sha256Digest};
    use uuid::Uuid;

    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn placed(pairs: &[(&str, ReplicaState)]) -> Placed {
        let copy = WantedCopy {
            blob_id: BlobId::new(Uuid::from_u128(1)),
            size_bytes: 1,
            sha256: Sha256Digest::of(b"a"),
            slices_sha256: None,
            slice_bytes: None,
            space_id: SpaceId::NONE,
            event_id: EventId::new(Uuid::from_u128(2)),
            source: node("node-a"),
        };
        Placed { copy, pairs: pairs.iter().map(|(name, state)| (node(name), *state)).collect() }
    }

    fn layout(copies: u32) -> Layout {
        let placement = Placement { copies: NonZeroU32::new(copies), ..Placement::default() };
        Layout { placement, members: ["node-a", "node-b", "node-c"].map(node).to_vec() }
    }

    #[test]
    fn what_is_missing_is_what_has_no_pair() {
        use ReplicaState::{Parked, Pending, Stored};
        let everywhere = layout(0);
        let two = placed(&[("node-a", Stored), ("node-b", Parked)]);
        assert_eq!(lacking(&two, &everywhere), [node("node-c")]);
        assert!(
            lacking(&placed(&[("node-a", Stored), ("node-b", Stored), ("node-c", Pending)]), &everywhere).is_empty()
        );
    }

    #[test]
    fn a_node_is_missed_by_what_others_do_not_hold() {
        use ReplicaState::{Pending, Stored};
        let (everywhere, a, [b, c]) = (layout(0), node("node-a"), ["node-b", "node-c"].map(node));
        let is_safe = |pairs: &[(&str, ReplicaState)], waited_for: &[NodeId]| {
            is_safe_without(&placed(pairs), &a, &everywhere, waited_for)
        };
        let both = [b.clone(), c.clone()];
        assert!(is_safe(&[("node-a", Stored), ("node-b", Stored), ("node-c", Stored)], &both));
        assert!(!is_safe(&[("node-a", Stored), ("node-b", Stored), ("node-c", Pending)], &both));
        assert!(is_safe(&[("node-a", Stored), ("node-b", Stored), ("node-c", Pending)], &[b]), "c is away");
        assert!(!is_safe(&[("node-a", Stored), ("node-b", Pending), ("node-c", Pending)], &[]), "only there");
    }

    #[test]
    fn only_the_nodes_that_shall_hold_it_count() {
        let one = layout(1);
        let targets = one.targets(BlobId::new(Uuid::from_u128(1)));
        let there = placed(&[(targets[0].as_str(), ReplicaState::Stored)]);
        assert!(lacking(&there, &one).is_empty());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_say() {
        let rule = |weight: u32| NodeRule { weight: weight.try_into().unwrap(), zone: None };
        let change = |copies, nodes: &[(&str, u32)]| PlacementChange {
            copies,
            nodes: nodes.iter().map(|(name, weight)| (node(name), rule(*weight))).collect(),
        };
        let first = change(Some(2), &[("node-a", 3)]).applied_to(&Placement::default());
        assert_eq!((first.copies, first.nodes.len()), (NonZeroU32::new(2), 1));
        let second = change(None, &[("node-b", 5), ("node-a", 1)]).applied_to(&first);
        assert_eq!(second.copies, NonZeroU32::new(2));
        assert_eq!(second.nodes.keys().collect::<Vec<_>>(), [&node("node-b")]);
        assert_eq!(change(Some(0), &[]).applied_to(&second).copies, None);
    }
}
