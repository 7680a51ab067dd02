//! Weights and zones: copies are where the placement in the journal says, and what is changed in it moves only what it must.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use proto::{Fact, FileUploaded, Layout, Placement};
use tests::{Cluster, run};

use super::placement::{blobs_on, has_what_is_placed, nodes, placed, put, uploads};
use super::world::Log;

const NODES: [&str; 4] = ["node-a", "node-b", "node-c", "node-d"];
const NORTH: [&str; 2] = ["node-a", "node-b"];
const FILES: u64 = 40;

/// Changes the placement by the command line, and answers what the journal says of it then.
async fn place(cluster: &Cluster, log: &Log, flags: &[&str]) -> anyhow::Result<Layout> {
    let output = cluster.highwater(&[&["ops", "placement", "--json"], flags].concat()).await?;
    ensure!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let facts = log.facts().await?.into_iter().rev();
    let changed = facts.filter_map(|(n, _, fact)| match fact {
        Fact::PlacementChanged(changed) => Some((n, changed.placement)),
        _ => None,
    });
    let (n, placement) = { changed }.next().context("the journal says nothing of it")?;
    ensure!(said["sequence"].as_str().is_some_and(|sequence| sequence.ends_with(&format!("-{n}"))), "{n}: {said}");
    Ok(Layout { placement, members: nodes(&NODES) })
}

/// What is said of each node, as it was put: `node-a=1@north`.
fn said(placement: &Placement) -> Vec<String> {
    let rule = |(node, rule): (&_, &proto::NodeRule)| {
        let zone = rule.zone.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{node}={}@{zone}", rule.weight.get())
    };
    placement.nodes.iter().map(rule).collect()
}

async fn everywhere(cluster: &Cluster) -> anyhow::Result<BTreeMap<&'static str, BTreeSet<String>>> {
    let mut all = BTreeMap::new();
    for node in NODES {
        all.insert(node, blobs_on(cluster, node).await?);
    }
    Ok(all)
}

/// The blobs that `layout` places on each node.
fn wanted(layout: &Layout, all: &[FileUploaded]) -> BTreeMap<&'static str, BTreeSet<String>> {
    let on = |node: &str| {
        let here = all.iter().filter(|one| layout.targets(one.blob_id).contains(&nodes(&[node])[0]));
        here.map(|one| one.blob_id.key()).collect()
    };
    NODES.into_iter().map(|node| (node, on(node))).collect()
}

#[test]
fn copies_are_in_different_zones_by_weight_and_a_new_weight_moves_only_what_it_must() {
    run(
        |b| placed(b).node_count(NODES.len()),
        async |cluster| {
            let log = Log::open(cluster).await?;
            let rules = ["node-a=1@north", "node-b=3@north", "node-c=2@south", "node-d=1@south"];
            let flags: Vec<&str> = rules.iter().flat_map(|rule| ["--node", rule]).chain(["--copies", "2"]).collect();
            let before = place(cluster, &log, &flags).await?;
            assert_eq!(said(&before.placement), rules);
            put(cluster, "placed", FILES).await?;
            cluster.settle().await;
            let all = uploads(&log).await?;
            for uploaded in &all {
                let targets = before.targets(uploaded.blob_id);
                let in_north = targets.iter().filter(|node| NORTH.contains(&node.as_str())).count();
                assert_eq!((targets.len(), in_north), (2, 1), "one copy in each zone: {targets:?}");
                assert_eq!(uploaded.targets.as_ref(), Some(&targets));
            }
            for node in NODES {
                has_what_is_placed(cluster, node, &before.placement, &before.members, &all, &BTreeSet::new()).await;
            }
            let there = everywhere(cluster).await?;
            assert!(there["node-b"].len() > there["node-a"].len(), "three times the weight: {there:?}");

            // More for node-d: it takes from node-c, which keeps what it has, and nothing else moves.
            let after = place(cluster, &log, &["--node", "node-d=6@south"]).await?;
            assert_eq!(said(&after.placement)[..3], rules[..3]);
            let wanted = wanted(&after, &all);
            let new: BTreeSet<&String> = wanted["node-d"].difference(&there["node-d"]).collect();
            assert!((1..there["node-c"].len()).contains(&new.len()), "{} of {FILES} move", new.len());
            for node in NODES {
                has_what_is_placed(cluster, node, &after.placement, &after.members, &all, &there[node]).await;
            }
            cluster.settle().await;
            let then = everywhere(cluster).await?;
            for node in NORTH.into_iter().chain(["node-c"]) {
                assert_eq!(then[node], there[node], "something moved to {node}");
            }
            assert_eq!(then["node-d"], &there["node-d"] | &wanted["node-d"]);

            // Back again: all that is wanted is where it was, and uploads follow at once.
            let back = place(cluster, &log, &["--node", "node-d=1@south"]).await?;
            assert_eq!(back, before);
            put(cluster, "later", FILES / 2).await?;
            cluster.settle().await;
            let all = uploads(&log).await?;
            for node in NODES {
                has_what_is_placed(cluster, node, &back.placement, &back.members, &all, &then[node]).await;
            }
            cluster.verify().await
        },
    );
}
