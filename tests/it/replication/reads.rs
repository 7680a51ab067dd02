//! Downloads while nodes are slow, go away, or hold other bytes than they should.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use proto::v1::download_response::Payload;
use proto::v1::{self, ReplicaState};
use tests::{Cluster, Content, Link, eventually, run};

use crate::s3;

const MIB: u64 = 1024 * 1024;
const LOST: &str = "highwater.replica.lost.v1";

/// Links between all nodes and the gateway.
async fn before_the_gateway(cluster: &Cluster) -> anyhow::Result<Vec<Link>> {
    let links = Link::to_nodes(cluster, "gateway").await?;
    cluster.stack.restart("gateway").await?;
    Ok(links)
}

#[test]
fn a_download_does_not_wait_for_a_node_that_is_silent() {
    // A node's time to answer is never over here: only a second node can end a download.
    let patient = |b: compose::Builder| {
        b.env("gateway", "HIGHWATER_BLOBS__READ_TIMEOUT", "1h").env("gateway", "HIGHWATER_BLOBS__HEDGE_PERCENT", "100")
    };
    run(patient, async |cluster| {
        let mut client = cluster.client().await?;
        let contents: Vec<(String, Content)> =
            (0..12).map(|n| (format!("f{n}"), Content::new(n, if n == 0 { 20 * MIB } else { 5000 }))).collect();
        for (path, content) in &contents {
            client.put(path, *content).await?;
        }
        for (path, _) in &contents {
            cluster.replicated(path, 3).await;
        }
        let links = before_the_gateway(cluster).await?;
        let mut client = cluster.client().await?;
        for silent in &links {
            silent.blackhole();
            for (path, content) in &contents {
                assert!(client.get(path).await? == content.bytes(), "{path}");
            }
            silent.heal();
        }
        Ok(())
    });
}

/// What a line does in the middle of a download.
fn a_download_goes_on_when(what: &impl AsyncFn(&Cluster, &str, &Link) -> anyhow::Result<()>) {
    let brisk = |b: compose::Builder| b.env("gateway", "HIGHWATER_BLOBS__READ_TIMEOUT", "2s");
    run(brisk, async |cluster| {
        let content = Content::new(1, 60 * MIB);
        cluster.client().await?.put("large", content).await?;
        cluster.replicated("large", 3).await;
        let links = before_the_gateway(cluster).await?;
        let mut client = cluster.client().await?;
        // Slow enough that the download is in its middle when the line breaks.
        for link in &links {
            link.rate(12 * MIB);
        }
        let before: Vec<u64> = links.iter().map(Link::carried).collect();
        let request = v1::DownloadRequest { path: "large".to_owned(), ..Default::default() };
        let mut stream = client.files.download(request).await?.into_inner();
        let mut bytes = BytesMut::new();
        let mut is_broken = false;
        while let Some(message) = stream.message().await? {
            let Some(Payload::Chunk(chunk)) = message.payload else { continue };
            bytes.extend_from_slice(&chunk);
            if !is_broken {
                is_broken = true;
                let carried = links.iter().zip(&before).map(|(link, before)| link.carried() - before);
                let (giver, _) = carried.enumerate().max_by_key(|(_, carried)| *carried).context("no links")?;
                what(cluster, &cluster.stack.nodes()[giver].id, &links[giver]).await?;
                for link in &links {
                    link.rate(0);
                }
            }
        }
        assert!(bytes.freeze() == content.bytes());
        Ok(())
    });
}

#[test]
fn a_download_goes_on_when_its_node_crashes() {
    a_download_goes_on_when(&async |cluster, node, _| cluster.stack.kill(node).await);
}

#[test]
fn a_download_goes_on_when_its_node_hangs() {
    a_download_goes_on_when(&async |cluster, node, _| cluster.stack.pause(node).await);
}

#[test]
fn a_download_goes_on_when_its_connections_are_reset() {
    a_download_goes_on_when(&async |_, _, link| {
        link.reset();
        Ok(())
    });
}

#[test]
fn a_download_goes_on_when_its_connections_die_unnoticed() {
    a_download_goes_on_when(&async |_, _, link| {
        link.half_open();
        Ok(())
    });
}

/// How often each copy was reported as lost, by blob and node.
async fn reported(cluster: &Cluster, paths: &[String]) -> anyhow::Result<BTreeMap<(String, String), usize>> {
    let mut reported = BTreeMap::new();
    for path in paths {
        for event in cluster.client().await?.events(path).await?.into_iter().filter(|event| event.r#type == LOST) {
            let fields = event.data.context("no data")?.fields;
            let text = |name: &str| format!("{:?}", fields.get(name));
            ensure!(text("reason").contains("wrong bytes"), "{fields:?}");
            let nodes = cluster.stack.nodes();
            let node = nodes.iter().find(|node| text("node").contains(&node.id)).context("no node")?.id.clone();
            *reported.entry((path.clone(), node)).or_default() += 1;
        }
    }
    Ok(reported)
}

#[test]
fn flipped_bytes_are_reported_and_never_given_to_a_client() {
    run(
        // On a busy machine the scrub could find them first.
        |b| b.env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "0s"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let mut paths = Vec::new();
            for n in 0..10 {
                let (path, content) = (format!("f{n}"), Content::new(n, if n < 3 { 9 * MIB } else { 5000 }));
                let receipt = client.put(&path, content).await?;
                cluster.replicated(&path, 3).await;
                let key = receipt.blob_id.parse::<proto::BlobId>()?.key();
                let mut wrong = content.bytes().to_vec();
                wrong[2500] ^= 1;
                for node in ["node-a", "node-b"] {
                    let (s3, bucket) = s3::client(cluster, node);
                    let body = Bytes::from(wrong.clone()).into();
                    s3.put_object().bucket(bucket).key(&key).body(body).send().await?;
                }
                for _ in 0..3 {
                    assert!(client.get(&path).await? == content.bytes(), "{path}");
                }
                paths.push(path);
            }
            // For one file of three the right node is asked first, and nothing is found.
            let reported = eventually("what was found is in the journal", async || {
                let reported = reported(cluster, &paths).await?;
                ensure!(!reported.is_empty(), "nothing is reported");
                anyhow::Ok(reported)
            })
            .await;
            for ((path, node), times) in &reported {
                assert!(node != "node-c", "{path}: the right copy was reported");
                assert_eq!(*times, 1, "{path} on {node}");
                eventually("the catalog does not call it stored any more, or again", async || {
                    let file = cluster.client().await?.file(path).await?;
                    let replica = file.replicas.iter().find(|replica| replica.node == *node).context("no row")?;
                    // Until a replicator has made it again.
                    let seen =
                        matches!(replica.state(), ReplicaState::Lost | ReplicaState::Pending | ReplicaState::Stored);
                    ensure!(seen, "{replica:?}");
                    anyhow::Ok(())
                })
                .await;
            }
            cluster.verify().await
        },
    );
}
