//! What the system is doing.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use blobs::Health;
use journal::{Head, Refill};
use proto::{Incarnation, NodeId, Sequence};
use tokio::time::Instant;

use super::ops;
use super::{Files, JournalState};
use crate::error::Result;

/// How everything stands.
#[derive(Debug)]
pub(crate) struct Status {
    /// The journal.
    pub(crate) journal: JournalStatus,
    /// The catalog.
    pub(crate) catalog: catalog::Status,
    /// Events in the journal after the catalog's checkpoint; as of the journal's last answer, when it gives none now.
    pub(crate) events_behind: u64,
    /// The nodes, by id.
    pub(crate) nodes: Vec<NodeStatus>,
}

/// How the journal stands.
#[derive(Debug)]
pub(crate) struct JournalStatus {
    /// Which life of it.
    pub(crate) incarnation: Incarnation,
    /// How far it goes; `None` while it does not answer.
    pub(crate) head: Option<Head>,
}

/// How a node stands.
#[derive(Debug)]
pub(crate) struct NodeStatus {
    /// The node.
    pub(crate) node: NodeId,
    /// As this gateway sees it; `None` for a node that it is not configured for.
    pub(crate) health: Option<Health>,
    /// What the catalog counts; `None` for a node that has not joined.
    pub(crate) counted: Option<catalog::NodeStatus>,
    /// Until nothing is pending, as fast as it went lately.
    pub(crate) eta: Option<Duration>,
    /// The filling of it that is under way.
    pub(crate) refill: Option<Refill>,
}

impl Files {
    /// How everything stands.
    pub(crate) async fn status(&self) -> Result<Status> {
        let opened = self.ready()?;
        let (counted, asked) = tokio::join!(self.catalog().status(), opened.journal.head());
        let counted = counted?;
        let head = asked.ok();
        let known = head.map_or_else(|| opened.journal.recent_head().n, |head| head.n);
        self.note_journal(head.map_or(JournalState::Unreachable, JournalState::Reachable));

        let mut nodes: BTreeMap<NodeId, NodeStatus> = BTreeMap::new();
        for node in opened.nodes.all() {
            let id = node.id().clone();
            nodes.insert(id.clone(), NodeStatus { health: Some(node.state()), ..NodeStatus::new(id) });
        }
        for counts in &counted.nodes {
            let unknown = || NodeStatus::new(counts.node.clone());
            nodes.entry(counts.node.clone()).or_insert_with(unknown).counted = Some(counts.clone());
        }
        self.estimate(counted.checkpoint.n, &mut nodes);
        // A journal that does not answer is not asked for more.
        if head.is_some() {
            for (id, node) in &mut nodes {
                node.refill = ops::refill_under_way(&opened.journal, id).await;
            }
        }
        Ok(Status {
            journal: JournalStatus { incarnation: opened.journal.identity().incarnation, head },
            events_behind: known.saturating_sub(counted.checkpoint.n),
            catalog: counted,
            nodes: nodes.into_values().collect(),
        })
    }
}

impl Files {
    /// Tells how soon each backlog is gone.
    fn estimate(&self, checkpoint: u64, nodes: &mut BTreeMap<NodeId, NodeStatus>) {
        let now = Instant::now();
        let mut backlogs = self.inner().backlogs.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, node) in nodes.iter_mut() {
            let bytes = node.counted.as_ref().map(|counted| counted.bytes_pending);
            node.eta = bytes.and_then(|bytes| backlogs.note(id, now, checkpoint, bytes));
        }
        backlogs.keep(|node| nodes.contains_key(node));
    }
}

// === impl NodeStatus ===

impl NodeStatus {
    fn new(node: NodeId) -> Self {
        Self { node, health: None, counted: None, eta: None, refill: None }
    }
}

// === impl Status ===

impl Status {
    /// The catalog's checkpoint as clients see it.
    pub(crate) fn checkpoint(&self) -> Sequence {
        self.catalog.checkpoint.sequence()
    }
}
