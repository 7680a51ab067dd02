//! Disks that are wiped, and disks that are swapped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1;
use proto::{Fact, FileUploaded};
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, run};

use super::world::{Log, attentive, has_exactly, marker};
use crate::s3;

/// A cluster that also erases at once what nothing names.
fn hasty(builder: Builder) -> Builder {
    attentive(builder)
        .env("gateway", "HIGHWATER_LIMITS__ERASE_GRACE", "1ms")
        .env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms")
        .env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms")
}

fn data_of(cluster: &Cluster, node: &str) -> anyhow::Result<PathBuf> {
    cluster.stack.data_of(node).with_context(|| format!("{node} has no data"))
}

/// Stops a node and leaves nothing of its data.
pub(super) async fn wipe(cluster: &Cluster, node: &str) -> anyhow::Result<()> {
    cluster.stack.stop(node).await?;
    let dir = data_of(cluster, node)?;
    fs::remove_dir_all(&dir)?;
    Ok(fs::create_dir(dir)?)
}

fn swap(a: &Path, b: &Path) -> std::io::Result<()> {
    let aside = a.with_extension("aside");
    fs::rename(a, &aside)?;
    fs::rename(b, a)?;
    fs::rename(aside, b)
}

#[test]
fn a_wiped_node_gets_a_new_marker_and_everything_again_but_what_was_erased() {
    run(hasty, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for (seed, size) in (1..).zip([0, 1, 5000, 9 * 1024 * 1024, 66 * 1024 * 1024]) {
            client.put(&format!("keep/{size}"), Content::new(seed, size)).await?;
        }
        for n in 0..5 {
            client.put(&format!("gone/{n}"), Content::new(100 + n, 3000)).await?;
        }
        cluster.settle().await;
        let old = marker(cluster, "node-b").await?;

        // Deletes while it is away, and uploads.
        wipe(cluster, "node-b").await?;
        let keep_none = v1::Retention { keep_versions: None, keep_days: Some(0) };
        client.delete_tree("gone").await?;
        client
            .files
            .set_retention(v1::SetRetentionRequest { retention: Some(keep_none), ..Default::default() })
            .await?;
        client.files.prune(v1::PruneRequest::default()).await?;
        client.put("keep/late", Content::new(200, 7000)).await?;
        cluster.stack.start("node-b").await?;

        log.filled(cluster, "node-b").await;
        cluster.settle().await;
        let new = marker(cluster, "node-b").await?;
        assert_ne!(old, new);
        let facts = log.facts().await?;
        let wiped = facts.iter().filter_map(|(_, _, fact)| match fact {
            Fact::NodeWiped(wiped) => Some((wiped.node.as_str(), wiped.old_marker_id, wiped.marker_id)),
            _ => None,
        });
        assert_eq!(wiped.collect::<Vec<_>>(), [("node-b", old, new)]);
        let kept: Vec<FileUploaded> = log
            .uploads()
            .await?
            .into_iter()
            .map(|(_, uploaded)| uploaded)
            .filter(|uploaded| uploaded.path.as_str().starts_with("keep"))
            .collect();
        assert_eq!(kept.len(), 6);
        for node in ["node-a", "node-b", "node-c"] {
            eventually(&format!("{node} has what is kept, and nothing that was erased"), async || {
                has_exactly(cluster, node, &kept).await
            })
            .await;
        }
        cluster.verify().await
    });
}

#[test]
fn a_node_that_is_wiped_again_while_it_is_filled_is_filled_again() {
    run(attentive, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..40 {
            client.put(&format!("{n}"), Content::new(n, 20_000)).await?;
        }
        cluster.settle().await;
        for _ in 0..3 {
            let before = log.refill("node-c").await?;
            wipe(cluster, "node-c").await?;
            cluster.stack.start("node-c").await?;
            eventually("the refill has begun", async || {
                let refill = log.refill("node-c").await?;
                ensure!(refill["cause"] != before["cause"], "{refill}");
                anyhow::Ok(())
            })
            .await;
        }
        log.filled(cluster, "node-c").await;
        cluster.settle().await;
        let uploads: Vec<FileUploaded> = log.uploads().await?.into_iter().map(|(_, uploaded)| uploaded).collect();
        has_exactly(cluster, "node-c", &uploads).await?;
        cluster.verify().await
    });
}

/// Waits until the gateway says of these nodes that their disks must not be used, and of no other; the replicators must
/// have said so too.
async fn refused(cluster: &Cluster, nodes: &[&str], reason: &str) {
    eventually("the disks are refused", async || {
        let status = cluster.client().await?.status().await?;
        for node in &status.nodes {
            let expected = nodes.contains(&node.node.as_str());
            let is_refused = node.health() == v1::NodeHealth::WrongMarker;
            ensure!(is_refused == expected, "{node:?}");
            ensure!(!expected || node.reason.contains(reason), "{node:?}");
        }
        for (program, node) in ["replicator-1", "replicator-2"].iter().flat_map(|p| nodes.iter().map(move |n| (p, n))) {
            let said = fs::read_to_string(cluster.stack.log(program))?;
            let is_said = said.contains(&format!("node {node} must not be used: its bucket {reason}"));
            ensure!(is_said, "{program} has not noticed the disk of {node}");
        }
        anyhow::Ok(())
    })
    .await;
}

async fn keys(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    Ok(vec![s3::keys(cluster, "node-a", "").await?, s3::keys(cluster, "node-b", "").await?])
}

#[test]
fn swapped_disks_are_refused_until_they_are_where_they_belong() {
    run(attentive, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..5 {
            client.put(&format!("{n}"), Content::new(n, 5000)).await?;
        }
        cluster.settle().await;
        let before = keys(cluster).await?;
        let (a, b) = (data_of(cluster, "node-a")?, data_of(cluster, "node-b")?);
        for node in ["node-a", "node-b"] {
            cluster.stack.stop(node).await?;
        }
        swap(&a, &b)?;
        for node in ["node-a", "node-b"] {
            cluster.stack.start(node).await?;
        }
        refused(cluster, &["node-a", "node-b"], "has the marker of node node-").await;
        client.put("while", Content::new(50, 5000)).await?;
        cluster.replicated("while", 1).await;
        let mut swapped = keys(cluster).await?;
        swapped.reverse();
        assert_eq!(swapped, before, "something was written to a wrong disk");
        let said = fs::read_to_string(cluster.stack.log("gateway"))?;
        assert!(said.contains("node node-a must not be used"), "{said}");

        for node in ["node-a", "node-b"] {
            cluster.stack.stop(node).await?;
        }
        swap(&a, &b)?;
        for node in ["node-a", "node-b"] {
            cluster.stack.start(node).await?;
        }
        refused(cluster, &[], "").await;
        cluster.replicated("while", 3).await;
        cluster.settle().await;
        let facts = log.facts().await?;
        assert!(!facts.iter().any(|(_, _, fact)| matches!(fact, Fact::NodeWiped(_))), "a node counted as wiped");
        cluster.verify().await
    });
}

#[test]
fn an_earlier_disk_of_a_node_is_refused() {
    run(attentive, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        client.put("a", Content::new(1, 5000)).await?;
        cluster.settle().await;
        let dir = data_of(cluster, "node-b")?;
        let earlier = dir.with_extension("earlier");
        cluster.stack.stop("node-b").await?;
        fs::rename(&dir, &earlier)?;
        fs::create_dir(&dir)?;
        cluster.stack.start("node-b").await?;
        log.filled(cluster, "node-b").await;

        cluster.stack.stop("node-b").await?;
        swap(&dir, &earlier)?;
        cluster.stack.start("node-b").await?;
        refused(cluster, &["node-b"], "has the marker ").await;
        client.put("b", Content::new(2, 5000)).await?;
        cluster.replicated("b", 2).await;
        assert_eq!(s3::keys(cluster, "node-b", "blobs/").await?.len(), 1);

        cluster.stack.stop("node-b").await?;
        swap(&dir, &earlier)?;
        cluster.stack.start("node-b").await?;
        cluster.replicated("b", 3).await;
        cluster.verify().await
    });
}

#[test]
fn a_wiped_node_that_takes_no_writes_is_taken_back_once_it_does() {
    let patient = |b| hasty(b).env("gateway", "HIGHWATER_DUTIES__WIPED_RETRY__FIRST_DELAY", "300ms");
    run(patient, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        let proxies = Proxy::between(cluster, "gateway").await?;
        cluster.stack.restart("gateway").await?;
        client.put("kept", Content::new(1, 5000)).await?;
        cluster.settle().await;
        let full = proxies.iter().find(|proxy| proxy.id() == "node-b").context("no node-b")?;
        full.add(Rule::writes("", Act::Answer { status: 507, code: "InsufficientStorage" }));
        wipe(cluster, "node-b").await?;
        let (s3, bucket) = s3::client(cluster, "node-b");
        cluster.stack.start("node-b").await?;
        // It may be read, and has a bucket.
        eventually("it has a bucket again", async || s3.create_bucket().bucket(&bucket).send().await.map(drop)).await;
        let wiped = async || {
            let facts = log.facts().await?;
            anyhow::Ok(facts.iter().filter(|(_, _, fact)| matches!(fact, Fact::NodeWiped(_))).count())
        };
        eventually("it was tried several times", async || {
            ensure!(full.hits() >= 3, "{} times", full.hits());
            Ok(())
        })
        .await;
        assert_eq!(wiped().await?, 0);
        full.clear();
        log.filled(cluster, "node-b").await;
        cluster.settle().await;
        assert_eq!(wiped().await?, 1);
        cluster.verify().await
    });
}
