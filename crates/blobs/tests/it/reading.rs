use blobs::{BlobRef, Config, Error, Nodes, ObjectMeta, copy};
use bytes::Bytes;
use http::Method;
use proto::NodeId;
use runtime::retry::Transient as _;
use std::time::Duration;

use crate::cluster::{Cluster, FIRST, SOON, config, content, read_all};
use crate::on_each_server;
use crate::proxy::Break;

const SLICE: usize = 8 * 1024 * 1024;

on_each_server! {
    any_range_is_right
    wrong_bytes_never_leave_the_next_node_is_asked
    a_missing_or_short_object_is_read_from_the_next_node
    a_node_that_is_down_or_silent_is_passed_over
    no_right_bytes_anywhere_is_no_use_waiting_for
    bytes_on_a_node_that_is_down_are_worth_waiting_for
    an_exhausted_prefetch_budget_only_costs_time
    a_node_that_does_not_begin_to_answer_is_raced_and_asked_last_then
    a_node_that_falls_silent_in_a_slice_is_raced
    without_an_account_nothing_is_asked_twice
    what_breaks_off_in_a_slice_is_gone_on_with_elsewhere
    wrong_bytes_before_a_break_do_not_count_against_the_next_node
}

/// A blob on all three nodes, with them in the order in which they are asked.
async fn everywhere(cluster: &Cluster, nodes: &Nodes, content: &[u8]) -> (BlobRef, Vec<NodeId>) {
    let (blob, meta, written) = cluster.upload(nodes, content).await;
    let ranked: Vec<NodeId> = nodes.ranked(blob.blob_id).iter().map(|node| node.id().clone()).collect();
    for target in ranked.iter().filter(|node| **node != written.node) {
        copy_to(nodes, &blob, &meta, &written.node, target).await;
    }
    (blob, ranked)
}

async fn copy_to(nodes: &Nodes, blob: &BlobRef, meta: &ObjectMeta, source: &NodeId, target: &NodeId) {
    copy(nodes, blob, meta, std::slice::from_ref(source), target, FIRST).await.unwrap();
}

async fn any_range_is_right(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [0, 1000, SLICE, 2 * SLICE + 100] {
        let content = content(len);
        let (blob, _, written) = cluster.upload(&nodes, &content).await;
        let holders = [written.node];
        let offsets = [0, 1, 500, len / 2, SLICE - 1, SLICE, SLICE + 1, len.saturating_sub(1), len, len + 10];
        let lengths = [0, 1, 100, SLICE, SLICE + 1, usize::MAX];
        for offset in offsets {
            for length in lengths {
                let start = offset.min(len);
                let expected = &content[start..start.saturating_add(length).min(len)];
                let read = nodes.read(blob, &holders, offset as u64, length as u64);
                assert!(read_all(read).await.unwrap() == expected, "{length} bytes from {offset} of {len}");
            }
        }
    }
}

async fn wrong_bytes_never_leave_the_next_node_is_asked(cluster: Cluster) {
    for len in [70_000, 2 * SLICE + 70_000] {
        let nodes = cluster.nodes().await;
        let content = content(len);
        let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
        let first = nodes.get(&ranked[0]).unwrap();
        let mut wrong = content.clone();
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        first.put(&blob.blob_id.key(), wrong.into()).await.unwrap();
        // A range that has none of the wrong bytes is verified as a whole all the same.
        for (offset, length) in [(0, u64::MAX), (len as u64 - 100, 10)] {
            let mut read = nodes.read(blob, &ranked, offset, length);
            let mut all = Vec::new();
            while let Some(piece) = read.next().await.unwrap() {
                all.extend_from_slice(&piece);
            }
            let start = usize::try_from(offset).unwrap();
            let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(len);
            assert!(all == content[start..end]);
            let bad: Vec<_> = read.bad_replicas().iter().map(|bad| (&bad.node, bad.is_missing)).collect();
            assert_eq!(bad, [(&ranked[0], false)]);
        }
    }
}

async fn a_missing_or_short_object_is_read_from_the_next_node(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(SLICE + 70_000);
    let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
    let (first, second) = (nodes.get(&ranked[0]).unwrap(), nodes.get(&ranked[1]).unwrap());
    first.put(&blob.blob_id.key(), Bytes::copy_from_slice(&content[..SLICE + 60_000])).await.unwrap();
    second.delete(&blob.blob_id.parts_key()).await.unwrap();
    second.delete(&blob.blob_id.key()).await.unwrap();
    let mut read = nodes.read(blob, &ranked[..2], 0, u64::MAX);
    let error = loop {
        match read.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end is on no node"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    let bad: Vec<_> = read.bad_replicas().iter().map(|bad| (&bad.node, bad.is_missing)).collect();
    assert_eq!(bad, [(&ranked[0], false), (&ranked[1], true)]);
    assert!(read_all(nodes.read(blob, &ranked, 0, u64::MAX)).await.unwrap() == content);
}

async fn a_node_that_is_down_or_silent_is_passed_over(cluster: Cluster) {
    let nodes = cluster.nodes_with(Config { read_timeout: Duration::from_secs(2), ..config() }).await;
    let content = content(SLICE + 70_000);
    let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
    let first = cluster.proxy(&ranked[0]);
    for fault in [Break::Cut, Break::Answer(503, "SlowDown"), Break::Stall, Break::Hang, Break::GarbleAnswer] {
        first.rule(move |seen| seen.is(&Method::GET, "blobs/").then_some(fault));
        let read = read_all(nodes.read(blob, &ranked, 0, u64::MAX));
        assert!(tokio::time::timeout(SOON, read).await.unwrap().unwrap() == content, "{fault:?}");
    }
}

async fn no_right_bytes_anywhere_is_no_use_waiting_for(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (blob, ranked) = everywhere(&cluster, &nodes, &content(1000)).await;
    nodes.get(&ranked[0]).unwrap().put(&blob.blob_id.key(), Bytes::from_static(b"wrong")).await.unwrap();
    nodes.get(&ranked[1]).unwrap().delete(&blob.blob_id.key()).await.unwrap();
    let error = read_all(nodes.read(blob, &ranked[..2], 0, u64::MAX)).await.unwrap_err();
    assert!(matches!(&error, Error::Unreadable { .. }) && !error.is_transient(), "{error}");
    let error = read_all(nodes.read(blob, &[], 0, u64::MAX)).await.unwrap_err();
    assert!(matches!(&error, Error::Unreadable { .. }), "{error}");
}

async fn bytes_on_a_node_that_is_down_are_worth_waiting_for(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (blob, _, written) = cluster.upload(&nodes, &content(1000)).await;
    let holders: Vec<NodeId> = nodes.all().iter().map(|node| node.id().clone()).collect();
    cluster.proxy(&written.node).down();
    let error = read_all(nodes.read(blob, &holders, 0, u64::MAX)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }) && error.is_transient(), "{error}");
    let strangers = ["node-z".parse().unwrap()];
    let error = read_all(nodes.read(blob, &strangers, 0, u64::MAX)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { reason, .. } if reason.contains("node-z")), "{error}");
}

async fn an_exhausted_prefetch_budget_only_costs_time(cluster: Cluster) {
    let nodes = cluster.nodes_with(Config { prefetch_budget: 0, ..config() }).await;
    let content = content(3 * SLICE + 1);
    let (blob, _, written) = cluster.upload(&nodes, &content).await;
    assert!(read_all(nodes.read(blob, &[written.node], 0, u64::MAX)).await.unwrap() == content);
}

/// Settings with which a second node is asked soon.
fn hedging() -> Config {
    let soon = Duration::from_millis(100);
    Config { hedge_percent: 100, hedge_after_min: soon, hedge_after: soon, ..config() }
}

/// How often each node was asked for the blob's bytes since the last call, in this order.
fn asked(cluster: &Cluster, nodes: &[NodeId]) -> Vec<usize> {
    let gets =
        |node| cluster.proxy(node).take_seen().into_iter().filter(|seen| seen.is(&Method::GET, "blobs/")).count();
    nodes.iter().map(gets).collect()
}

async fn a_node_that_does_not_begin_to_answer_is_raced_and_asked_last_then(cluster: Cluster) {
    // A time that is never over: only a race can end the reads.
    let nodes = cluster.nodes_with(Config { read_timeout: Duration::from_hours(1), ..hedging() }).await;
    for len in [1000, 2 * SLICE + 70_000] {
        let content = content(len);
        let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
        let first = cluster.proxy(&ranked[0]);
        first.rule(|seen| seen.is(&Method::GET, "blobs/").then_some(Break::Hang));
        asked(&cluster, &ranked);
        let mut read = nodes.read(blob, &ranked, 0, u64::MAX);
        let mut all = Vec::new();
        while let Some(piece) = read.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        assert!(all == content);
        assert_eq!(read.bad_replicas(), [], "slow is not bad");
        let before = asked(&cluster, &ranked);
        assert!(before[0] <= 1, "the winner is asked first from then on: {before:?}");
        // It is known to be slow now, and is not asked while others are there; alone it is.
        assert!(read_all(nodes.read(blob, &ranked, 0, u64::MAX)).await.unwrap() == content);
        assert_eq!(asked(&cluster, &ranked)[0], 0);
        first.heal();
        assert!(read_all(nodes.read(blob, &ranked[..1], 0, u64::MAX)).await.unwrap() == content);
    }
}

async fn a_node_that_falls_silent_in_a_slice_is_raced(cluster: Cluster) {
    for is_list in [true, false] {
        let nodes = cluster.nodes_with(Config { read_timeout: Duration::from_hours(1), ..hedging() }).await;
        let content = content(SLICE + 70_000);
        let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
        let first = cluster.proxy(&ranked[0]);
        first.rule(move |seen| {
            let is_it = seen.is(&Method::GET, "blobs/") && seen.is(&Method::GET, ".parts") == is_list;
            is_it.then_some(Break::Stall)
        });
        let read = read_all(nodes.read(blob, &ranked, 0, u64::MAX));
        assert!(tokio::time::timeout(SOON, read).await.unwrap().unwrap() == content);
        first.heal();
    }
}

async fn without_an_account_nothing_is_asked_twice(cluster: Cluster) {
    let read_timeout = Duration::from_millis(700);
    let nodes = cluster.nodes_with(Config { hedge_percent: 0, read_timeout, ..hedging() }).await;
    let content = content(1000);
    let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
    cluster.proxy(&ranked[0]).rule(|seen| seen.is(&Method::GET, "blobs/").then_some(Break::Hang));
    asked(&cluster, &ranked);
    let started = std::time::Instant::now();
    assert!(read_all(nodes.read(blob, &ranked, 0, u64::MAX)).await.unwrap() == content);
    assert!(started.elapsed() >= read_timeout, "the first one was given its time");
    assert_eq!(asked(&cluster, &ranked), [1, 1, 0]);
}

async fn what_breaks_off_in_a_slice_is_gone_on_with_elsewhere(cluster: Cluster) {
    let nodes = cluster.nodes_with(Config { read_timeout: Duration::from_secs(2), ..config() }).await;
    for (len, fault) in
        [(70_000, Break::CutAnswer), (2 * SLICE + 70_000, Break::CutAnswer), (SLICE + 70_000, Break::Stall)]
    {
        let content = content(len);
        let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
        let mut broken = false;
        cluster.proxy(&ranked[0]).rule(move |seen| {
            let is_first = seen.is(&Method::GET, "blobs/") && !seen.is(&Method::GET, ".parts") && !broken;
            broken |= is_first;
            is_first.then_some(fault)
        });
        asked(&cluster, &ranked);
        let mut read = nodes.read(blob, &ranked, 0, u64::MAX);
        let mut all = Vec::new();
        while let Some(piece) = read.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        assert!(all == content);
        assert_eq!(read.bad_replicas(), [], "{fault:?}");
        let ranges = cluster.proxy(&ranked[1]).take_seen().into_iter().filter_map(|seen| seen.from);
        let inside: Vec<u64> = ranges.filter(|from| from % SLICE as u64 != 0).collect();
        assert_eq!(inside.len(), 1, "the rest of one slice, not all of it: {inside:?} {fault:?}");
        cluster.proxy(&ranked[0]).heal();
    }
}

async fn wrong_bytes_before_a_break_do_not_count_against_the_next_node(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(70_000);
    let (blob, ranked) = everywhere(&cluster, &nodes, &content).await;
    let mut wrong = content.clone();
    wrong[0] ^= 1;
    nodes.get(&ranked[0]).unwrap().put(&blob.blob_id.key(), wrong.into()).await.unwrap();
    cluster.proxy(&ranked[0]).rule(|seen| seen.is(&Method::GET, "blobs/").then_some(Break::CutAnswer));
    asked(&cluster, &ranked);
    let mut read = nodes.read(blob, &ranked[..2], 0, u64::MAX);
    let mut all = Vec::new();
    while let Some(piece) = read.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert!(all == content);
    assert_eq!(read.bad_replicas(), []);
    assert_eq!(asked(&cluster, &ranked)[..2], [1, 2], "the rest, then all of it");
}
