//! Fewer copies than nodes: which nodes they are on, and what moves when the nodes change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1::{GetPlacementRequest, PlacementNode, SetPlacementRequest, UploadMetadata};
use proto::{Fact, FileUploaded, NodeId, Placement};
use tests::{Cluster, Content, chunks, eventually, metadata, reason_of, run};
use tonic::Code;

use super::world::{Log, attentive, has};
use crate::s3;

pub(super) fn placed(builder: Builder) -> Builder {
    attentive(builder).env("gateway", "HIGHWATER_DUTIES__REBALANCE_PAUSE", "100ms")
}

pub(super) fn nodes(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| name.parse().expect("a node's name")).collect()
}

fn two() -> Placement {
    Placement { copies: 2.try_into().ok(), ..Placement::default() }
}

pub(super) async fn uploads(log: &Log) -> anyhow::Result<Vec<FileUploaded>> {
    Ok(log.uploads().await?.into_iter().map(|(_, uploaded)| uploaded).collect())
}

/// The blobs on a node.
pub(super) async fn blobs_on(cluster: &Cluster, node: &str) -> anyhow::Result<BTreeSet<String>> {
    Ok(s3::keys(cluster, node, "blobs/").await?.into_iter().collect())
}

/// Waits until a node has at least what the placement on `members` puts there, and nothing but that and `besides`.
pub(super) async fn has_what_is_placed(
    cluster: &Cluster,
    node: &str,
    placement: &Placement,
    members: &[NodeId],
    all: &[FileUploaded],
    besides: &BTreeSet<String>,
) {
    let is_here = |uploaded: &&FileUploaded| placement.targets(uploaded.blob_id, members).contains(&nodes(&[node])[0]);
    let here: Vec<&FileUploaded> = all.iter().filter(is_here).collect();
    let expected: BTreeSet<String> = here.iter().map(|uploaded| uploaded.blob_id.key()).collect();
    eventually(&format!("{node} has what is placed there"), async || {
        let there = blobs_on(cluster, node).await?;
        let missing: Vec<_> = expected.difference(&there).collect();
        ensure!(missing.is_empty(), "{node} lacks {missing:?}");
        let needless: Vec<_> = there.difference(&expected).filter(|key| !besides.contains(*key)).collect();
        ensure!(needless.is_empty(), "{node} has {needless:?} for nothing");
        for uploaded in &here {
            has(cluster, node, uploaded).await?;
        }
        anyhow::Ok(())
    })
    .await;
}

async fn place_on_two(cluster: &Cluster) -> anyhow::Result<()> {
    let output = cluster.highwater(&["ops", "placement", "--copies", "2", "--json"]).await?;
    ensure!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(said["copies"] == 2 && said["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{said}");
    Ok(())
}

pub(super) async fn put(cluster: &Cluster, prefix: &str, count: u64) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    for n in 0..count {
        client.put(&format!("{prefix}/{n}"), Content::new(n, 5000)).await?;
    }
    Ok(())
}

/// Node-d joins.
async fn fourth_node(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.stack.tell_of_all_nodes()?;
    cluster.stack.run_once("gateway", &["init"]).await?;
    for service in ["gateway", "replicator-1", "replicator-2"] {
        cluster.stack.restart(service).await?;
    }
    Ok(())
}

#[test]
fn each_blob_is_on_its_nodes_and_a_new_node_moves_only_what_must_move() {
    run(
        |b| placed(b).node_count(4).late_nodes(1),
        async |cluster| {
            let log = Log::open(cluster).await?;
            let (three, four) = (["node-a", "node-b", "node-c"], ["node-a", "node-b", "node-c", "node-d"]);
            put(cluster, "everywhere", 10).await?;
            cluster.settle().await;
            place_on_two(cluster).await?;
            put(cluster, "placed", 40).await?;
            cluster.settle().await;
            let (first, placed): (Vec<_>, Vec<_>) =
                uploads(&log).await?.into_iter().partition(|one| one.path.as_str().starts_with("everywhere"));
            let stays: BTreeSet<String> = first.iter().map(|uploaded| uploaded.blob_id.key()).collect();
            for node in three {
                has_what_is_placed(cluster, node, &two(), &nodes(&three), &placed, &stays).await;
                assert!(blobs_on(cluster, node).await?.is_superset(&stays), "a copy was taken away from {node}");
            }
            for uploaded in &placed {
                assert_eq!(uploaded.targets, Some(two().targets(uploaded.blob_id, &nodes(&three))));
            }

            let mut before = BTreeMap::new();
            for node in three {
                before.insert(node, blobs_on(cluster, node).await?);
            }
            fourth_node(cluster).await?;
            let all = [first, placed].concat();
            has_what_is_placed(cluster, "node-d", &two(), &nodes(&four), &all, &BTreeSet::new()).await;
            cluster.settle().await;
            for node in three {
                assert_eq!(blobs_on(cluster, node).await?, before[node], "something moved to {node}");
            }
            let on_d = blobs_on(cluster, "node-d").await?;
            assert!((10..=40).contains(&on_d.len()), "half of 50 belong to it, and it has {}", on_d.len());

            // A disk that is lost gets the same again.
            cluster.stack.stop("node-d").await?;
            let dir = cluster.stack.data_of("node-d").context("node-d has no data")?;
            fs::remove_dir_all(&dir)?;
            fs::create_dir(&dir)?;
            cluster.stack.start("node-d").await?;
            log.filled(cluster, "node-d").await;
            cluster.settle().await;
            assert_eq!(blobs_on(cluster, "node-d").await?, on_d);
            cluster.verify().await
        },
    );
}

#[test]
fn a_node_that_leaves_hands_on_what_it_alone_had_to_hold() {
    run(placed, async |cluster| {
        let log = Log::open(cluster).await?;
        place_on_two(cluster).await?;
        put(cluster, "placed", 30).await?;
        cluster.settle().await;
        let output = cluster.highwater(&["ops", "retire", "node-b", "--wait"]).await?;
        ensure!(output.status.success(), "{output:?}");
        cluster.settle().await;
        let all = uploads(&log).await?;
        for node in ["node-a", "node-c"] {
            has_what_is_placed(cluster, node, &two(), &nodes(&["node-a", "node-c"]), &all, &BTreeSet::new()).await;
            assert_eq!(blobs_on(cluster, node).await?.len(), 30);
        }
        cluster.verify().await
    });
}

#[test]
fn more_copies_are_made_of_what_is_there_when_more_are_asked_for() {
    run(placed, async |cluster| {
        let log = Log::open(cluster).await?;
        let mut client = cluster.client().await?;
        place_on_two(cluster).await?;
        put(cluster, "placed", 10).await?;
        cluster.replicated("placed/0", 2).await;
        let request = SetPlacementRequest { copies: Some(0), actor: "alice".to_owned(), ..Default::default() };
        let answer = client.operations.set_placement(request).await?.into_inner().placement.context("no placement")?;
        assert_eq!((answer.copies, answer.nodes.len()), (0, 3));
        for n in 0..10 {
            cluster.replicated(&format!("placed/{n}"), 3).await;
        }
        let facts = log.facts().await?;
        let said = facts.iter().filter(|(_, _, fact)| matches!(fact, Fact::PlacementChanged(_))).count();
        assert_eq!(said, 2);
        cluster.verify().await
    });
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    run(placed, async |cluster| {
        let mut client = cluster.client().await?;
        let node = |node: &str, weight: u32, zone: &str| PlacementNode {
            node: node.to_owned(),
            weight,
            zone: zone.to_owned(),
        };
        let cases = [
            (Some(4), vec![], Code::InvalidArgument, "replicas_invalid"),
            (None, vec![node("node-x", 1, "")], Code::NotFound, "node_not_found"),
            (None, vec![node("node-a", 65_536, "")], Code::InvalidArgument, "placement_invalid"),
            (None, vec![node("node-a", 1, "No Zone")], Code::InvalidArgument, "placement_invalid"),
        ];
        for (copies, nodes, code, reason) in cases {
            let request = SetPlacementRequest { copies, nodes, ..Default::default() };
            let status = client.operations.set_placement(request.clone()).await.expect_err("it cannot be");
            assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason), "{request:?}: {status:?}");
        }
        let untouched = client.operations.get_placement(GetPlacementRequest::default()).await?.into_inner();
        assert_eq!(untouched.placement.map(|placement| placement.sequence), Some(String::new()));

        // More copies than a blob is placed on will never be there.
        place_on_two(cluster).await?;
        let about = UploadMetadata { ack_replicas: 3, ..metadata("a") };
        let status = client.upload(about, chunks(Content::new(1, 10))).await.expect_err("there are two");
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::InvalidArgument, "replicas_invalid"));
        let about = UploadMetadata { ack_replicas: 2, ..metadata("a") };
        client.upload(about, chunks(Content::new(1, 10))).await?;
        cluster.verify().await
    });
}
