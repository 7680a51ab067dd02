//! Copies that turn out to be missing or wrong, and copies that are asked for again.

use anyhow::ensure;
use aws_sdk_s3::primitives::ByteStream;
use proto::v1::{Outcome, ReplicaState, UploadMetadata};
use proto::{EventId, Fact, FileUploaded, ReplicaLost, ReplicationRedriven, WantedCopy};
use tests::{Cluster, Content, chunks, eventually, metadata, run};

use super::world::{Log, attentive, has, marker};
use crate::s3;

fn wanted((event_id, uploaded): &(EventId, FileUploaded), source: &str) -> WantedCopy {
    WantedCopy {
        blob_id: uploaded.blob_id,
        size_bytes: uploaded.size_bytes,
        sha256: uploaded.sha256,
        slices_sha256: uploaded.slices_sha256,
        slice_bytes: uploaded.slice_bytes,
        space_id: uploaded.space_id,
        event_id: *event_id,
        source: source.parse().unwrap(),
    }
}

/// Puts other bytes in the place of a blob.
async fn spoil(cluster: &Cluster, node: &str, uploaded: &FileUploaded, bytes: Vec<u8>) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    let key = uploaded.blob_id.key();
    client.put_object().bucket(bucket).key(key).body(ByteStream::from(bytes)).send().await?;
    Ok(())
}

async fn is_there(cluster: &Cluster, node: &str, uploaded: &FileUploaded) {
    eventually(&format!("{} is on {node}", uploaded.path), async || has(cluster, node, uploaded).await).await;
}

#[test]
fn lost_copies_are_made_again_over_what_is_there() {
    run(attentive, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        let sizes = [3000, 4000, 9 * 1024 * 1024, 66 * 1024 * 1024];
        for (seed, size) in (1..).zip(sizes) {
            client.put(&format!("{size}"), Content::new(seed, size)).await?;
        }
        cluster.settle().await;
        let all = log.uploads().await?;
        // Cut short, of the right length but other bytes, and gone.
        spoil(cluster, "node-b", &all[0].1, vec![7; 10]).await?;
        spoil(cluster, "node-b", &all[1].1, vec![7; 4000]).await?;
        spoil(cluster, "node-b", &all[2].1, vec![7; 9 * 1024 * 1024]).await?;
        let (s3, bucket) = s3::client(cluster, "node-b");
        s3.delete_object().bucket(bucket).key(all[3].1.blob_id.key()).send().await?;

        let lost = async |uploads: &[(EventId, FileUploaded)]| {
            let fact = ReplicaLost {
                node: "node-b".parse()?,
                marker_id: marker(cluster, "node-b").await?,
                evaluated_at: log.head().await?,
                reason: "a test said so".to_owned(),
                replicas: uploads.iter().map(|one| wanted(one, "node-a")).collect(),
            };
            log.publish(Fact::ReplicaLost(fact)).await
        };
        let small = lost(&all[..3]).await?;
        let large = lost(&all[3..]).await?;
        for (_, uploaded) in &all {
            is_there(cluster, "node-b", uploaded).await;
        }
        cluster.settle().await;
        let reported = log.facts().await?.into_iter().filter_map(|(_, _, fact)| match fact {
            Fact::ReplicaStored(stored) => Some(stored.replicas),
            _ => None,
        });
        let mut causes: Vec<u64> = reported.flatten().map(|one| one.cause).filter(|cause| *cause >= small).collect();
        causes.sort_unstable();
        assert_eq!(causes, [small, small, small, large]);
        for size in sizes {
            cluster.replicated(&size.to_string(), 3).await;
        }
        cluster.verify().await
    });
}

/// Nobody could read what is acknowledged without its bytes.
#[test]
fn content_that_no_node_holds_any_more_is_sent_again() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
            let content = Content::new(1, 5000);
            let declared = |path: &str| UploadMetadata {
                size_bytes: Some(content.size),
                sha256: Some(content.sha256().as_bytes().to_vec().into()),
                ..metadata(path)
            };
            let first = client.upload(declared("f"), chunks(content)).await?;
            let instant = client.upload(declared("g"), chunks(content)).await?;
            assert_eq!(instant.blob_id, first.blob_id, "while a node holds it, no bytes are needed");

            let all = log.uploads().await?;
            let (s3, bucket) = s3::client(cluster, &first.node);
            s3.delete_object().bucket(bucket).key(all[0].1.blob_id.key()).send().await?;
            let fact = ReplicaLost {
                node: first.node.parse()?,
                marker_id: marker(cluster, &first.node).await?,
                evaluated_at: log.head().await?,
                reason: "a test said so".to_owned(),
                replicas: vec![wanted(&all[0], &first.node)],
            };
            log.publish(Fact::ReplicaLost(fact)).await?;
            eventually("the catalog knows of the loss", async || {
                let file = cluster.client().await?.file("f").await?;
                let held = file.replicas.iter().any(|replica| replica.state() == ReplicaState::Stored);
                ensure!(!held, "{:?}", file.replicas);
                anyhow::Ok(())
            })
            .await;

            let again = client.upload(declared("f"), chunks(content)).await?;
            assert_eq!(again.outcome(), Outcome::Applied);
            assert_ne!(again.blob_id, first.blob_id, "the bytes were taken");
            assert_eq!(client.get("f").await?, content.bytes());
            let instant = client.upload(declared("h"), chunks(content)).await?;
            assert_eq!(instant.blob_id, again.blob_id, "and count for the next one");
            assert_eq!(client.get("h").await?, content.bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn a_parked_copy_is_made_when_it_is_asked_for_again() {
    let impatient = |b: compose::Builder| {
        attentive(b).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2").env(
            "replicator",
            "HIGHWATER_REPLICATOR__RETRY__FIRST_DELAY",
            "100ms",
        )
    };
    run(impatient, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..3 {
            client.put(&format!("{n}"), Content::new(n, 3000)).await?;
        }
        cluster.settle().await;
        let all = log.uploads().await?;
        // No node has the right bytes of one: it is parked, and the others are copied.
        for node in ["node-a", "node-b", "node-c"] {
            spoil(cluster, node, &all[1].1, vec![7; 3000]).await?;
        }
        let replicas: Vec<WantedCopy> = all.iter().map(|one| wanted(one, "node-a")).collect();
        let fact = ReplicaLost {
            node: "node-c".parse()?,
            marker_id: marker(cluster, "node-c").await?,
            evaluated_at: log.head().await?,
            reason: "a test said so".to_owned(),
            replicas: replicas.clone(),
        };
        let cause = log.publish(Fact::ReplicaLost(fact)).await?;
        eventually("one copy is parked", async || {
            let file = cluster.client().await?.file("1").await?;
            let parked = file.replicas.iter().any(|r| r.node == "node-c" && r.state() == ReplicaState::Parked);
            ensure!(parked, "{:?}", file.replicas);
            anyhow::Ok(())
        })
        .await;
        let parked = log.facts().await?.into_iter().filter_map(|(_, _, fact)| match fact {
            Fact::ReplicationParked(parked) => Some((parked.blob_id, parked.cause, parked.attempts)),
            _ => None,
        });
        assert_eq!(parked.collect::<Vec<_>>(), [(all[1].1.blob_id, cause, 2)]);
        cluster.replicated("0", 3).await;
        cluster.replicated("2", 3).await;

        // A node gets it back.
        spoil(cluster, "node-a", &all[1].1, Content::new(1, 3000).bytes().to_vec()).await?;
        // What is on this one has the right length, and is not believed for that.
        let fact = ReplicationRedriven { node: "node-c".parse()?, replicas };
        log.publish(Fact::ReplicationRedriven(fact)).await?;
        is_there(cluster, "node-c", &all[1].1).await;
        cluster.replicated("1", 3).await;
        cluster.verify().await
    });
}

#[test]
fn a_right_copy_outlives_a_wrong_source() {
    run(
        |b| attentive(b).node_count(2),
        async |cluster| {
            let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
            let sizes = [4000, 9 * 1024 * 1024];
            for (seed, size) in (1..).zip(sizes) {
                client.put(&format!("{size}"), Content::new(seed, size)).await?;
            }
            cluster.settle().await;
            let all = log.uploads().await?;
            for ((_, uploaded), size) in all.iter().zip([4000, 9 * 1024 * 1024]) {
                spoil(cluster, "node-a", uploaded, vec![7; size]).await?;
            }
            // Of the only right copy, nothing but the digests of its slices is gone.
            let (s3, bucket) = s3::client(cluster, "node-b");
            s3.delete_object().bucket(bucket).key(all[1].1.blob_id.parts_key()).send().await?;
            let fact = ReplicaLost {
                node: "node-b".parse()?,
                marker_id: marker(cluster, "node-b").await?,
                evaluated_at: log.head().await?,
                reason: "a test said so".to_owned(),
                replicas: all.iter().map(|one| wanted(one, "node-a")).collect(),
            };
            log.publish(Fact::ReplicaLost(fact)).await?;
            for size in sizes {
                cluster.replicated(&size.to_string(), 2).await;
            }
            cluster.settle().await;
            for (_, uploaded) in &all {
                has(cluster, "node-b", uploaded).await?;
            }
            cluster.verify().await
        },
    );
}
