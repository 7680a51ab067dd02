//! Several replicators share the work, with no configuration but their start.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use proto::v1::ReplicaState;
use rustix::process::{Pid, Signal, kill_process};
use tests::{Act, Cluster, Content, Link, Proxy, Rule, eventually, run};

use crate::s3;

const MIB: u64 = 1024 * 1024;
const CONCURRENCY: usize = 4;

/// Replicators that say what they copy, and whose unfinished work is soon another's.
fn talkative(builder: compose::Builder) -> compose::Builder {
    let builder = ["gateway", "replicator", "projector"]
        .into_iter()
        .fold(builder.replicators(0), |b, service| b.env(service, "HIGHWATER_NATS__ACK_WAIT", "4s"));
    builder.env("replicator", "HIGHWATER_TELEMETRY__FILTER", "info,replicator=debug").env(
        "replicator",
        "HIGHWATER_REPLICATOR__CONCURRENCY",
        &CONCURRENCY.to_string(),
    )
}

async fn upload(cluster: &Cluster, files: u64) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    for n in 0..files {
        client.put(&format!("f{n}"), Content::new(n, 20_000)).await?;
    }
    Ok(())
}

/// The copies that a replicator reported, by blob and node, without those that it found there.
fn copied(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<String>> {
    let log = std::fs::read_to_string(cluster.stack.log(name)).with_context(|| format!("the log of {name}"))?;
    let lines = log.lines().filter(|line| line.contains("stored replica of ") && line.contains(" copied)"));
    let pair = |line: &str| {
        let (_, rest) = line.split_once("stored replica of ")?;
        Some(rest.split(" (").next()?.to_owned())
    };
    lines.map(|line| pair(line).with_context(|| line.to_owned())).collect()
}

fn shared_by(replicators: usize, files: u64) {
    run(talkative, async |cluster| {
        upload(cluster, files).await?;
        // Narrow lines, so that none of them has done everything before the others are there.
        let mut of_all = Vec::new();
        for n in 1..=replicators {
            let links = Link::to_nodes(cluster, &format!("replicator-{n}")).await?;
            for link in &links {
                link.rate(64 * 1024);
            }
            of_all.push(links);
        }
        cluster.stack.scale(replicators).await?;
        cluster.settle().await;
        let mut all = BTreeMap::<String, usize>::new();
        for n in 1..=replicators {
            let copied = copied(cluster, &format!("replicator-{n}"))?;
            assert!(!copied.is_empty(), "replicator-{n} had nothing to do");
            for pair in copied {
                *all.entry(pair).or_default() += 1;
            }
        }
        let twice: Vec<_> = all.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "copied twice: {twice:?}");
        assert_eq!(all.len() as u64, 2 * files, "each file to two nodes");
        cluster.verify().await
    });
}

#[test]
fn two_replicators_share_the_work() {
    shared_by(2, 60);
}

#[test]
fn four_replicators_share_the_work() {
    shared_by(4, 60);
}

#[test]
fn eight_replicators_share_the_work() {
    shared_by(8, 160);
}

/// Requests that write a blob, by node.
fn writes(proxies: &[Proxy]) -> Vec<usize> {
    proxies.iter().map(Proxy::hits).collect()
}

/// One of two replicators is ended in its middle; answers for each node how many more writes there were than copies.
async fn one_of_two_ends(cluster: &Cluster, end: impl AsyncFn(&str) -> anyhow::Result<()>) -> anyhow::Result<Vec<i64>> {
    const FILES: u64 = 150;
    upload(cluster, FILES).await?;
    let mut before = Vec::new();
    for node in cluster.stack.nodes() {
        before.push(s3::keys(cluster, &node.id, "blobs/").await?.len());
    }
    let proxies = Proxy::between(cluster, "replicator").await?;
    for proxy in &proxies {
        proxy.add(Rule::writes("blobs/", Act::Pass));
    }
    cluster.stack.scale(2).await?;
    eventually("a part of the work is done", async || {
        let done: usize = writes(&proxies).iter().sum();
        ensure!(done >= 60, "{done} copies");
        Ok(())
    })
    .await;
    end("replicator-1").await?;
    let status = cluster.settle().await;
    assert!(status.nodes.iter().all(|node| node.blobs_parked == 0), "{status:?}");
    let mut surplus = Vec::new();
    for ((node, before), writes) in cluster.stack.nodes().iter().zip(before).zip(writes(&proxies)) {
        let after = s3::keys(cluster, &node.id, "blobs/").await?.len();
        assert_eq!(after as u64, FILES, "{}", node.id);
        surplus.push(i64::try_from(writes)? - i64::try_from(after - before)?);
    }
    assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
    cluster.verify().await?;
    Ok(surplus)
}

#[test]
fn a_replicator_that_is_killed_loses_nothing_and_only_what_was_in_flight_is_copied_twice() {
    run(talkative, async |cluster| {
        let surplus = one_of_two_ends(cluster, async |name| cluster.stack.kill(name).await).await?;
        let most = i64::try_from(CONCURRENCY)?;
        assert!(surplus.iter().all(|surplus| (0..=most).contains(surplus)), "copied twice: {surplus:?}");
        Ok(())
    });
}

#[test]
fn a_replicator_that_is_told_to_stop_ends_what_it_has_begun() {
    run(talkative, async |cluster| {
        let terminate = async |name: &str| {
            let pid = cluster.stack.pid(name).context("it does not run")?;
            kill_process(Pid::from_raw(i32::try_from(pid)?).context("no process has this id")?, Signal::TERM)?;
            let exit = cluster.stack.wait_exit(name).await?;
            ensure!(exit.is_success(), "{exit}: {}", cluster.stack.log_tail(name, 30));
            Ok(())
        };
        let surplus = one_of_two_ends(cluster, terminate).await?;
        assert_eq!(surplus, [0, 0, 0], "copied twice");
        Ok(())
    });
}

#[test]
fn a_replicator_works_for_the_nodes_and_in_the_lanes_that_it_is_told() {
    run(talkative, async |cluster| {
        let mut client = cluster.client().await?;
        upload(cluster, 12).await?;
        client.put("large", Content::new(99, 65 * MIB)).await?;
        let args = ["--nodes", "node-a,node-b", "--lanes", "small", "--concurrency", "2"];
        let mut child = cluster.stack.command("replicator", args)?.stderr(std::process::Stdio::null()).spawn()?;
        for n in 0..12 {
            eventually("it is on two nodes at least", async || {
                let file = cluster.client().await?.file(&format!("f{n}")).await?;
                for replica in file.replicas.iter().filter(|replica| replica.node != "node-c") {
                    ensure!(replica.state() == ReplicaState::Stored, "{replica:?}");
                }
                anyhow::Ok(())
            })
            .await;
        }
        let large = client.file("large").await?;
        let stored = large.replicas.iter().filter(|replica| replica.state() == ReplicaState::Stored).count();
        assert_eq!(stored, 1, "nobody works in the lane for large blobs: {:?}", large.replicas);
        let status = client.status().await?;
        let other = status.nodes.iter().find(|node| node.node == "node-c").context("no such node")?;
        assert!(other.blobs_pending > 0, "nobody works for this node: {other:?}");
        child.kill().await?;
        cluster.stack.scale(1).await?;
        cluster.settle().await;
        cluster.verify().await
    });
}
