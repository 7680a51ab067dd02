use std::sync::Arc;
use std::time::Duration;

use blobs::{Config, Error, Health, MARKER_KEY, Marker, Nodes};
use bytes::Bytes;
use http::Method;
use proto::{BlobId, ClusterId, Placement};
use runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, SOON, config, content};
use crate::on_each_server;
use crate::proxy::Break;

on_each_server! {
    a_node_that_is_down_is_noticed_and_comes_back
    faults_of_real_work_open_the_breaker
    a_node_that_is_down_from_the_start_is_no_error
    an_unhealthy_node_is_ranked_last
    a_wiped_or_swapped_disk_is_noticed
    a_new_marker_of_the_same_node_is_taken_over
    a_marker_that_somebody_objects_to_is_refused
    waiting_for_a_node_ends_with_the_shutdown
    a_secret_that_cannot_be_read_is_said
    a_node_with_https_is_set_up
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

fn attentive() -> Config {
    Config { health_interval: Duration::from_millis(50), ..config() }
}

async fn a_node_that_is_down_is_noticed_and_comes_back(cluster: Cluster) {
    let nodes = cluster.nodes_with(attentive()).await;
    let node = &nodes.all()[1];
    cluster.proxies[1].down();
    wait_for("the node counts as unavailable", || matches!(node.state(), Health::Unavailable { .. })).await;
    assert!(nodes.all()[0].state().is_healthy());
    cluster.proxies[1].heal();
    assert!(tokio::time::timeout(SOON, node.usable(&CancellationToken::new())).await.unwrap());
    assert!(node.state().is_healthy());
}

async fn faults_of_real_work_open_the_breaker(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let node = &nodes.all()[0];
    cluster.proxies[0].rule(|seen| seen.is(&Method::PUT, "").then_some(Break::Answer(507, "XMinioStorageFull")));
    for _ in 0..3 {
        assert!(matches!(node.put("key", Bytes::from_static(b"x")).await, Err(Error::Node { .. })));
    }
    wait_for("the breaker is open", || node.state().reason().is_some_and(|reason| reason.contains("is full"))).await;
    // The health check reads the marker, which works: the node gets its next chance, and after it the next.
    assert!(tokio::time::timeout(SOON, node.usable(&CancellationToken::new())).await.unwrap());
    assert!(node.put("key", Bytes::from_static(b"x")).await.is_err());
    wait_for("one fault opens it again", || !node.state().is_healthy()).await;
    cluster.proxies[0].heal();
    assert!(tokio::time::timeout(SOON, node.usable(&CancellationToken::new())).await.unwrap());
    node.put("key", Bytes::from_static(b"x")).await.unwrap();
}

async fn a_node_that_is_down_from_the_start_is_no_error(cluster: Cluster) {
    cluster.proxies[2].down();
    let nodes =
        Nodes::open(&cluster.configs, attentive(), Some(cluster.id), &cluster.tasks, Clock::system()).await.unwrap();
    let node = &nodes.all()[2];
    assert!(matches!(node.state(), Health::Unavailable { .. }));
    assert_eq!(node.marker(), None);
    cluster.proxies[2].heal();
    assert!(tokio::time::timeout(SOON, node.usable(&CancellationToken::new())).await.unwrap());
    assert_eq!(node.marker().unwrap().node_id, *node.id());
}

async fn an_unhealthy_node_is_ranked_last(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let ids: Vec<_> = nodes.all().iter().map(|node| node.id().clone()).collect();
    let blobs: Vec<BlobId> = (0..50).map(|_| cluster.blob()).collect();
    let ranked = |nodes: &Nodes, blob| nodes.ranked(blob).iter().map(|node| node.id().clone()).collect::<Vec<_>>();
    for blob in &blobs {
        assert_eq!(ranked(&nodes, *blob), Placement::default().order(*blob, &ids));
    }
    cluster.proxies[0].down();
    while nodes.all()[0].state().is_healthy() {
        let _ = nodes.all()[0].head("key").await;
    }
    for blob in &blobs {
        let mut expected = Placement::default().order(*blob, &ids);
        expected.retain(|id| *id != ids[0]);
        expected.push(ids[0].clone());
        assert_eq!(ranked(&nodes, *blob), expected);
    }
}

async fn a_wiped_or_swapped_disk_is_noticed(cluster: Cluster) {
    let nodes = cluster.nodes_with(attentive()).await;
    let node = &nodes.all()[0];
    let right = node.marker().unwrap();
    let wrong = |node: &blobs::Node| matches!(node.state(), Health::WrongMarker { .. });

    node.delete(MARKER_KEY).await.unwrap();
    wait_for("a wiped disk is noticed", || wrong(node)).await;
    assert_eq!(node.marker(), None);
    for _ in 0..10 {
        let (_, _, written) = cluster.upload(&nodes, &content(10)).await;
        assert_ne!(written.node, *node.id(), "nothing is written to a disk that is not known");
    }
    node.write_marker(&right).await.unwrap();
    assert!(node.state().is_healthy());

    let other_cluster = Marker { cluster_id: ClusterId::new(cluster.ids.v4()), ..right.clone() };
    let other_node = Marker { node_id: "node-c".parse().unwrap(), ..right.clone() };
    for (marker, said) in [(other_cluster, "cluster"), (other_node, "node node-c")] {
        node.write_marker(&marker).await.unwrap();
        assert!(wrong(node) && node.state().reason().unwrap().contains(said), "{:?}", node.state());
    }
    node.put(MARKER_KEY, Bytes::from_static(b"{}")).await.unwrap();
    wait_for("a marker that is none is noticed", || {
        node.state().reason().is_some_and(|reason| reason.contains("cannot be read"))
    })
    .await;
    node.put(MARKER_KEY, serde_json::to_vec(&right).unwrap().into()).await.unwrap();
    wait_for("the right marker heals", || node.state().is_healthy()).await;
}

async fn a_new_marker_of_the_same_node_is_taken_over(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let node = &nodes.all()[0];
    let new = cluster.marker(node);
    node.write_marker(&new).await.unwrap();
    assert_eq!(node.marker().unwrap().marker_id, new.marker_id);
    assert!(node.state().is_healthy());
}

async fn a_marker_that_somebody_objects_to_is_refused(cluster: Cluster) {
    let nodes = cluster.nodes_with(attentive()).await;
    let known: Vec<_> = nodes.all().iter().map(|node| (node.id().clone(), node.marker().unwrap().marker_id)).collect();
    let is_known = known.clone();
    nodes
        .expect(Arc::new(move |node, found| {
            let (_, marker_id) = is_known.iter().find(|(id, _)| *id == node).unwrap().clone();
            Box::pin(async move { (marker_id != found).then_some(marker_id) })
        }))
        .await;
    let node = &nodes.all()[0];
    assert!(node.state().is_healthy());
    let right = node.marker().unwrap();
    node.write_marker(&cluster.marker(node)).await.unwrap();
    assert!(matches!(node.state(), Health::WrongMarker { .. }), "{:?}", node.state());
    assert!(node.state().reason().unwrap().contains(&format!("the journal knows {}", known[0].1)));
    assert!(node.erase(cluster.blob()).await.is_err());
    node.write_marker(&right).await.unwrap();
    assert!(node.state().is_healthy());
}

async fn waiting_for_a_node_ends_with_the_shutdown(cluster: Cluster) {
    cluster.proxies[0].down();
    let nodes =
        Nodes::open(&cluster.configs, config(), Some(cluster.id), &cluster.tasks, Clock::system()).await.unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert!(!nodes.all()[0].usable(&cancel).await);
    cluster.tasks.shutdown().trigger_soft();
    let outcome = cluster.tasks.clone().join(tokio::time::sleep(SOON)).await;
    assert!(outcome.is_clean(), "{outcome:?}");
}

async fn a_node_with_https_is_set_up(cluster: Cluster) {
    let mut configs = cluster.configs.clone();
    configs[0].endpoint = configs[0].endpoint.replace("http:", "https:");
    let nodes = Nodes::open(&configs, config(), Some(cluster.id), &cluster.tasks, Clock::system()).await.unwrap();
    // The proxy speaks no TLS, so the handshake fails; that is a fault of the node like any other.
    let state = nodes.all()[0].state();
    assert!(matches!(&state, Health::Unavailable { reason } if reason.contains("cannot be reached")), "{state:?}");
    assert!(nodes.all()[1].state().is_healthy());
}

async fn a_secret_that_cannot_be_read_is_said(cluster: Cluster) {
    let mut configs = cluster.configs.clone();
    configs[1].secret_key_file = cluster.directory().join("nowhere");
    let opened = Nodes::open(&configs, config(), None, &cluster.tasks, Clock::system()).await;
    let error = opened.unwrap_err();
    assert!(matches!(&error, Error::Setup { node, .. } if node.as_str() == "node-b"), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}
