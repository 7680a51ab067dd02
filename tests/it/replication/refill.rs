//! Filling nodes that join, and going on after a crash.

use std::fs;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::FileUploaded;
use tests::{Cluster, Content, Link, eventually, run};

use super::world::{Log, attentive, has_exactly, marker};

async fn uploads(log: &Log) -> anyhow::Result<Vec<FileUploaded>> {
    Ok(log.uploads().await?.into_iter().map(|(_, uploaded)| uploaded).collect())
}

#[test]
fn a_node_that_joins_later_is_filled() {
    let four = |b: Builder| attentive(b).node_count(4).late_nodes(1);
    run(four, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for (seed, size) in (1..).zip([0, 1, 5000, 9 * 1024 * 1024, 66 * 1024 * 1024]) {
            client.put(&format!("{size}"), Content::new(seed, size)).await?;
        }
        let status = cluster.settle().await;
        assert_eq!(status.nodes.len(), 3);

        cluster.stack.tell_of_all_nodes()?;
        cluster.stack.run_once("gateway", &["init"]).await?;
        for service in ["gateway", "replicator-1", "replicator-2"] {
            cluster.stack.restart(service).await?;
        }
        let refill = log.filled(cluster, "node-d").await;
        assert_eq!(refill["blobs_copied"], 5, "{refill}");
        let status = cluster.settle().await;
        assert_eq!(status.nodes.len(), 4);
        has_exactly(cluster, "node-d", &uploads(&log).await?).await?;
        // From here on it is a node like the others.
        cluster.client().await?.put("after", Content::new(9, 4000)).await?;
        cluster.replicated("after", 4).await;
        cluster.verify().await
    });
}

#[test]
fn blobs_that_wait_for_a_node_that_is_down_do_not_hold_a_refill_up() {
    const OLD: u64 = 30;
    const NEW: u64 = 5;
    let few = |b: Builder| {
        [("MAX_WAITING", "2"), ("REFILL_CONCURRENCY", "1"), ("SOURCE_WAIT__MAX_DELAY", "3s")]
            .into_iter()
            .fold(attentive(b).node_count(4).late_nodes(1).replicators(0), |b, (key, value)| {
                b.env("replicator", &format!("HIGHWATER_REPLICATOR__{key}"), value)
            })
    };
    run(few, async |cluster| {
        // What is old is on node-b only, and what is new on the two others.
        let put = async |prefix: &str, count: u64, on: &[&str]| {
            for n in 0..count {
                eventually("it is where it is to be", async || {
                    let path = format!("{prefix}/{n}");
                    let receipt = cluster.client().await?.put(&path, Content::new(n, 5000)).await?;
                    ensure!(on.contains(&receipt.node.as_str()), "{} took it", receipt.node);
                    anyhow::Ok(())
                })
                .await;
            }
        };
        for node in ["node-a", "node-c"] {
            cluster.stack.stop(node).await?;
        }
        put("old", OLD, &["node-b"]).await;
        for node in ["node-a", "node-c"] {
            cluster.stack.start(node).await?;
        }
        cluster.stack.stop("node-b").await?;
        put("new", NEW, &["node-a", "node-c"]).await;
        cluster.stack.start("node-b").await?;
        cluster.stack.tell_of_all_nodes()?;
        cluster.stack.run_once("gateway", &["init"]).await?;
        cluster.stack.restart("gateway").await?;
        cluster.stack.kill("node-b").await?;
        cluster.stack.scale(1).await?;
        for n in 0..NEW {
            cluster.replicated(&format!("new/{n}"), 3).await;
        }
        let status = cluster.client().await?.status().await?;
        let filled = status.nodes.iter().find(|node| node.node == "node-d").context("no node-d")?;
        assert_eq!((filled.blobs_pending, filled.blobs_parked), (OLD, 0), "{filled:?}");
        cluster.stack.start("node-b").await?;
        cluster.settle().await;
        cluster.verify().await
    });
}

#[test]
fn uploads_made_while_a_node_is_filled_reach_it_before_it_is_full() {
    // So narrow that the filling takes more than a minute.
    const LINE: u64 = 16 * 1024;
    run(
        |b| attentive(b).replicators(0),
        async |cluster| {
            let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
            let links = Link::to_nodes(cluster, "replicator").await?;
            cluster.stack.scale(1).await?;
            for n in 0..60 {
                client.put(&format!("old/{n}"), Content::new(n, 20_000)).await?;
            }
            cluster.settle().await;
            cluster.stack.stop("node-b").await?;
            fs::remove_dir_all(cluster.stack.data_of("node-b").context("it has no disk")?)?;
            let at = cluster.stack.nodes().iter().position(|node| node.id == "node-b").context("no node-b")?;
            links[at].rate(LINE);
            cluster.stack.start("node-b").await?;
            let told = async || {
                let said = cluster.highwater(&["ops", "status", "--json"]).await?;
                let said: serde_json::Value = serde_json::from_slice(&said.stdout)?;
                let nodes = said["nodes"].as_array().cloned().unwrap_or_default();
                let node = nodes.into_iter().find(|node| node["node"] == "node-b").context("no node-b")?;
                anyhow::Ok(node["refill"].clone())
            };
            let first = eventually("the status tells of the filling, and when it ends", async || {
                let told = told().await?;
                ensure!(told["blobs_copied"].as_u64() > Some(0) && told["eta"].as_f64() > Some(0.0), "{told}");
                anyhow::Ok(told)
            })
            .await;
            for n in 0..10 {
                client.put(&format!("live/{n}"), Content::new(100 + n, 200)).await?;
            }
            for n in 0..10 {
                cluster.replicated(&format!("live/{n}"), 3).await;
            }
            let refill = log.refill("node-b").await?;
            assert_eq!(refill["done"], false, "the live copies came after the filling: {refill}");
            // Nor does the filling stand still meanwhile.
            eventually("the filling goes on", async || {
                let told = told().await?;
                ensure!(told["blobs_copied"].as_u64() > first["blobs_copied"].as_u64(), "{told}, before {first}");
                Ok(())
            })
            .await;
            links[at].heal();
            assert_eq!(log.filled(cluster, "node-b").await["blobs_copied"], 60);
            cluster.settle().await;
            assert!(told().await?.is_null());
            has_exactly(cluster, "node-b", &uploads(&log).await?).await?;
            cluster.verify().await
        },
    );
}

/// The event from which a program's log says last that it fills node-b up to `until`.
fn filled_from(cluster: &Cluster, program: &str, until: u64) -> Option<u64> {
    let said = fs::read_to_string(cluster.stack.log(program)).ok()?;
    let begun = said.lines().filter_map(|line| line.split_once("filling node node-b from event "));
    let mut ranges = begun.filter_map(|(_, rest)| rest.split_once(" to "));
    let is_until = |to: &str| to.split(|c: char| !c.is_ascii_digit()).next() == Some(until.to_string().as_str());
    ranges.rfind(|(_, to)| is_until(to))?.0.parse().ok()
}

#[test]
fn a_refill_goes_on_where_a_killed_replicator_stopped() {
    let slow = |b: Builder| {
        attentive(b).env("replicator", "HIGHWATER_REPLICATOR__REFILL_CONCURRENCY", "1").env(
            "replicator",
            "HIGHWATER_REPLICATOR__MAX_WAITING",
            "1",
        )
    };
    run(slow, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..150 {
            client.put(&format!("{n}"), Content::new(n, 30_000)).await?;
        }
        cluster.settle().await;
        let old = marker(cluster, "node-b").await?;
        cluster.stack.stop("node-b").await?;
        let dir = cluster.stack.data_of("node-b").unwrap();
        fs::remove_dir_all(&dir)?;
        cluster.stack.start("node-b").await?;
        let before = eventually("the refill is under way", async || {
            let refill = log.refill("node-b").await?;
            ensure!(refill["marker_id"] != *old.to_string(), "{refill}");
            ensure!(refill["blobs_copied"].as_u64() >= Some(10), "{refill}");
            anyhow::Ok(refill)
        })
        .await;
        let status = client.status().await?;
        let told = status.nodes.iter().find(|node| node.node == "node-b").and_then(|node| node.refill.as_ref());
        let told = told.context("nothing is told of the refill")?;
        ensure!(told.blobs_copied >= 10 && told.bytes_copied >= 300_000 && told.eta.is_some(), "{told:?}");
        let cause = before["cause"].as_u64().unwrap();
        let worker =
            ["replicator-1", "replicator-2"].into_iter().find(|name| filled_from(cluster, name, cause) == Some(1));
        let worker = worker.expect("one replicator fills the node from the beginning");
        cluster.stack.kill(worker).await?;
        let killed_at = log.refill("node-b").await?;
        assert_eq!(killed_at["done"], false, "{killed_at}");
        let position = killed_at["position"].as_u64().unwrap();
        assert!(position > 1 && position < cause, "{killed_at}");

        let refill = log.filled(cluster, "node-b").await;
        assert_eq!(refill["cause"].as_u64(), Some(cause));
        assert!(refill["blobs_copied"].as_u64().unwrap() <= 150, "{refill}");
        let other = if worker == "replicator-1" { "replicator-2" } else { "replicator-1" };
        assert_eq!(filled_from(cluster, other, cause), Some(position + 1));
        cluster.settle().await;
        has_exactly(cluster, "node-b", &uploads(&log).await?).await?;
        cluster.verify().await
    });
}

#[test]
fn a_refill_goes_on_where_a_stopped_replicator_stopped() {
    let slow = |b: Builder| {
        attentive(b)
            .replicators(1)
            .env("replicator", "HIGHWATER_REPLICATOR__REFILL_CONCURRENCY", "1")
            .env("replicator", "HIGHWATER_REPLICATOR__MAX_WAITING", "1")
            .env("replicator", "HIGHWATER_REPLICATOR__REFILL_SAVE_WITHIN", "1h")
            // Nobody could take it over from somebody who has not given it back.
            .env("gateway", "HIGHWATER_NATS__LEASE_TTL", "1h")
            .env("replicator", "HIGHWATER_NATS__LEASE_TTL", "1h")
    };
    run(slow, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..100 {
            client.put(&format!("{n}"), Content::new(n, 30_000)).await?;
        }
        cluster.settle().await;
        cluster.stack.stop("node-b").await?;
        let dir = cluster.stack.data_of("node-b").unwrap();
        fs::remove_dir_all(&dir)?;
        cluster.stack.start("node-b").await?;
        eventually("the refill is under way", async || {
            let keys = crate::s3::keys(cluster, "node-b", "blobs/").await?.len();
            ensure!(keys >= 10, "{keys} blobs");
            anyhow::Ok(())
        })
        .await;
        cluster.stack.stop("replicator-1").await?;
        let stopped_at = log.refill("node-b").await?;
        let (position, cause) = (stopped_at["position"].as_u64().unwrap(), stopped_at["cause"].as_u64().unwrap());
        assert!(position > 1 && stopped_at["done"] == false, "{stopped_at}");
        cluster.stack.start("replicator-1").await?;
        log.filled(cluster, "node-b").await;
        assert_eq!(filled_from(cluster, "replicator-1", cause), Some(position + 1));
        cluster.settle().await;
        has_exactly(cluster, "node-b", &uploads(&log).await?).await?;
        cluster.verify().await
    });
}

#[test]
fn a_blob_that_no_node_has_is_parked_and_the_rest_is_filled() {
    let impatient = |b: Builder| {
        attentive(b).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2").env(
            "replicator",
            "HIGHWATER_REPLICATOR__RETRY__FIRST_DELAY",
            "100ms",
        )
    };
    run(impatient, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..10 {
            client.put(&format!("{n}"), Content::new(n, 3000)).await?;
        }
        cluster.settle().await;
        let all = uploads(&log).await?;
        for node in ["node-a", "node-c"] {
            let (s3, bucket) = crate::s3::client(cluster, node);
            s3.delete_object().bucket(bucket).key(all[4].blob_id.key()).send().await?;
        }
        cluster.stack.stop("node-b").await?;
        let dir = cluster.stack.data_of("node-b").unwrap();
        fs::remove_dir_all(&dir)?;
        cluster.stack.start("node-b").await?;
        let refill = log.filled(cluster, "node-b").await;
        assert_eq!(refill["blobs_copied"], 9, "{refill}");
        let status = cluster.settle().await;
        let parked: u64 = status.nodes.iter().map(|node| node.blobs_parked).sum();
        assert_eq!(parked, 1);
        let rest: Vec<FileUploaded> = all.iter().filter(|one| one.blob_id != all[4].blob_id).cloned().collect();
        has_exactly(cluster, "node-b", &rest).await?;
        cluster.verify().await
    });
}

#[test]
fn a_refill_that_was_forgotten_is_done_all_the_same() {
    run(attentive, async |cluster| {
        let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
        for n in 0..10 {
            client.put(&format!("{n}"), Content::new(n, 3000)).await?;
        }
        cluster.settle().await;
        cluster.stack.stop("node-b").await?;
        fs::remove_dir_all(cluster.stack.data_of("node-b").unwrap())?;
        cluster.stack.start("node-b").await?;
        log.filled(cluster, "node-b").await;
        cluster.stack.scale(0).await?;
        let all = uploads(&log).await?;
        let (s3, bucket) = crate::s3::client(cluster, "node-b");
        s3.delete_object().bucket(bucket).key(all[4].blob_id.key()).send().await?;
        log.forget_refill("node-b").await?;
        // The event that asked for it was acknowledged long ago.
        cluster.stack.scale(1).await?;
        log.filled(cluster, "node-b").await;
        has_exactly(cluster, "node-b", &all).await?;
        cluster.verify().await
    });
}
