//! All nodes of the cluster.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use proto::{BlobId, ClusterId, Layout, NodeId};
use runtime::clock::Clock;
use runtime::retry::Backoff;
use runtime::tasks::Tasks;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::blocks::Blocks;
use crate::commit::remove;
use crate::copy::Recent;
use crate::node::OtherMarker;
use crate::pace::Hedges;
use crate::{BlobRef, Config, Error, Health, Node, NodeConfig, ObjectMeta, Read, Upload, Written};

/// Every configured node, with its breaker and its health check. Clones share them.
#[derive(Clone, Debug)]
pub struct Nodes(Arc<Inner>);

/// How a node stands in the cluster, as far as its user knows; not what it is fit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It takes its part of the work.
    #[default]
    Member,
    /// It shall be retired: it takes new blobs only when no other node can.
    Leaving,
    /// It is no part of the cluster: it takes no new blobs. What is on it can still be read.
    Gone,
}

#[derive(Debug)]
struct Inner {
    nodes: Vec<Node>,
    /// Of those that are not simply members.
    standings: RwLock<HashMap<NodeId, Standing>>,
    layout: RwLock<Arc<Layout>>,
    config: Config,
    send_budget: Arc<Semaphore>,
    blocks: Blocks,
    recent: Recent,
    prefetch_budget: Arc<Semaphore>,
    hedges: Arc<Hedges>,
    cancel: CancellationToken,
}

// === impl Nodes ===

impl Nodes {
    /// Sets the nodes up, looks at each of them once, all together, and starts a health check for each. A node that is
    /// down is no error: it is [`Health::Unavailable`] until it answers.
    ///
    /// With an `expected_cluster`, a node whose marker is missing or another's is [`Health::WrongMarker`]; without one
    /// (`gateway init`) a missing marker is accepted.
    pub async fn open(
        configs: &[NodeConfig],
        config: Config,
        expected_cluster: Option<ClusterId>,
        tasks: &Tasks,
        clock: Clock,
    ) -> Result<Self, Error> {
        let nodes: Result<Vec<Node>, Error> = configs
            .iter()
            .map(|node| Node::new(node.clone(), config.clone(), expected_cluster, clock.clone()))
            .collect();
        let nodes = nodes?;
        let mut looks = JoinSet::new();
        for node in nodes.clone() {
            // What a look finds is in the breaker afterwards.
            looks.spawn(async move { node.look().await.map(drop) });
        }
        looks.join_all().await;
        let cancel = tasks.shutdown().hard_token().clone();
        for node in nodes.clone() {
            let (config, cancel) = (config.clone(), tasks.shutdown().soft_token().clone());
            tasks.spawn(format!("blobs.health.{}", node.id()), watch(node, config, cancel));
        }
        let send_budget = Arc::new(Semaphore::new(permits(config.send_budget)));
        let prefetch_budget = Arc::new(Semaphore::new(permits(config.prefetch_budget)));
        let (recent, standings) = (Recent::new(config.copy_memory), RwLock::default());
        let members = nodes.iter().map(|node| node.id().clone()).collect();
        let layout = RwLock::new(Arc::new(Layout { members, ..Layout::default() }));
        let hedges = Arc::new(Hedges::new(config.hedge_percent));
        let blocks = Blocks::default();
        let inner =
            Inner { nodes, standings, layout, config, send_budget, blocks, recent, prefetch_budget, hedges, cancel };
        Ok(Self(Arc::new(inner)))
    }

    /// From now on every health check also asks `other` about the marker that it finds, so that an earlier disk of a node
    /// is refused too. Looks at all nodes once; only the first call counts.
    pub async fn expect(&self, other: OtherMarker) {
        let mut looks = JoinSet::new();
        for node in self.0.nodes.clone() {
            node.expect(other.clone());
            // What a look finds is in the breaker afterwards.
            looks.spawn(async move { node.look().await.map(drop) });
        }
        looks.join_all().await;
    }

    /// The node of that name.
    pub fn get(&self, id: &NodeId) -> Option<&Node> {
        self.0.nodes.iter().find(|node| node.id() == id)
    }

    /// All nodes, in the order of the configuration.
    pub fn all(&self) -> &[Node] {
        &self.0.nodes
    }

    /// All nodes in the order in which they should be asked for `blob`: those that shall hold it first, as
    /// [`proto::Placement::order`] has them, but the healthy ones before all others, and those with a wrong marker last.
    pub fn ranked(&self, blob: BlobId) -> Vec<Node> {
        let layout = self.layout();
        // What is no member is placed last, by the same rules.
        let (members, others): (Vec<_>, Vec<_>) =
            self.0.nodes.iter().map(Node::id).partition(|id| layout.members.contains(id));
        let mut ordered = layout.placement.order(blob, members);
        ordered.extend(layout.placement.order(blob, others));
        let mut ranked: Vec<Node> = ordered.iter().filter_map(|id| self.get(id).cloned()).collect();
        // Stable: among those that are as fit, the order stays.
        ranked.sort_by_cached_key(|node| self.fitness(node));
        ranked
    }

    /// How blobs are placed, as far as its user knows; on every configured node, unless it was said otherwise.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.0.layout.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says how blobs are placed from now on.
    pub fn set_layout(&self, layout: Layout) {
        *self.0.layout.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(layout);
    }

    /// How a node stands in the cluster; a member, unless it was said otherwise.
    pub fn standing(&self, id: &NodeId) -> Standing {
        self.0.standings.read().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or_default()
    }

    /// Says how a node stands in the cluster from now on.
    pub fn set_standing(&self, id: &NodeId, standing: Standing) {
        self.0.standings.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), standing);
    }

    /// Begins to write `blob` to one node. Nothing is sent before the first slice is full or the upload is finished.
    pub fn begin_upload(&self, blob: BlobId, meta: ObjectMeta) -> Upload {
        Upload::new(self.clone(), blob, meta)
    }

    /// Deletes a blob that was written but never published; best effort, logged. Nobody else can know of it.
    pub async fn discard(&self, blob: BlobId, written: &Written) {
        if let Some(node) = self.get(&written.node) {
            remove(node, blob, &[blob.key(), blob.parts_key()]).await;
        }
    }

    /// Reads `length` bytes of `blob` from `offset`, from any of `holders`; what lies past its end is not read. Nothing
    /// is asked before the first [`Read::next`].
    pub fn read(&self, blob: BlobRef, holders: &[NodeId], offset: u64, length: u64) -> Read {
        Read::new(self, blob, holders, offset, length)
    }

    fn fitness(&self, node: &Node) -> u8 {
        match (self.standing(node.id()), node.state()) {
            (Standing::Gone, _) | (_, Health::WrongMarker { .. }) => 3,
            (Standing::Member | Standing::Leaving, Health::Unavailable { .. }) => 2,
            (Standing::Leaving, Health::Healthy) => 1,
            (Standing::Member, Health::Healthy) => 0,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.0.recent
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.0.blocks
    }

    pub(crate) fn send_budget(&self) -> &Arc<Semaphore> {
        &self.0.send_budget
    }

    pub(crate) fn prefetch_budget(&self) -> &Arc<Semaphore> {
        &self.0.prefetch_budget
    }

    /// What may be spent on asking twice.
    pub(crate) fn hedges(&self) -> &Arc<Hedges> {
        &self.0.hedges
    }

    /// Cancelled when what is in flight must be let go of.
    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.0.cancel
    }
}

fn permits(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Looks at the marker every interval; while the node is in trouble, with the breaker's delays.
async fn watch(node: Node, config: Config, cancel: CancellationToken) {
    let mut backoff = Backoff::new(&config.breaker);
    let mut answered = true;
    loop {
        let delay = if answered && node.state().is_healthy() {
            config.health_interval
        } else {
            if node.breaker().take_proven() {
                backoff.reset();
            }
            backoff.next_delay()
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = node.breaker().opened() => continue,
            () = tokio::time::sleep(delay) => {}
        }
        answered = node.look().await.is_ok();
    }
}
