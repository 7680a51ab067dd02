//! Which disk each node has, as the journal tells.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use proto::{DecodeError, Fact, Kind, MarkerId, NodeId, Recorded};
use tokio::sync::Mutex;

use crate::error::Error;
use crate::journal::Journal;

/// The kinds of events that say something about the disks of nodes, and what shall be on them.
const KINDS: [Kind; 4] = [Kind::NodeJoined, Kind::NodeWiped, Kind::NodeRetired, Kind::PlacementChanged];

/// The nodes that are part of the cluster, with the markers of their disks; read from the journal by the rules of the
/// fold, which are few and never change: a node joins once with a marker, since the event's id is made of that, and is
/// wiped or retired only by its present marker.
#[derive(Debug)]
pub struct Markers {
    journal: Journal,
    /// One reads the journal at a time.
    refreshing: Mutex<()>,
    /// As of the last whole pass over the journal: of a part of it nothing would follow. Never held while the journal is
    /// asked, since whoever copies looks here for each blob.
    state: RwLock<State>,
}

/// Answers the marker that a node should carry, if it is another than the one that was found.
pub type Judge = Arc<dyn Fn(NodeId, MarkerId) -> Pin<Box<dyn Future<Output = Option<MarkerId>> + Send>> + Send + Sync>;

/// The disk of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Its marker.
    pub marker_id: MarkerId,
    /// Sequence number of the event that brought it. Whatever was asked of the node before is done by the refill that
    /// this event asks for.
    pub since: u64,
    /// Sequence number of the event that made the node part of the cluster.
    pub joined: u64,
    /// Whether it was to hold, when it joined, all that there was already. Else only what was asked of it by name since, and
    /// the uploads since then that name no nodes.
    pub takes_earlier: bool,
}

#[derive(Debug, Clone, Default)]
struct State {
    disks: BTreeMap<NodeId, Disk>,
    /// Markers of nodes that were retired: those disks never join again.
    retired: BTreeSet<MarkerId>,
    /// Whether blobs are placed on some nodes and not on all.
    is_partial: bool,
    /// Everything up to this event is in `disks`.
    read_to: u64,
}

// === impl Markers ===

impl Markers {
    /// Knows nothing before the first [`Self::refresh`].
    pub fn new(journal: Journal) -> Self {
        Self { journal, refreshing: Mutex::default(), state: RwLock::default() }
    }

    /// Reads what is new in the journal: one question for each kind when there is nothing.
    pub async fn refresh(&self) -> Result<(), Error> {
        let _alone = self.refreshing.lock().await;
        let mut state = self.known().clone();
        self.read_on(&mut state).await?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    async fn read_on(&self, state: &mut State) -> Result<(), Error> {
        let mut next = [const { None }; KINDS.len()];
        loop {
            // Asked again whenever something was found: of two kinds, the one asked first may have got an earlier event
            // since.
            let from = state.read_to + 1;
            for (found, kind) in next.iter_mut().zip(KINDS) {
                if found.is_none() {
                    *found = self.journal.next_of(kind, from).await?;
                }
            }
            let first = |next: &[Option<Recorded>; KINDS.len()]| {
                let places = next.iter().enumerate().filter_map(|(i, found)| Some((found.as_ref()?.n, i)));
                places.min().map(|(_, i)| i)
            };
            let Some(candidate) = first(&next) else { return Ok(()) };
            // What comes before the candidate is in the journal by now.
            for i in (0..KINDS.len()).filter(|i| *i != candidate) {
                if next[i].is_none() {
                    next[i] = self.journal.next_of(KINDS[i], from).await?;
                }
            }
            let Some(recorded) = first(&next).and_then(|i| next[i].take()) else { return Ok(()) };
            state.read(&recorded);
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk of a node that is part of the cluster, as of the last refresh.
    pub fn get(&self, node: &NodeId) -> Option<Disk> {
        self.known().disks.get(node).copied()
    }

    /// Whether a node is no part of the cluster, as of the last refresh: it never joined, or was retired. True as well
    /// before the first refresh.
    pub fn is_gone(&self, node: &NodeId) -> bool {
        !self.known().disks.contains_key(node)
    }

    /// Whether the disk with this marker was a node's that was retired, as of the last refresh.
    pub fn was_retired(&self, marker_id: MarkerId) -> bool {
        self.known().retired.contains(&marker_id)
    }

    /// [`Self::other`] as a function, for those who look at the nodes.
    pub fn judge(self: &Arc<Self>) -> Judge {
        let markers = Arc::clone(self);
        Arc::new(move |node, found| {
            let markers = Arc::clone(&markers);
            Box::pin(async move { markers.other(&node, found).await })
        })
    }

    /// The marker that `node` should carry, if that is another than `found`. Asks the journal before it says so; `None`
    /// too while the journal cannot be asked.
    pub async fn other(&self, node: &NodeId, found: MarkerId) -> Option<MarkerId> {
        let is_other = |disk: Option<Disk>| disk.map(|disk| disk.marker_id).filter(|known| *known != found);
        is_other(self.get(node))?;
        if let Err(error) = self.refresh().await {
            tracing::debug!(node.id = %node, "cannot ask for the marker of node {node} now: {error}");
            return None;
        }
        is_other(self.get(node))
    }
}

// === impl State ===

impl State {
    fn read(&mut self, recorded: &Recorded) {
        self.read_to = recorded.n;
        match recorded.decode() {
            Ok(event) => self.apply(recorded.n, event.fact),
            // As in the fold: it changes nothing.
            Err(DecodeError::Undecodable { .. }) => {}
            Err(unknown) => tracing::warn!(seq = recorded.n, "event {} is passed over: {unknown}", recorded.n),
        }
    }

    fn apply(&mut self, n: u64, fact: Fact) {
        match fact {
            Fact::NodeJoined(joined) if self.retired.contains(&joined.marker_id) => {}
            Fact::NodeJoined(joined) => {
                let takes_earlier = !self.is_partial;
                let disk = Disk { marker_id: joined.marker_id, since: n, joined: n, takes_earlier };
                self.disks.entry(joined.node).or_insert(disk);
            }
            Fact::NodeWiped(wiped) => {
                if let Some(disk) = self.disks.get_mut(&wiped.node)
                    && disk.marker_id == wiped.old_marker_id
                {
                    *disk = Disk { marker_id: wiped.marker_id, since: n, ..*disk };
                }
            }
            Fact::NodeRetired(retired) => {
                let is_known = self.disks.get(&retired.node).is_some_and(|disk| disk.marker_id == retired.marker_id);
                if is_known && self.disks.len() > 1 {
                    self.disks.remove(&retired.node);
                    self.retired.insert(retired.marker_id);
                }
            }
            Fact::PlacementChanged(changed) => self.is_partial = changed.placement.copies.is_some(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{NodeJoined, NodeRetired, NodeWiped, Placement, PlacementChanged};

    use super::*;

    fn marker(n: u8) -> MarkerId {
        format!("00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
    }

    fn node() -> NodeId {
        "node-a".parse().unwrap()
    }

    fn joined(node: &str, n: u8) -> Fact {
        let node = node.parse().unwrap();
        Fact::NodeJoined(NodeJoined { node, marker_id: marker(n), endpoint: String::new(), bucket: String::new() })
    }

    fn wiped(old: u8, new: u8) -> Fact {
        Fact::NodeWiped(NodeWiped { node: node(), old_marker_id: marker(old), marker_id: marker(new) })
    }

    fn retired(n: u8) -> Fact {
        Fact::NodeRetired(NodeRetired { node: node(), marker_id: marker(n) })
    }

    fn after(facts: Vec<Fact>) -> Option<(MarkerId, u64)> {
        let mut state = State::default();
        (1..).zip(facts).for_each(|(n, fact)| state.apply(n, fact));
        state.disks.get(&node()).map(|disk| (disk.marker_id, disk.since))
    }

    #[test]
    fn what_a_node_was_to_hold_when_it_joined_is_known_for_ever() {
        let placed = |copies: u32| {
            let placement = Placement { copies: copies.try_into().ok(), ..Placement::default() };
            Fact::PlacementChanged(PlacementChanged { placement })
        };
        let takes_earlier = |facts: Vec<Fact>| {
            let mut state = State::default();
            (1..).zip(facts).for_each(|(n, fact)| state.apply(n, fact));
            state.disks.get(&node()).map(|disk| (disk.joined, disk.takes_earlier))
        };
        assert_eq!(takes_earlier(vec![joined("node-a", 1), placed(2)]), Some((1, true)));
        assert_eq!(takes_earlier(vec![placed(2), joined("node-a", 1), placed(0), wiped(1, 2)]), Some((2, false)));
        assert_eq!(takes_earlier(vec![placed(2), placed(0), joined("node-a", 1)]), Some((3, true)));
    }

    #[test]
    fn the_rules_are_those_of_the_fold() {
        let other = || joined("node-b", 9);
        assert_eq!(after(vec![wiped(1, 2)]), None);
        assert_eq!(after(vec![joined("node-a", 1), joined("node-a", 2)]), Some((marker(1), 1)));
        assert_eq!(after(vec![joined("node-a", 1), wiped(1, 2)]), Some((marker(2), 2)));
        assert_eq!(after(vec![joined("node-a", 1), wiped(3, 2)]), Some((marker(1), 1)));
        assert_eq!(after(vec![joined("node-a", 1), retired(1)]), Some((marker(1), 1)));
        assert_eq!(after(vec![joined("node-a", 1), other(), retired(2)]), Some((marker(1), 1)));
        let left = || vec![joined("node-a", 1), other(), retired(1)];
        assert_eq!(after([left(), vec![joined("node-a", 1)]].concat()), None, "the same disk does not come back");
        assert_eq!(after([left(), vec![joined("node-a", 2)]].concat()), Some((marker(2), 4)));
        assert_eq!(after(vec![joined("node-a", 1), other(), retired(1)]), None);
        assert_eq!(after(vec![joined("node-a", 1), other(), retired(1), joined("node-a", 3)]), Some((marker(3), 4)));
    }
}
