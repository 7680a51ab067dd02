//! The audit: every difference between the catalog and the nodes is found and repaired, and what is under way is none.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1::audit_response::Message;
use proto::v1::{self, AuditKind, OnConflict, ReplicaState, UploadMetadata};
use proto::{BlobId, SLICE_BYTES};
use runtime::clock::Ids;
use tests::{Client, Cluster, Content, chunks, eventually, metadata, run};
use tokio::task::JoinSet;

use crate::s3;

/// Kind, node, key.
pub(super) type Found = BTreeSet<(AuditKind, String, String)>;

/// No time passes before an object may be called out of place, and nothing is scrubbed. An audit beside an upload takes its
/// object for an orphan.
fn hasty(builder: Builder) -> Builder {
    without_settling(builder).env("gateway", "HIGHWATER_LIMITS__ORPHAN_GRACE", "1ms")
}

/// As [`hasty`], but what no event names may still get its event.
pub(super) fn without_settling(builder: Builder) -> Builder {
    builder
        .env("gateway", "HIGHWATER_LIMITS__ERASE_GRACE", "1ms")
        .env("gateway", "HIGHWATER_LIMITS__AUDIT_SETTLE", "1ms")
        .env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms")
        .env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "0s")
        .env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms")
}

/// The whole answer of an audit.
pub(super) struct Audit {
    findings: Vec<v1::AuditFinding>,
    nodes: Vec<v1::AuditedNode>,
}

pub(super) async fn audit(client: &mut Client, deep: bool, repair: bool) -> anyhow::Result<Audit> {
    let request = v1::AuditRequest { nodes: Vec::new(), deep, repair };
    let mut stream = client.operations.audit(request).await?.into_inner();
    let (mut findings, mut summary) = (Vec::new(), None);
    while let Some(answer) = stream.message().await? {
        match answer.message {
            Some(Message::Finding(finding)) => findings.push(finding),
            Some(Message::Summary(last)) => summary = Some(last),
            Some(Message::Progress(_)) | None => {}
        }
    }
    let summary: v1::AuditSummary = summary.context("an audit without a summary")?;
    let counted: u64 = summary.nodes.iter().map(|node| node.findings).sum();
    assert_eq!(counted, findings.len() as u64);
    Ok(Audit { findings, nodes: summary.nodes })
}

impl Audit {
    pub(super) fn found(&self) -> Found {
        let all = self.findings.iter();
        all.map(|finding| (finding.kind(), finding.node.clone(), finding.key.clone())).collect()
    }

    fn errors(&self) -> Vec<(String, String)> {
        let failed = self.nodes.iter().filter(|node| !node.error.is_empty());
        failed.map(|node| (node.node.clone(), node.error.clone())).collect()
    }
}

/// Asks until an audit finds this and nothing else.
pub(super) async fn finds(cluster: &Cluster, deep: bool, expected: &Found) {
    eventually("an audit finds what it should", async || {
        let audit = audit(&mut cluster.client().await?, deep, false).await?;
        ensure!(audit.errors().is_empty(), "{:?}", audit.errors());
        ensure!(audit.found() == *expected, "{:?} instead of {expected:?}", audit.findings);
        anyhow::Ok(())
    })
    .await;
}

pub(super) fn set<const N: usize>(found: [(AuditKind, &str, &str); N]) -> Found {
    found.into_iter().map(|(kind, node, key)| (kind, node.to_owned(), key.to_owned())).collect()
}

async fn put(cluster: &Cluster, node: &str, key: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.put_object().bucket(bucket).key(key).body(bytes.into()).send().await?;
    Ok(())
}

async fn delete(cluster: &Cluster, node: &str, key: &str) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.delete_object().bucket(bucket).key(key).send().await?;
    Ok(())
}

pub(super) async fn read(cluster: &Cluster, node: &str, key: &str) -> anyhow::Result<Vec<u8>> {
    let (client, bucket) = s3::client(cluster, node);
    let object = client.get_object().bucket(bucket).key(key).send().await?;
    Ok(object.body.collect().await?.to_vec())
}

/// One bit of an object is another one, and its length is the same.
pub(super) async fn flip(cluster: &Cluster, node: &str, key: &str) -> anyhow::Result<()> {
    // The embedded node has no object for a moment while it is written over, as by a repair that was asked for twice.
    let mut bytes = eventually("the object can be read", async || read(cluster, node, key).await).await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put(cluster, node, key, bytes).await
}

fn blob(receipt: &v1::Receipt) -> anyhow::Result<BlobId> {
    Ok(receipt.blob_id.parse()?)
}

/// An object that no event names, and that was erased for it.
async fn erased_orphan(cluster: &Cluster, client: &mut Client) -> anyhow::Result<BlobId> {
    let orphan = BlobId::new(Ids::system().v7());
    put(cluster, "node-b", &orphan.key(), vec![7; 1000]).await?;
    let expected = set([(AuditKind::Orphan, "node-b", &orphan.key())]);
    finds(cluster, false, &expected).await;
    let repaired = audit(client, false, true).await?;
    assert_eq!(repaired.found(), expected);
    assert!(!repaired.findings[0].repaired_by.is_empty(), "{:?}", repaired.findings);
    eventually("the orphan is erased", async || {
        let keys = s3::keys(cluster, "node-b", "").await?;
        ensure!(!keys.contains(&orphan.key()) && keys.contains(&orphan.erased_key()), "{keys:?}");
        anyhow::Ok(())
    })
    .await;
    finds(cluster, true, &Found::new()).await;
    Ok(orphan)
}

#[test]
fn each_difference_is_found_as_what_it_is_and_healed() {
    run(
        |b| hasty(b).replicators(2),
        async |cluster| {
            let mut client = cluster.client().await?;
            let contents = [5000, 6000, 7000, SLICE_BYTES + 1, SLICE_BYTES + 2].map(|size| Content::new(size, size));
            let mut blobs = Vec::new();
            for (name, content) in ["a", "b", "c", "d", "e"].iter().zip(contents) {
                blobs.push(blob(&client.put(name, content).await?)?);
            }
            cluster.settle().await;
            finds(cluster, true, &Found::new()).await;
            let orphan = erased_orphan(cluster, &mut client).await?;

            // Of each blob one copy is whole: the last that is left is never given up.
            let [a, b, c, e] = [0, 1, 2, 4].map(|n| blobs[n].key());
            let parts = blobs[3].parts_key();
            delete(cluster, "node-a", &a).await?;
            put(cluster, "node-b", &b, vec![1; 10]).await?;
            flip(cluster, "node-c", &c).await?;
            flip(cluster, "node-c", &e).await?;
            delete(cluster, "node-a", &parts).await?;
            flip(cluster, "node-b", &parts).await?;
            put(cluster, "node-a", "readme.txt", vec![1; 10]).await?;
            put(cluster, "node-b", &orphan.key(), vec![7; 1000]).await?;

            let mut expected = set([
                (AuditKind::Missing, "node-a", &a),
                (AuditKind::Truncated, "node-b", &b),
                (AuditKind::Parts, "node-a", &parts),
                (AuditKind::Foreign, "node-a", "readme.txt"),
                (AuditKind::Resurrected, "node-b", &orphan.key()),
            ]);
            finds(cluster, false, &expected).await;
            expected.extend(set([
                (AuditKind::Corrupt, "node-c", &c),
                (AuditKind::Corrupt, "node-c", &e),
                (AuditKind::Parts, "node-b", &parts),
            ]));
            finds(cluster, true, &expected).await;
            let told = cluster.highwater(&["ops", "audit", "--deep", "--json"]).await?;
            assert_eq!(told.status.code(), Some(1), "{told:?}");
            assert_eq!(String::from_utf8(told.stdout)?.lines().count(), expected.len() + 1);

            let repaired = audit(&mut client, true, true).await?;
            assert_eq!(repaired.found(), expected);
            for finding in &repaired.findings {
                assert_eq!(finding.repaired_by.is_empty(), finding.kind() == AuditKind::Foreign, "{finding:?}");
            }
            finds(cluster, true, &set([(AuditKind::Foreign, "node-a", "readme.txt")])).await;
            cluster.settle().await;
            for (blob, content) in blobs.iter().zip(contents) {
                for node in ["node-a", "node-b", "node-c"] {
                    ensure!(read(cluster, node, &blob.key()).await? == content.bytes(), "{blob} on {node}");
                }
            }
            ensure!(read(cluster, "node-a", "readme.txt").await? == [1; 10], "what is not ours is not touched");
            let told = cluster.highwater(&["ops", "audit", "--deep"]).await?;
            assert_eq!(told.status.code(), Some(0), "{told:?}");
            cluster.verify().await
        },
    );
}

#[test]
fn what_is_under_way_is_no_difference() {
    let busy = |b: Builder| {
        b.replicators(2)
            .env("gateway", "HIGHWATER_LIMITS__ERASE_GRACE", "1ms")
            .env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms")
            .env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "0s")
            .env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms")
    };
    run(busy, async |cluster| {
        let mut uploads = JoinSet::new();
        for stream in 0..4 {
            let mut client = cluster.client().await?;
            uploads.spawn(async move {
                for n in 0..25_u64 {
                    let size = if n.is_multiple_of(8) { SLICE_BYTES + n } else { 1000 + n };
                    let content = Content::new(stream * 100 + n, size);
                    // Every third is rejected, and erased at once.
                    let fails = n % 3 == 2;
                    let path = format!("{stream}/{}", if fails { n - 1 } else { n });
                    let on_conflict = if fails { OnConflict::Fail } else { OnConflict::Overwrite };
                    let about = UploadMetadata { on_conflict: on_conflict.into(), ..metadata(&path) };
                    client.upload(about, chunks(content)).await?;
                }
                anyhow::Ok(())
            });
        }
        let mut client = cluster.client().await?;
        let mut audits = 0;
        while !uploads.is_empty() || audits < 3 {
            let audit = audit(&mut client, audits % 2 == 0, true).await?;
            ensure!(audit.errors().is_empty(), "{:?}", audit.errors());
            ensure!(audit.findings.is_empty(), "{:?}", audit.findings);
            audits += 1;
            while let Some(uploaded) = uploads.try_join_next() {
                uploaded??;
            }
        }
        cluster.settle().await;
        let audit = audit(&mut client, true, false).await?;
        ensure!(audit.findings.is_empty(), "{:?}", audit.findings);
        cluster.verify().await
    });
}

#[test]
fn a_node_that_is_away_or_has_another_marker_says_nothing_and_the_others_are_audited() {
    run(
        |b| hasty(b).replicators(1),
        async |cluster| {
            let mut client = cluster.client().await?;
            let key = blob(&client.put("a", Content::new(1, 5000)).await?)?.key();
            cluster.settle().await;
            delete(cluster, "node-c", &key).await?;
            cluster.stack.stop("node-a").await?;
            let marker = read(cluster, "node-b", "highwater-marker.json").await?;
            let mut other: serde_json::Value = serde_json::from_slice(&marker)?;
            other["marker_id"] = Ids::system().v4().to_string().into();
            put(cluster, "node-b", "highwater-marker.json", serde_json::to_vec(&other)?).await?;
            delete(cluster, "node-b", &key).await?;

            let found = audit(&mut client, false, false).await?;
            assert_eq!(found.found(), set([(AuditKind::Missing, "node-c", &key)]));
            let errors = found.errors();
            let failed: Vec<&str> = errors.iter().map(|(node, _)| node.as_str()).collect();
            assert_eq!(failed, ["node-a", "node-b"], "{errors:?}");
            assert!(errors[1].1.contains("marker"), "{errors:?}");
            let told = cluster.highwater(&["ops", "audit", "--node", "node-a"]).await?;
            assert_eq!(told.status.code(), Some(5), "{told:?}");
            let told = cluster.highwater(&["ops", "audit", "--node", "node-x"]).await?;
            assert!(String::from_utf8_lossy(&told.stdout).contains("has not joined"), "{told:?}");
            Ok(())
        },
    );
}

#[test]
fn the_last_copy_that_is_wrong_counts_for_nothing_and_one_that_nobody_reported_mends_it() {
    run(
        |b| hasty(b).replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(1, 5000);
            let receipt = client.put("a", content).await?;
            let key = blob(&receipt)?.key();
            let other = ["node-a", "node-b"].into_iter().find(|node| *node != receipt.node).context("two nodes")?;
            put(cluster, other, &key, content.bytes().to_vec()).await?;
            finds(cluster, true, &set([(AuditKind::Unreported, other, &key)])).await;
            let told = cluster.highwater(&["ops", "audit", "--repair"]).await?;
            assert_eq!(told.status.code(), Some(0), "{told:?}");

            flip(cluster, &receipt.node, &key).await?;
            let found = audit(&mut client, true, true).await?;
            assert_eq!(
                found.found(),
                set([(AuditKind::Unreported, other, &key), (AuditKind::Corrupt, &receipt.node, &key)])
            );
            let corrupt = found.findings.iter().find(|finding| finding.kind() == AuditKind::Corrupt);
            let corrupt = corrupt.context("not found")?;
            assert!(
                !corrupt.repaired_by.is_empty() && corrupt.detail.contains("no other node holds it"),
                "{corrupt:?}"
            );
            cluster.settle_catalog().await;
            let stored = client.file("a").await?.replicas.into_iter().filter(|r| r.state() == ReplicaState::Stored);
            assert_eq!(stored.count(), 0, "an event says that it is lost");
            let sha256 = Some(content.sha256().as_bytes().to_vec().into());
            let declared = v1::UploadMetadata { size_bytes: Some(content.size), sha256, ..metadata("b") };
            let again = client.upload(declared, chunks(content)).await?;
            assert_ne!(again.blob_id, receipt.blob_id, "nothing is built on bytes that are known to be wrong");

            cluster.stack.scale(1).await?;
            cluster.replicated("a", 3).await;
            assert_eq!(client.get("a").await?, content.bytes());
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn the_only_copy_that_is_wrong_is_given_up_with_the_reason() {
    run(
        |b| hasty(b).node_count(1).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let receipt = client.put("a", Content::new(1, 5000)).await?;
            flip(cluster, &receipt.node, &blob(&receipt)?.key()).await?;
            audit(&mut client, true, true).await?;
            eventually("it is given up", async || {
                let replicas = cluster.client().await?.file("a").await?.replicas;
                let given_up = |replica: &v1::Replica| {
                    replica.state() == ReplicaState::Parked && replica.reason.contains("no source")
                };
                ensure!(replicas.len() == 1 && replicas.iter().all(given_up), "{replicas:?}");
                anyhow::Ok(())
            })
            .await;
            cluster.settle_catalog().await;
            cluster.verify().await
        },
    );
}
