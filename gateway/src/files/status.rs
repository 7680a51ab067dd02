//! What the system is doing.

use std::collections::BTreeMap;
use std::time::Duration;

use blobs::Health;
use journal::{Archived, Head, Refill};
use proto::{Incarnation, NodeId};
use tokio::time::{Instant, timeout};

use super::ops;
use super::{Files, JournalState};
use crate::error::{Code, Error, Result};

/// How everything stands, as far as it could be told.
#[derive(Debug)]
pub(crate) struct Status {
    /// The journal; an error until it is open.
    pub(crate) journal: Result<JournalStatus>,
    /// What the catalog counts, in one snapshot.
    pub(crate) catalog: Result<catalog::Status>,
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
    /// How far it went at its last answer, which is this one unless it gave none.
    pub(crate) last_head: Head,
}

/// How a node stands.
#[derive(Debug)]
pub(crate) struct NodeStatus {
    /// The node.
    pub(crate) node: NodeId,
    /// As this gateway sees it; `None` for a node that it is not configured for.
    pub(crate) health: Option<Health>,
    /// What the catalog counts; `None` for a node that has not joined, and while the catalog does not answer.
    pub(crate) counted: Option<catalog::NodeStatus>,
    /// The filling of it that is under way.
    pub(crate) refill: Option<Refill>,
    /// How far it has the journal in its archive, as far as that is known.
    pub(crate) archived: Option<Archived>,
}

impl Files {
    /// How everything stands. What does not answer within `patience` is left out, as is what cannot answer.
    pub(crate) async fn status(&self, patience: Duration) -> Status {
        let started = Instant::now();
        let (catalog, journal) = tokio::join!(self.count(patience), self.journal_status(patience));
        let mut nodes: BTreeMap<NodeId, NodeStatus> = BTreeMap::new();
        for node in self.opened().map(|opened| opened.nodes.all()).unwrap_or_default() {
            let id = node.id().clone();
            nodes.insert(id.clone(), NodeStatus { health: Some(node.state()), ..NodeStatus::new(id) });
        }
        if let Ok(counted) = &catalog {
            for counts in &counted.nodes {
                let unknown = || NodeStatus::new(counts.node.clone());
                nodes.entry(counts.node.clone()).or_insert_with(unknown).counted = Some(counts.clone());
            }
        }
        // A journal that does not answer is not asked for more.
        if journal.as_ref().is_ok_and(|journal| journal.head.is_some()) {
            let left = patience.saturating_sub(started.elapsed());
            // What is known by then is told.
            timeout(left, self.ask_journal(&mut nodes)).await.ok();
        }
        Status { journal, catalog, nodes: nodes.into_values().collect() }
    }

    async fn count(&self, patience: Duration) -> Result<catalog::Status> {
        let (now, window) = (self.inner().process.clock.now(), self.inner().limits.eta_window);
        let Ok(counted) = timeout(patience, self.catalog().status(now, window)).await else {
            let problem = "the catalog cannot be read now; nothing is lost, try again later";
            let detail = format!("it did not count within {patience:?}");
            return Err(Error::new(Code::CatalogUnavailable, problem).because(detail));
        };
        Ok(counted?)
    }

    async fn journal_status(&self, patience: Duration) -> Result<JournalStatus> {
        let journal = &self.ready()?.journal;
        let asked_at = Instant::now();
        let asked = timeout(patience, journal.head()).await;
        // Whoever has little patience must not make writes stop.
        if let Ok(answer) = &asked {
            let state = answer.as_ref().map_or(JournalState::Unreachable, |head| JournalState::Reachable(*head));
            self.note_journal(state, asked_at);
        }
        let head = asked.ok().and_then(Result::ok);
        let last_head = head.unwrap_or_else(|| journal.recent_head());
        Ok(JournalStatus { incarnation: journal.identity().incarnation, head, last_head })
    }

    /// What the journal's buckets tell of the nodes.
    async fn ask_journal(&self, nodes: &mut BTreeMap<NodeId, NodeStatus>) {
        let Some(opened) = self.opened() else { return };
        for (id, node) in nodes {
            node.refill = ops::refill_under_way(&opened.journal, id).await;
            node.archived = opened.journal.archived(id).await.ok().flatten();
        }
    }
}

// === impl Status ===

impl Status {
    /// Events in the journal after the catalog's checkpoint, as of the journal's last answer; none while one of them has
    /// given none.
    pub(crate) fn events_behind(&self) -> Option<u64> {
        let (journal, catalog) = (self.journal.as_ref().ok()?, self.catalog.as_ref().ok()?);
        Some(journal.last_head.n.saturating_sub(catalog.checkpoint.n))
    }
}

// === impl NodeStatus ===

impl NodeStatus {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, health: None, counted: None, refill: None, archived: None }
    }
}
