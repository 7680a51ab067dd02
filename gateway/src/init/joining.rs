//! Making nodes part of the cluster.

use std::collections::HashMap;

use blobs::{Marker, Node};
use journal::{Journal, Markers};
use proto::{ClusterId, Fact, MarkerId, NodeId, NodeJoined};
use runtime::program::Process;
use tracing::warn;

use super::nodes::{Looked, Seen};
use super::{event_id, publish, say};
use crate::config::Config;

/// What is to be done with a node.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: it has joined.
    Done,
    /// Write a marker, then say that it joined.
    Mark,
    /// Say that it joined: it carries a marker of this cluster, but whoever wrote it did not come to say so.
    Join(MarkerId),
    /// Nothing: it has joined, and its bucket was emptied or replaced since. A running gateway takes it back.
    Wiped,
    /// Nothing: it was retired, with the marker that its bucket carries.
    Retired,
    /// Nothing: it does not answer, but has joined.
    Silent,
    /// Nothing can be done before somebody has looked, for this reason.
    Refuse(String),
}

/// Makes every node part of the cluster that can be; how many cannot.
pub(crate) async fn join_all(
    journal: &Journal,
    looked: &[Looked],
    config: &Config,
    process: &Process,
) -> anyhow::Result<usize> {
    let markers = Markers::new(journal.clone());
    markers.refresh().await?;
    let joined = joined(&markers, looked);
    let cluster = journal.identity().cluster;
    let mut refused = 0;
    for one in looked {
        let id = one.node.id();
        // Another `gateway init` may have been at it since the first look.
        let seen = match &one.seen {
            Seen::Unreachable(reason) => Seen::Unreachable(reason.clone()),
            Seen::Marker(_) | Seen::Nothing => one.node.read_marker().await?.map_or(Seen::Nothing, Seen::Marker),
        };
        let bucket = if one.bucket_created { "bucket created, " } else { "" };
        let was_retired = match &seen {
            Seen::Marker(marker) => markers.was_retired(marker.marker_id),
            Seen::Nothing | Seen::Unreachable(_) => false,
        };
        let line = match step(cluster, id, &seen, joined.get(id).copied(), was_retired) {
            Step::Retired => {
                "was retired, and is left alone: take it out of the configuration, or empty its bucket so that it \
                              can join anew"
                    .to_owned()
            }
            Step::Done => "already there".to_owned(),
            Step::Mark => {
                let marker_id = mark(&one.node, cluster, process).await?;
                let n = join(journal, &one.node, marker_id, process).await?;
                format!("marker written, joined as event {n}")
            }
            Step::Join(marker_id) => {
                let n = join(journal, &one.node, marker_id, process).await?;
                format!("marker already there, joined as event {n}")
            }
            Step::Wiped => {
                warn!(node.id = %id, "node {id} has joined before, but its bucket carries no marker");
                "has joined before, but its bucket carries no marker: it was wiped or replaced; a running gateway takes it \
                 back, and it is filled from the others"
                    .to_owned()
            }
            Step::Silent => {
                let wait = runtime::config::duration::format(config.init.node_wait);
                format!("already there; it did not answer within {wait}")
            }
            Step::Refuse(reason) => {
                refused += 1;
                format!("refused: {reason}")
            }
        };
        say(&format!("node {id}: {bucket}{line}"))?;
    }
    Ok(refused)
}

fn step(cluster: ClusterId, id: &NodeId, seen: &Seen, joined: Option<MarkerId>, was_retired: bool) -> Step {
    match (seen, joined) {
        (Seen::Marker(marker), _) if marker.cluster_id != cluster => Step::Refuse(format!(
            "its bucket carries the marker of the cluster {}, not of {cluster}",
            marker.cluster_id
        )),
        (Seen::Marker(marker), _) if marker.node_id != *id => {
            Step::Refuse(format!("its bucket carries the marker of node {}", marker.node_id))
        }
        (Seen::Marker(marker), Some(known)) if marker.marker_id == known => Step::Done,
        (Seen::Marker(marker), Some(known)) => {
            let found = marker.marker_id;
            Step::Refuse(format!(
                "its bucket carries the marker {found}, but the journal knows {known}: was the disk replaced?"
            ))
        }
        (Seen::Marker(_), None) if was_retired => Step::Retired,
        (Seen::Marker(marker), None) => Step::Join(marker.marker_id),
        (Seen::Nothing, Some(_)) => Step::Wiped,
        (Seen::Nothing, None) => Step::Mark,
        (Seen::Unreachable(_), Some(_)) => Step::Silent,
        (Seen::Unreachable(reason), None) => Step::Refuse(format!("it has never joined and cannot now: it {reason}")),
    }
}

/// The marker of every node that is part of the cluster, as the journal tells.
fn joined(markers: &Markers, looked: &[Looked]) -> HashMap<NodeId, MarkerId> {
    let mut joined = HashMap::new();
    for one in looked {
        let id = one.node.id();
        joined.extend(markers.get(id).map(|disk| (id.clone(), disk.marker_id)));
    }
    joined
}

async fn mark(node: &Node, cluster: ClusterId, process: &Process) -> anyhow::Result<MarkerId> {
    let marker = Marker {
        cluster_id: cluster,
        node_id: node.id().clone(),
        marker_id: MarkerId::new(process.ids.v4()),
        created_at: process.clock.now(),
    };
    node.write_marker(&marker).await?;
    Ok(marker.marker_id)
}

async fn join(journal: &Journal, node: &Node, marker_id: MarkerId, process: &Process) -> anyhow::Result<u64> {
    let id = event_id(journal.identity().cluster, &format!("node_joined/{marker_id}"));
    let fact = Fact::NodeJoined(NodeJoined {
        node: node.id().clone(),
        marker_id,
        endpoint: node.endpoint().to_owned(),
        bucket: node.bucket().to_owned(),
    });
    publish(journal, process, id, fact).await
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn cluster(n: u128) -> ClusterId {
        ClusterId::new(Uuid::from_u128(n))
    }

    fn marker_id(n: u128) -> MarkerId {
        MarkerId::new(Uuid::from_u128(n))
    }

    fn marker(of_cluster: u128, node: &str, id: u128) -> Seen {
        Seen::Marker(Marker {
            cluster_id: cluster(of_cluster),
            node_id: node.parse().unwrap(),
            marker_id: marker_id(id),
            created_at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    fn decide(seen: &Seen, joined: Option<u128>) -> Step {
        step(cluster(1), &"node-a".parse().unwrap(), seen, joined.map(marker_id), false)
    }

    #[test]
    fn a_retired_node_joins_only_with_another_disk() {
        let id = "node-a".parse().unwrap();
        assert_eq!(step(cluster(1), &id, &marker(1, "node-a", 5), None, true), Step::Retired);
        assert_eq!(step(cluster(1), &id, &Seen::Nothing, None, false), Step::Mark);
    }

    #[test]
    fn a_new_node_is_marked_and_joins() {
        assert_eq!(decide(&Seen::Nothing, None), Step::Mark);
    }

    #[test]
    fn a_node_whose_join_was_not_said_joins() {
        assert_eq!(decide(&marker(1, "node-a", 5), None), Step::Join(marker_id(5)));
    }

    #[test]
    fn a_node_that_has_joined_is_left_alone() {
        assert_eq!(decide(&marker(1, "node-a", 5), Some(5)), Step::Done);
        assert_eq!(decide(&Seen::Nothing, Some(5)), Step::Wiped);
        assert_eq!(decide(&Seen::Unreachable("is down".to_owned()), Some(5)), Step::Silent);
    }

    #[test]
    fn what_does_not_belong_here_is_refused() {
        for (seen, joined) in [
            (marker(2, "node-a", 5), None),
            (marker(2, "node-a", 5), Some(5)),
            (marker(1, "node-b", 5), None),
            (marker(1, "node-a", 6), Some(5)),
            (Seen::Unreachable("is down".to_owned()), None),
        ] {
            assert!(matches!(decide(&seen, joined), Step::Refuse(_)), "{seen:?} {joined:?}");
        }
    }
}
