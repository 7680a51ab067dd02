//! What the nodes' buckets carry.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use blobs::{Marker, Node, Nodes};
use proto::NodeId;
use runtime::shutdown::Shutdown;
use runtime::waiting::Stopped;
use tokio::task::JoinSet;

use crate::config::Init;

/// A node, and what it carries.
#[derive(Clone)]
pub(crate) struct Looked {
    /// The node.
    pub(crate) node: Node,
    /// Whether its bucket was made just now.
    pub(crate) bucket_created: bool,
    /// What it carries.
    pub(crate) seen: Seen,
}

/// What a node carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A marker, maybe another cluster's.
    Marker(Marker),
    /// None.
    Nothing,
    /// It did not answer in time, for this reason.
    Unreachable(String),
}

/// Makes the buckets that are missing and reads the markers, all nodes together; waits for those that do not answer,
/// but not for ever.
pub(crate) async fn look(nodes: &Nodes, config: &Init, shutdown: &Shutdown) -> anyhow::Result<Vec<Looked>> {
    let mut looks = JoinSet::new();
    for node in nodes.all() {
        let (node, config, shutdown) = (node.clone(), config.clone(), shutdown.clone());
        looks.spawn(async move { look_at(node, &config, &shutdown).await });
    }
    let mut looked: Vec<Looked> = looks.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
    looked.sort_by(|a, b| a.node.id().cmp(b.node.id()));
    Ok(looked)
}

/// Refuses markers of different clusters, and nodes that were swapped: a person must look before anything is written.
pub(crate) fn refuse_strangers(looked: &[Looked]) -> anyhow::Result<()> {
    let markers = looked.iter().filter_map(|one| match &one.seen {
        Seen::Marker(marker) => Some((one.node.id(), marker)),
        Seen::Nothing | Seen::Unreachable(_) => None,
    });
    let mut first: Option<(&NodeId, &Marker)> = None;
    for (id, marker) in markers {
        if marker.node_id != *id {
            bail!("the bucket of node {id} carries the marker of node {}: were they swapped?", marker.node_id);
        }
        match first {
            Some((other, known)) if known.cluster_id != marker.cluster_id => {
                let (ours, theirs) = (known.cluster_id, marker.cluster_id);
                bail!("the nodes belong to different clusters: {other} to {ours}, {id} to {theirs}");
            }
            Some(_) => {}
            None => first = Some((id, marker)),
        }
    }
    Ok(())
}

/// The names of the nodes that carry such a thing.
pub(crate) fn names(looked: &[Looked], wanted: impl Fn(&Seen) -> bool) -> Vec<NodeId> {
    looked.iter().filter(|one| wanted(&one.seen)).map(|one| one.node.id().clone()).collect()
}

async fn look_at(node: Node, config: &Init, shutdown: &Shutdown) -> anyhow::Result<Looked> {
    let what = format!("node {} at {}", node.id(), node.endpoint());
    let bucket_created = AtomicBool::new(false);
    let looking = runtime::wait_for(&what, &config.retry, shutdown.soft_token(), async || {
        if node.ensure_bucket().await? {
            bucket_created.store(true, Ordering::Relaxed);
        }
        node.read_marker().await
    });
    let looked = tokio::time::timeout(config.node_wait, looking).await;
    let seen = match looked {
        Ok(Ok(Some(marker))) => Seen::Marker(marker),
        Ok(Ok(None)) => Seen::Nothing,
        Ok(Err(Stopped::Cancelled(cancelled))) => return Err(cancelled.into()),
        Ok(Err(Stopped::Failed(error))) => return Err(error.into()),
        Err(_) => Seen::Unreachable(node.state().reason().unwrap_or("does not answer").to_owned()),
    };
    Ok(Looked { node, bucket_created: bucket_created.into_inner(), seen })
}
