//! What happens to uploads whose node fails, goes away or forgets.

use std::time::Duration;

use blobs::{Config, Error, NodeFault, Nodes};
use http::Method;
use proto::SLICE_BYTES;
use runtime::clock::Clock;
use runtime::retry::Transient as _;

use super::{Kept, SLICE, is_stored, node_of, nothing_is_stored, start};
use crate::cluster::{Cluster, config, content};
use crate::on_each_server;
use crate::proxy::Break;

on_each_server! {
    an_upload_begins_on_the_next_node_when_one_fails
    a_part_that_cannot_be_sent_keeps_those_before_it
    a_write_that_was_dropped_is_not_gone_on_with
    a_node_that_is_down_is_waited_for
    a_node_with_another_marker_has_nothing_of_it
    a_wiped_node_has_nothing_of_it
    a_node_that_is_not_configured_any_more_has_nothing_of_it
    a_multipart_upload_that_is_gone_must_be_started_again
    records_that_are_not_its_own_are_noticed
}

fn must_restart(error: &Error) {
    assert!(matches!(error, Error::MustRestart { .. }) && !error.is_transient(), "{error}");
    assert!(error.to_string().contains("must be started again"), "{error}");
}

/// An upload of two slices and a bit, of which the first slice is there.
async fn begun(cluster: &Cluster, nodes: &Nodes) -> (Vec<u8>, Kept) {
    let content = content(2 * SLICE + 10);
    let (_, mut kept) = start(cluster, nodes, &content).await;
    kept.write(nodes, &content[..SLICE]).await.unwrap();
    (content, kept)
}

async fn an_upload_begins_on_the_next_node_when_one_fails(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, blob) = (content(SLICE + 1), cluster.blob());
    let ranked = nodes.ranked(blob);
    cluster.proxy(ranked[0].id()).down();
    let state = nodes.start_resumable(blob, cluster.meta(), content.len() as u64, None).await.unwrap();
    assert_eq!(state.node(), Some(ranked[1].id()));
    let mut kept = Kept::new(&state);
    kept.write(&nodes, &content).await.unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    assert_eq!(written.node, *ranked[1].id());
    is_stored(&nodes, blob, &written, &content).await;
    for proxy in &cluster.proxies {
        proxy.down();
    }
    let error = nodes.start_resumable(cluster.blob(), cluster.meta(), 1, None).await.unwrap_err();
    assert!(matches!(error, Error::NoNode { .. }) && error.is_transient(), "{error}");
}

async fn a_part_that_cannot_be_sent_keeps_those_before_it(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(4 * SLICE);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    let proxy = cluster.proxy(&node_of(&kept));
    proxy.rule(|seen| seen.is(&Method::PUT, "partNumber=2").then_some(Break::Answer(503, "SlowDown")));
    let error = kept.write(&nodes, &content).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    // Those after it are there too, but nobody counts on them.
    assert!(proxy.take_seen().iter().any(|seen| seen.is(&Method::PUT, "partNumber=3")));
    assert_eq!(kept.state().offset(), SLICE_BYTES);
    assert_eq!(kept.records().len(), 1);
    proxy.heal();
    kept.write(&nodes, &content[SLICE..]).await.unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn a_write_that_was_dropped_is_not_gone_on_with(cluster: Cluster) {
    let nodes = cluster.nodes_with(Config { upload_parallel_parts: 1, ..config() }).await;
    let content = content(3 * SLICE);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    let proxy = cluster.proxy(&node_of(&kept));
    proxy.rule(|seen| seen.is(&Method::PUT, "partNumber=1").then_some(Break::Hang));
    let mut upload = nodes.resume(kept.state(), 0).await.unwrap();
    let write = upload.write(content.clone().into());
    assert!(tokio::time::timeout(Duration::from_millis(200), write).await.is_err());
    assert!(upload.write(content[..10].to_vec().into()).await.is_err());
    drop(upload);
    proxy.heal();
    kept.write(&nodes, &content).await.unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn a_node_that_is_down_is_waited_for(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    let proxy = cluster.proxy(&node_of(&kept));
    proxy.down();
    // For a process that knew the node, and for one that never saw it.
    let late =
        Nodes::open(&cluster.configs, config(), Some(cluster.id), &cluster.tasks, Clock::system()).await.unwrap();
    for nodes in [&nodes, &late] {
        let error = kept.write(nodes, &content[SLICE..]).await.unwrap_err();
        assert!(matches!(error, Error::Node { fault: NodeFault::Unreachable, .. }), "{error}");
        assert!(error.is_transient() && kept.state().offset() == SLICE_BYTES);
    }
    proxy.heal();
    kept.write(&cluster.nodes().await, &content[SLICE..]).await.unwrap();
    proxy.down();
    let error = kept.finish(&nodes).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    proxy.heal();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, kept.state().blob_id(), &written, &content).await;
}

async fn a_node_with_another_marker_has_nothing_of_it(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    let (_, mut complete) = begun(&cluster, &nodes).await;
    while node_of(&complete) != node_of(&kept) {
        (_, complete) = begun(&cluster, &nodes).await;
    }
    complete.write(&nodes, &content[SLICE..]).await.unwrap();
    // Another process changes the marker: this one must look.
    let node = cluster.nodes().await.get(&node_of(&kept)).unwrap().clone();
    let before = node.marker().unwrap();
    node.write_marker(&cluster.marker(&node)).await.unwrap();
    must_restart(&complete.finish(&nodes).await.unwrap_err());
    must_restart(&kept.write(&nodes, &content[SLICE..]).await.unwrap_err());
    nodes.abort_resumable(&kept.state()).await.unwrap();
    nothing_is_stored(&nodes).await;
    // A mistake that is mended in time costs nothing.
    node.write_marker(&before).await.unwrap();
    let written = complete.finish(&nodes).await.unwrap();
    is_stored(&nodes, complete.state().blob_id(), &written, &content).await;
}

async fn a_wiped_node_has_nothing_of_it(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    nodes.get(&node_of(&kept)).unwrap().delete(blobs::MARKER_KEY).await.unwrap();
    let late =
        Nodes::open(&cluster.configs, config(), Some(cluster.id), &cluster.tasks, Clock::system()).await.unwrap();
    must_restart(&kept.write(&late, &content[SLICE..]).await.unwrap_err());
    kept.write(&nodes, &content[SLICE..]).await.unwrap();
    must_restart(&kept.finish(&nodes).await.unwrap_err());
    nothing_is_stored(&nodes).await;
}

async fn a_node_that_is_not_configured_any_more_has_nothing_of_it(mut cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    let mut complete = Kept::new(&kept.state());
    complete.records = kept.records.clone();
    complete.write(&nodes, &content[SLICE..]).await.unwrap();
    let id = node_of(&kept);
    cluster.configs.retain(|config| config.id != id);
    let nodes = cluster.nodes().await;
    must_restart(&kept.write(&nodes, &content[SLICE..]).await.unwrap_err());
    must_restart(&complete.finish(&nodes).await.unwrap_err());
    nodes.abort_resumable(&kept.state()).await.unwrap();
}

async fn a_multipart_upload_that_is_gone_must_be_started_again(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    let (_, mut complete) = begun(&cluster, &nodes).await;
    complete.write(&nodes, &content[SLICE..]).await.unwrap();
    for kept in [&kept, &complete] {
        nodes.abort_resumable(&kept.state()).await.unwrap();
    }
    // A server that answers before it has read the part may cut the connection, which looks like a fault of the node: the
    // same bytes are then sent again, until there is an answer.
    let mut error = kept.write(&nodes, &content[SLICE..]).await.unwrap_err();
    for _ in 0..200 {
        if !error.is_transient() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        error = kept.write(&nodes, &content[SLICE..]).await.unwrap_err();
    }
    must_restart(&error);
    assert_eq!(kept.state().offset(), SLICE_BYTES);
    must_restart(&complete.finish(&cluster.nodes().await).await.unwrap_err());
    nothing_is_stored(&nodes).await;
}

async fn records_that_are_not_its_own_are_noticed(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (content, mut kept) = begun(&cluster, &nodes).await;
    let (_, mut other) = start(&cluster, &nodes, &super::content(2 * SLICE + 11)).await;
    kept.write(&nodes, &content[SLICE..]).await.unwrap();
    other.write(&nodes, &super::content(2 * SLICE + 11)).await.unwrap();
    let (state, records) = (kept.state(), kept.records());
    let strange = other.records()[1].clone();
    for wrong in [
        vec![],
        records[..2].to_vec(),
        vec![records[0].clone(), records[2].clone()],
        vec![records[0].clone(), records[1].clone(), records[1].clone(), records[2].clone()],
        vec![records[0].clone(), strange, records[2].clone()],
    ] {
        must_restart(&nodes.finish_resumable(&state, &wrong).await.unwrap_err());
    }
    nothing_is_stored(&nodes).await;
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, state.blob_id(), &written, &content).await;
}
