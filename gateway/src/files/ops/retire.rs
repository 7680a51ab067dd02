//! Taking a node out of the cluster, once everything that it holds is elsewhere.
//!
//! A node that is being retired gets no new uploads, so that what it holds comes to an end even while many come in: that it
//! is, is told to all gateways in the bucket of nodes, for as long as somebody keeps asking for it. What a gateway that had
//! not heard of it put there at the last moment is waited for afterwards: the node is still configured, and so still read
//! from.

use std::time::Duration;

use blobs::Standing;
use bytes::Bytes;
use catalog::{Cluster, NodeRow, Outcome};
use journal::{Bucket, BucketName};
use proto::{EventId, Fact, Fingerprint, Kind, NodeId, NodeRetired, Sequence, SpaceId};
use runtime::shutdown::Shutdown;
use tracing::{debug, info};

use super::redrive::node_not_found;
use crate::error::{Code, Error, Result};
use crate::files::request::Author;
use crate::files::series::Series;
use crate::files::{Decision, Files, Opened};

/// How often a gateway asks which nodes are part of the cluster, and which are being retired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far the retirement of a node has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Retirement {
    /// The event that retired it.
    pub(crate) at: Option<Sequence>,
    /// What is waited for; it is retired, and may be taken out of the configuration, when this is none.
    pub(crate) waiting_for: Option<String>,
    /// Blobs that are not elsewhere yet.
    pub(crate) blobs: u64,
}

/// What is known of a request before it is made again.
enum Done {
    /// It was done with the event there.
    At(u64),
    /// It is to be done under this id.
    NotYet(EventId),
}

impl Files {
    /// Retires a node, if nothing is lost by it; else says what is waited for, and is to be asked again. The same request
    /// again retires nothing once more, also when the node has joined again since.
    pub(crate) async fn retire_node(&self, node: &NodeId, author: &Author) -> Result<Retirement> {
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let opened = self.ready()?;
        // Uploads that the catalog has not come to yet may be on that node alone.
        self.reach_head().await?;
        let words = [node.as_str()];
        let series = self.series(author, SpaceId::NONE, Fingerprint::of_series("retire_node", SpaceId::NONE, &words));
        let event_id = match self.retired_by(&series).await? {
            Done::At(n) => return self.since_retired(node, n).await,
            Done::NotYet(event_id) => event_id,
        };
        let learning = opened.learning.lock().await;
        let cluster = self.catalog().cluster().await?;
        let joined = &cluster.nodes;
        let Some(row) = joined.iter().find(|row| row.node == *node) else {
            let n = self.last_retired(opened, node).await?;
            return self.since_retired(node, self.look_into(&series, n).await?).await;
        };
        if joined.len() == 1 {
            return Err(Error::new(
                Code::LastNode,
                format!("{node} is the last node of the cluster; it cannot be retired"),
            ));
        }
        opened.nodes.set_standing(node, Standing::Leaving);
        opened.journal.bucket(BucketName::Nodes).await?.put(&key(node), Bytes::from_static(b"1")).await?;
        let others: Vec<NodeId> = opened
            .nodes
            .all()
            .iter()
            .filter(|other| other.id() != node && other.state().is_healthy())
            .map(|other| other.id().clone())
            .collect();
        self.take_layout(&cluster);
        drop(learning);
        let (blobs, waiting_for) = self.not_yet_elsewhere(node, &others).await?;
        if blobs > 0 {
            return Ok(Retirement { at: None, waiting_for: Some(waiting_for), blobs });
        }
        let n = self.publish_retired(row, &series, event_id).await?;
        opened.nodes.set_standing(node, Standing::Gone);
        self.since_retired(node, n).await
    }

    /// Whether the request has retired its node, or had found it retired, before. An attempt that the fold rejected did
    /// nothing: the next one has another id, that every attempt finds.
    async fn retired_by(&self, series: &Series) -> Result<Done> {
        let mut event_id = series.first;
        while let Some(row) = self.receipt_of(series, event_id).await? {
            if row.outcome == Outcome::Applied {
                return Ok(Done::At(row.seq));
            }
            event_id = event_id.second_try();
        }
        Ok(self.looked_into(series).await?.map_or(Done::NotYet(event_id), Done::At))
    }

    /// How many blobs a node holds that are not where they shall be without it, and what that is called.
    async fn not_yet_elsewhere(&self, node: &NodeId, others: &[NodeId]) -> Result<(u64, String)> {
        let layout = self.ready()?.nodes.layout();
        if layout.placement.copies.is_none() {
            let held = self.catalog().held_only_by(node, others).await?;
            return Ok((held.only_there + held.pending_elsewhere, waiting(node, held)));
        }
        // Rebalancing asks for the copies on the nodes that take its place.
        let blobs = self.unsafe_without(node, &layout, others).await?;
        let are = if blobs == 1 { "1 blob of it that is" } else { &format!("{blobs} blobs of it that are") };
        Ok((blobs, format!("{are} not yet on all the nodes that shall hold them without it")))
    }

    async fn publish_retired(&self, row: &NodeRow, series: &Series, event_id: EventId) -> Result<u64> {
        let node = &row.node;
        let fact = Fact::NodeRetired(NodeRetired { node: node.clone(), marker_id: row.marker_id });
        let receipt = self.add(series, event_id, "", fact).await?;
        match (receipt.decision, receipt.reason.as_deref()) {
            (Decision::Rejected, Some("last_node")) => {
                Err(Error::new(Code::LastNode, format!("{node} is the last node of the cluster; it cannot be retired")))
            }
            // Somebody else retired it, or it was found wiped, at the same time: who asks again learns which.
            (Decision::Rejected, reason) => {
                let problem = format!("{node} has changed meanwhile; ask again");
                Err(Error::new(Code::CatalogBehind, problem).because(reason.unwrap_or_default()))
            }
            _ => {
                info!(node.id = %node, "node {node} was retired with event {}", receipt.sequence);
                Ok(receipt.sequence.n)
            }
        }
    }

    /// The last event that says of a node that it was retired.
    async fn last_retired(&self, opened: &Opened, node: &NodeId) -> Result<u64> {
        let (mut from, mut at) = (1, None);
        while let Some(recorded) = opened.journal.next_of(Kind::NodeRetired, from).await? {
            from = recorded.n + 1;
            match recorded.decode().map(|event| event.fact) {
                Ok(Fact::NodeRetired(retired)) if retired.node == *node => at = Some(recorded.n),
                Ok(_) | Err(_) => {}
            }
        }
        at.ok_or_else(|| node_not_found(node))
    }

    /// What there is to say of a node that was retired with the event at `n`.
    async fn since_retired(&self, node: &NodeId, n: u64) -> Result<Retirement> {
        let blobs = self.catalog().still_on_their_way_from(node).await?;
        let waiting_for = (blobs > 0).then(|| {
            format!("{node} is retired, but took {blobs} blobs at the last moment that are still being copied from it")
        });
        Ok(Retirement { at: Some(self.sequence(n)?), waiting_for, blobs })
    }

    /// Keeps in mind which nodes are part of the cluster and which are being retired, until the shutdown is soft.
    pub(crate) async fn watch_standings(self, shutdown: Shutdown) {
        loop {
            if let Err(error) = self.look_at_standings().await {
                debug!("how the nodes stand in the cluster is not known now: {error:#}");
            }
            tokio::select! {
                biased;
                () = shutdown.soft_cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Learns from the catalog, which is answered, how the nodes stand in the cluster and how blobs are placed on them.
    pub(crate) async fn look_at_standings(&self) -> Result<Cluster> {
        let opened = self.ready()?;
        let _alone = opened.learning.lock().await;
        let cluster = self.catalog().cluster().await?;
        let joined = &cluster.nodes;
        // A catalog that knows no node has only begun.
        if joined.is_empty() {
            return Ok(cluster);
        }
        let bucket = opened.journal.bucket(BucketName::Nodes).await?;
        for node in opened.nodes.all() {
            let is_member = joined.iter().any(|row| row.node == *node.id());
            let standing = if !is_member {
                Standing::Gone
            } else if is_leaving(&bucket, node.id()).await? {
                Standing::Leaving
            } else {
                Standing::Member
            };
            if standing != opened.nodes.standing(node.id()) {
                let id = node.id();
                info!(node.id = %id, "node {id} is {} now", word(standing));
                opened.nodes.set_standing(id, standing);
            }
        }
        self.take_layout(&cluster);
        Ok(cluster)
    }
}

async fn is_leaving(bucket: &Bucket, node: &NodeId) -> Result<bool> {
    Ok(bucket.get(&key(node)).await?.is_some())
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Member => "a member of the cluster",
        Standing::Leaving => "being retired, and gets no new uploads",
        Standing::Gone => "no part of the cluster, and gets no uploads",
    }
}

/// Says that a node is being retired. Ends by itself when nobody asks for it any more.
fn key(node: &NodeId) -> String {
    format!("retiring.{node}")
}

fn waiting(node: &NodeId, held: catalog::Held) -> String {
    let blobs = |n: u64| if n == 1 { "1 blob".to_owned() } else { format!("{n} blobs") };
    let only_there = format!("{} that only {node} holds", blobs(held.only_there));
    let elsewhere = format!("{} that it took and that other nodes still lack", blobs(held.pending_elsewhere));
    match (held.only_there, held.pending_elsewhere) {
        (_, 0) => only_there,
        (0, _) => elsewhere,
        _ => format!("{only_there}, {elsewhere}"),
    }
}
