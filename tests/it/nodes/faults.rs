//! Nodes that are down, hang, lose objects or give wrong bytes.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use proto::v1::ReplicaState;
use tests::{Cluster, Content, eventually, reason_of, run};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::s3;

const MIB: u64 = 1024 * 1024;

/// The key of a file's blob.
async fn key_of(cluster: &Cluster, path: &str) -> anyhow::Result<String> {
    let version = cluster.client().await?.file(path).await?.version.context("no version")?;
    Ok(version.blob_id.parse::<proto::BlobId>()?.key())
}

async fn overwrite(cluster: &Cluster, node: &str, key: &str, bytes: Bytes) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.put_object().bucket(bucket).key(key).body(bytes.into()).send().await?;
    Ok(())
}

async fn delete(cluster: &Cluster, node: &str, key: &str) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.delete_object().bucket(bucket).key(key).send().await?;
    Ok(())
}

#[test]
fn a_node_that_is_down_holds_nothing_up_and_catches_up() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("before", Content::new(0, 5000)).await?;
            cluster.replicated("before", 3).await;
            cluster.stack.stop("node-b").await?;
            for n in 1..=20 {
                let receipt = client.put(&format!("during-{n}"), Content::new(n, 5000)).await?;
                assert_ne!(receipt.node, "node-b");
            }
            client.put("during-large", Content::new(99, 66 * MIB)).await?;
            for n in 1..=20 {
                cluster.replicated(&format!("during-{n}"), 2).await;
            }
            let file = cluster.replicated("during-large", 2).await;
            let waiting = file.replicas.iter().find(|replica| replica.node == "node-b").context("no row for node-b")?;
            assert_eq!(waiting.state(), ReplicaState::Pending, "down is no reason to give up");
            cluster.stack.start("node-b").await?;
            cluster.settle().await;
            assert_eq!(
                s3::keys(cluster, "node-b", "blobs/").await?.len(),
                23,
                "22 blobs and the digests of the large one"
            );
            cluster.verify().await
        },
    );
}

#[test]
fn a_node_that_hangs_holds_nothing_up_and_catches_up() {
    let brisk = |b: compose::Builder| {
        ["gateway", "replicator"].into_iter().fold(b, |b, service| {
            b.env(service, "HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__READ_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s")
        })
    };
    run(brisk, async |cluster| {
        let mut client = cluster.client().await?;
        cluster.stack.pause("node-c").await?;
        for n in 0..20 {
            let content = Content::new(n, 100_000);
            client.put(&format!("f{n}"), content).await?;
            assert_eq!(client.get(&format!("f{n}")).await?, content.bytes());
        }
        for n in 0..20 {
            cluster.replicated(&format!("f{n}"), 2).await;
        }
        cluster.stack.resume("node-c").await?;
        cluster.settle().await;
        cluster.verify().await
    });
}

#[test]
fn without_any_node_the_answer_is_to_try_again() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("there", Content::new(1, 5000)).await?;
            for node in ["node-a", "node-b", "node-c"] {
                cluster.stack.stop(node).await?;
            }
            for size in [5000, 20 * MIB] {
                let status = client.put("new", Content::new(2, size)).await.expect_err("nobody takes it");
                assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "no_node_available"));
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
            }
            let status = client.get("there").await.expect_err("nobody has it");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "no_copy_available"));
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            for node in ["node-a", "node-b", "node-c"] {
                cluster.stack.start(node).await?;
            }
            eventually("uploads work again", async || client.put("new", Content::new(2, 5000)).await).await;
            eventually("downloads work again", async || client.get("there").await).await;
            Ok(())
        },
    );
}

#[test]
fn wrong_bytes_never_reach_a_client() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            for (path, size) in [("small", 5000), ("sliced", 20 * MIB), ("large", 70 * MIB)] {
                let content = Content::new(size, size);
                cluster.stack.scale(2).await?;
                client.put(path, content).await?;
                cluster.replicated(path, 3).await;
                // What a download finds to be wrong would be made right again.
                cluster.stack.scale(0).await?;
                let key = key_of(cluster, path).await?;
                // One byte in the middle differs, on two of three nodes.
                let mut wrong = content.bytes().to_vec();
                wrong[usize::try_from(size / 2)?] ^= 1;
                let wrong = Bytes::from(wrong);
                for node in ["node-a", "node-b"] {
                    overwrite(cluster, node, &key, wrong.clone()).await?;
                }
                // Each node is asked first at some time.
                for _ in 0..if size > 50 * MIB { 3 } else { 6 } {
                    assert_eq!(client.get(path).await?, content.bytes(), "{path}");
                }
                let middle = client.get_range(path, size / 2 - 10, Some(20)).await?;
                assert_eq!(middle, content.range(size / 2 - 10, 20), "{path}");
                overwrite(cluster, "node-c", &key, wrong).await?;
                let (came, status) = client.get_broken(path).await?;
                assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "no_copy_available"));
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                assert!(content.bytes().starts_with(&came), "{path}: a wrong byte is among the {}", came.len());
            }
            Ok(())
        },
    );
}

#[test]
fn a_missing_object_is_read_from_another_node() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            for (path, size) in [("small", 5000), ("sliced", 20 * MIB)] {
                let content = Content::new(size, size);
                client.put(path, content).await?;
                cluster.replicated(path, 3).await;
                let key = key_of(cluster, path).await?;
                delete(cluster, "node-a", &key).await?;
                // The digests of the slices are missing on another node than the bytes.
                delete(cluster, "node-b", &format!("{key}.parts")).await?;
                for _ in 0..4 {
                    assert_eq!(client.get(path).await?, content.bytes());
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_copy_that_cannot_be_made_is_parked_with_its_reason() {
    run(
        |b| b.replicators(1).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2"),
        async |cluster| {
            let mut client = cluster.client().await?;
            cluster.stack.stop("replicator-1").await?;
            let receipt = client.put("lost", Content::new(1, 5000)).await?;
            client.put("fine", Content::new(2, 5000)).await?;
            let key = key_of(cluster, "lost").await?;
            delete(cluster, &receipt.node, &key).await?;
            cluster.stack.start("replicator-1").await?;
            cluster.replicated("fine", 3).await;
            let file = eventually("the copies are parked", async || {
                let file = cluster.client().await?.file("lost").await?;
                let parked = file.replicas.iter().filter(|replica| replica.state() == ReplicaState::Parked).count();
                ensure!(parked == 2, "{:?}", file.replicas);
                anyhow::Ok(file)
            })
            .await;
            let parked =
                file.replicas.iter().find(|replica| replica.state() == ReplicaState::Parked).context("none")?;
            assert_eq!(parked.attempts, 2);
            assert!(!parked.reason.is_empty());
            let kinds: Vec<String> = client.events("lost").await?.into_iter().map(|event| event.r#type).collect();
            assert_eq!(kinds.iter().filter(|kind| *kind == "highwater.replication.parked.v1").count(), 2, "{kinds:?}");
            let status = cluster.settle().await;
            assert_eq!(status.nodes.iter().map(|node| node.blobs_parked).sum::<u64>(), 2);
            cluster.verify().await
        },
    );
}
