//! Nodes that answer, but do not do what they are asked: full, refusing a key, or breaking off.

use anyhow::{Context as _, ensure};
use http::Method;
use proto::v1::{self, ReplicaState};
use tests::{Act, Client, Cluster, Content, Proxy, Rule, eventually, reason_of, run};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::s3;

const MIB: u64 = 1024 * 1024;
const BLOBS: &str = "blobs/";
const FULL: Act = Act::Answer { status: 507, code: "InsufficientStorage" };

/// Proxies between all nodes and the gateway.
async fn before_the_gateway(cluster: &Cluster) -> anyhow::Result<Vec<Proxy>> {
    let proxies = Proxy::between(cluster, "gateway").await?;
    cluster.stack.restart("gateway").await?;
    Ok(proxies)
}

async fn head(client: &mut Client) -> anyhow::Result<String> {
    Ok(client.status().await?.journal.context("no journal in the status")?.head)
}

fn replica<'a>(file: &'a v1::File, node: &str) -> anyhow::Result<&'a v1::Replica> {
    file.replicas.iter().find(|replica| replica.node == node).with_context(|| format!("no row for {node}"))
}

/// Nothing is on the nodes, nothing was begun there, and the journal ends where it did.
async fn nothing_was_made(cluster: &Cluster, head_before: &str) -> anyhow::Result<()> {
    ensure!(s3::blobs(cluster).await?.is_empty(), "blobs: {:?}", s3::blobs(cluster).await?);
    ensure!(s3::unfinished(cluster).await?.is_empty(), "unfinished: {:?}", s3::unfinished(cluster).await?);
    let head_now = head(&mut cluster.client().await?).await?;
    ensure!(head_now == head_before, "an event was published: {head_before} before, {head_now} now");
    Ok(())
}

#[test]
fn a_node_that_is_full_or_refuses_the_key_is_passed_over_at_upload() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let proxies = before_the_gateway(cluster).await?;
            let mut client = cluster.client().await?;
            let answers = [
                (507, "InsufficientStorage"),
                (500, "XMinioStorageFull"),
                (403, "AccessDenied"),
                (400, "InvalidArgument"),
            ];
            for (status, code) in answers {
                for size in [5000, 9 * MIB] {
                    for proxy in &proxies[..2] {
                        proxy.clear();
                        proxy.add(Rule::writes(BLOBS, Act::Answer { status, code }));
                    }
                    let (path, content) = (format!("{code}-{size}"), Content::new(size, size));
                    eventually("an upload was refused on its way", async || {
                        let receipt = client.put(&path, content).await.expect("another node takes it");
                        assert_eq!(receipt.node, "node-c", "{status} {code}");
                        let hits: usize = proxies.iter().map(Proxy::hits).sum();
                        ensure!(hits > 0, "none of the two nodes was asked");
                        Ok(())
                    })
                    .await;
                    assert_eq!(client.get(&path).await?, content.bytes());
                }
            }
            for node in ["node-a", "node-b"] {
                assert_eq!(s3::keys(cluster, node, BLOBS).await?, Vec::<String>::new());
            }
            Ok(())
        },
    );
}

#[test]
fn what_every_node_refuses_is_not_stored_and_may_be_tried_again() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let proxies = before_the_gateway(cluster).await?;
            let mut client = cluster.client().await?;
            let before = head(&mut client).await?;
            let refusals = [
                FULL,
                Act::Answer { status: 500, code: "XMinioStorageFull" },
                Act::Answer { status: 403, code: "AccessDenied" },
                Act::Answer { status: 400, code: "InvalidArgument" },
            ];
            for act in refusals {
                for proxy in &proxies {
                    proxy.clear();
                    proxy.add(Rule::writes(BLOBS, act.clone()));
                }
                for size in [0, 5000, 9 * MIB] {
                    let status = client.put("new", Content::new(1, size)).await.expect_err("nobody takes it");
                    assert_eq!(
                        (status.code(), reason_of(&status).as_str()),
                        (Code::Unavailable, "no_node_available"),
                        "{act:?} {size}: {status:?}"
                    );
                    assert!(status.get_details_retry_info().is_some(), "{act:?} {size}: {status:?}");
                }
            }
            nothing_was_made(cluster, &before).await?;
            proxies.iter().for_each(Proxy::clear);
            eventually("uploads work again", async || client.put("new", Content::new(1, 5000)).await).await;
            Ok(())
        },
    );
}

/// One node refuses one key: that copy is given up with the reason, and everything else goes on.
fn refused_in_replication(act: Act, words: &str) {
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2"),
        async |cluster| {
            let proxies = Proxy::between(cluster, "replicator").await?;
            let mut client = cluster.client().await?;
            let receipt = client.put("refused", Content::new(1, 5000)).await?;
            let key = receipt.blob_id.parse::<proto::BlobId>()?.key();
            let target = proxies.iter().find(|proxy| proxy.id() != receipt.node).context("no other node")?;
            target.add(Rule::writes(key, act));
            cluster.stack.scale(1).await?;
            for n in 2..20 {
                client.put(&format!("fine-{n}"), Content::new(n, 5000)).await?;
            }
            for n in 2..20 {
                cluster.replicated(&format!("fine-{n}"), 3).await;
            }
            let file = eventually("the copy is given up", async || {
                let file = cluster.client().await?.file("refused").await?;
                let state = replica(&file, target.id())?.state();
                ensure!(state == ReplicaState::Parked, "{state:?} after {} refusals", target.hits());
                anyhow::Ok(file)
            })
            .await;
            let parked = replica(&file, target.id())?;
            assert_eq!(parked.attempts, 2);
            assert!(parked.reason.contains(words), "{:?}", parked.reason);
            cluster.replicated("refused", 2).await;
            let status = cluster.settle().await;
            for node in &status.nodes {
                assert_eq!(node.blobs_parked, u64::from(node.node == target.id()), "{node:?}");
            }
            cluster.verify().await
        },
    );
}

#[test]
fn a_key_that_a_node_does_not_take_is_parked_there_with_the_reason() {
    refused_in_replication(Act::Answer { status: 400, code: "InvalidArgument" }, "InvalidArgument");
}

#[test]
fn a_key_to_which_a_node_denies_access_is_parked_there_with_the_reason() {
    refused_in_replication(Act::Answer { status: 403, code: "AccessDenied" }, "AccessDenied");
}

#[test]
fn a_full_node_is_caught_up_when_it_has_room_again() {
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "1"),
        async |cluster| {
            let proxies = Proxy::between(cluster, "replicator").await?;
            let mut client = cluster.client().await?;
            let full = &proxies[1];
            for act in [FULL, Act::Answer { status: 500, code: "XMinioStorageFull" }] {
                full.add(Rule::writes(BLOBS, act).times(12));
            }
            let paths: Vec<String> = (0..20).map(|n| format!("f{n}")).chain(["large".to_owned()]).collect();
            for (n, path) in (0..).zip(&paths) {
                client.put(path, Content::new(n, if path == "large" { 66 * MIB } else { 5000 })).await?;
            }
            full.add(Rule::writes(BLOBS, FULL));
            cluster.stack.scale(1).await?;
            eventually("it was asked often and is full", async || {
                ensure!(full.hits() > 30, "{} times", full.hits());
                Ok(())
            })
            .await;
            let mut waiting = 0;
            for path in &paths {
                let file = eventually("the other nodes have it", async || {
                    let file = cluster.client().await?.file(path).await?;
                    ensure!(replica(&file, "node-a")?.state() == ReplicaState::Stored, "{:?}", file.replicas);
                    ensure!(replica(&file, "node-c")?.state() == ReplicaState::Stored, "{:?}", file.replicas);
                    anyhow::Ok(file)
                })
                .await;
                let there = replica(&file, "node-b")?;
                assert!(matches!(there.state(), ReplicaState::Pending | ReplicaState::Stored), "{path}: {there:?}");
                waiting += usize::from(there.state() == ReplicaState::Pending);
            }
            assert!(waiting > 0, "the gateway put all files on the full node itself");
            full.clear();
            let status = cluster.settle().await;
            assert_eq!(status.nodes.iter().map(|node| node.blobs_parked).sum::<u64>(), 0);
            for path in &paths {
                cluster.replicated(path, 3).await;
            }
            cluster.verify().await
        },
    );
}

/// Which node is asked first depends on how fast they were: after so many rounds it was more than one of them.
const ROUNDS: usize = 30;

/// Waits until no node counts as unavailable for what it did before.
async fn all_are_healthy(cluster: &Cluster) {
    eventually("all nodes are healthy", async || {
        let status = cluster.client().await?.status().await?;
        for node in &status.nodes {
            ensure!(node.health() == v1::NodeHealth::Healthy, "{}: {}", node.node, node.reason);
        }
        anyhow::Ok(())
    })
    .await;
}

/// Downloads while these rules hold, one for each node, and says how often a node broke off.
async fn get_while(
    cluster: &Cluster,
    proxies: &[Proxy],
    rules: Vec<Option<Rule>>,
    path: &str,
) -> anyhow::Result<usize> {
    proxies.iter().for_each(Proxy::clear);
    all_are_healthy(cluster).await;
    for (proxy, rule) in proxies.iter().zip(rules) {
        if let Some(rule) = rule {
            proxy.add(rule);
        }
    }
    let content = cluster.client().await?.get(path).await.with_context(|| path.to_owned())?;
    let version = cluster.client().await?.file(path).await?.version.context("no version")?;
    assert_eq!(tests::digest_of(&content).as_bytes()[..], version.sha256[..], "{path}");
    Ok(proxies.iter().map(Proxy::hits).sum())
}

#[test]
fn a_download_goes_on_at_another_node_when_one_breaks_off() {
    run(
        |b| {
            // So many rounds are no reason to count a copy as lost.
            b.env("gateway", "HIGHWATER_BLOBS__KEY_FAULTS", "1000").env(
                "gateway",
                "HIGHWATER_BLOBS__HEALTH_INTERVAL",
                "500ms",
            )
        },
        async |cluster| {
            let mut client = cluster.client().await?;
            let contents = [("small", Content::new(1, 300_000)), ("sliced", Content::new(2, 20 * MIB + 5))];
            let mut keys = Vec::new();
            for (path, content) in contents {
                let receipt = client.put(path, content).await?;
                keys.push(receipt.blob_id.parse::<proto::BlobId>()?.key());
                cluster.replicated(path, 3).await;
            }
            let proxies = before_the_gateway(cluster).await?;
            for ((path, _), key) in contents.iter().zip(&keys) {
                let cut = || Rule::new(&[Method::GET], key, Act::CutAnswer { after: 100_000 }).exactly();
                // Each of the three is the only one that does not break off, in turns, until two of them have taken over.
                let mut took_over = [false; 3];
                let enough = |took_over: [bool; 3]| took_over.iter().filter(|took_over| **took_over).count() >= 2;
                for round in 0..ROUNDS {
                    let whole = round % 3;
                    let rules = (0..3).map(|n| (n != whole).then(cut)).collect();
                    took_over[whole] |= get_while(cluster, &proxies, rules, path).await? > 0;
                    if enough(took_over) {
                        break;
                    }
                }
                assert!(enough(took_over), "{path}: who is whole was asked first in nearly all rounds: {took_over:?}");
            }
            // The node that gives the first slice breaks off in the second one, when it is asked for both.
            let cut = || Rule::new(&[Method::GET], &keys[1], Act::CutAnswer { after: MIB }).exactly().skip(1).times(1);
            for _ in 0..ROUNDS {
                if get_while(cluster, &proxies, (0..3).map(|_| Some(cut())).collect(), "sliced").await? > 0 {
                    return Ok(());
                }
            }
            anyhow::bail!("no node was asked for two slices")
        },
    );
}

#[test]
fn a_part_that_breaks_off_is_sent_again() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let proxies = before_the_gateway(cluster).await?;
            let mut client = cluster.client().await?;
            for proxy in &proxies {
                let cut = Act::CutRequest { after: MIB };
                proxy.add(Rule::new(&[Method::PUT], BLOBS, cut).with_query("partNumber").times(2));
            }
            let content = Content::new(1, 40 * MIB);
            client.put("cut", content).await?;
            assert_eq!(proxies.iter().map(Proxy::hits).sum::<usize>(), 2, "two parts broke off");
            assert!(client.get("cut").await? == content.bytes());
            assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
            Ok(())
        },
    );
}

#[test]
fn an_upload_whose_node_breaks_off_for_good_is_thrown_away() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_BLOBS__RETRY__MAX_ELAPSED", "1s"),
        async |cluster| {
            let proxies = before_the_gateway(cluster).await?;
            let mut client = cluster.client().await?;
            let before = head(&mut client).await?;
            for act in [Act::CutRequest { after: MIB }, FULL] {
                for proxy in &proxies {
                    proxy.clear();
                    proxy.add(Rule::new(&[Method::PUT], BLOBS, act.clone()).with_query("partNumber"));
                }
                let status = client.put("cut", Content::new(1, 40 * MIB)).await.expect_err("no part arrives");
                assert_eq!(
                    (status.code(), reason_of(&status).as_str()),
                    (Code::Unavailable, "no_node_available"),
                    "{act:?}: {status:?}"
                );
                assert!(status.get_details_retry_info().is_some(), "{act:?}: {status:?}");
                assert!(proxies.iter().any(|proxy| proxy.hits() > 0));
            }
            nothing_was_made(cluster, &before).await?;
            proxies.iter().for_each(Proxy::clear);
            eventually("uploads work again", async || client.put("cut", Content::new(1, 40 * MIB)).await).await;
            Ok(())
        },
    );
}
