use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use blobs::{Config, Error, Expected, Upload};
use bytes::Bytes;
use http::Method;
use proto::{SLICE_BYTES, Sha256Digest, SliceDigests};
use runtime::retry::Transient as _;

use crate::cluster::{Cluster, SOON, config, content, read_all, stored};
use crate::on_each_server;
use crate::proxy::Break;

const SLICE: usize = 8 * 1024 * 1024;

on_each_server! {
    every_size_comes_back_as_it_was
    user_metadata_names_the_event
    single_bytes_are_no_burden
    a_whole_body_goes_to_the_next_node_when_one_fails
    a_large_upload_goes_to_the_next_node_while_nothing_is_lost
    no_node_at_all_is_transient
    a_part_is_tried_again
    a_part_that_cannot_be_sent_ends_the_upload_and_leaves_nothing
    a_lost_answer_to_the_completion_is_no_failure
    what_was_not_announced_is_never_stored
    an_aborted_upload_leaves_nothing
    bytes_garbled_on_the_way_are_noticed
    an_upload_is_not_finished_after_a_failed_write
    paused_uploads_do_not_keep_others_waiting
    a_discarded_blob_is_gone
}

async fn every_size_comes_back_as_it_was(cluster: Cluster) {
    assert_eq!(SLICE as u64, SLICE_BYTES);
    let nodes = cluster.nodes().await;
    for len in [0, 1, 5, 300_000, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE + 5] {
        let content = content(len);
        let (blob, _, written) = cluster.upload(&nodes, &content).await;
        assert_eq!(written.size_bytes, len as u64);
        assert_eq!(written.sha256, Sha256Digest::of(&content));
        assert_eq!(written.node, *nodes.ranked(blob.blob_id)[0].id());
        let node = nodes.get(&written.node).unwrap();
        assert_eq!(written.marker_id, node.marker().unwrap().marker_id);
        let parts = stored(node, &blob.blob_id.parts_key()).await;
        if len > SLICE {
            let parts = parts.unwrap();
            assert_eq!(written.slices_sha256, Some(Sha256Digest::of(&parts)));
            assert_eq!(written.slice_bytes, Some(SLICE_BYTES));
            let digests = SliceDigests::from_bytes(&parts).unwrap();
            let expected: Vec<_> = content.chunks(SLICE).map(Sha256Digest::of).collect();
            assert_eq!((0..digests.len()).filter_map(|n| digests.get(n)).collect::<Vec<_>>(), expected);
        } else {
            assert_eq!((parts, written.slices_sha256, written.slice_bytes), (None, None, None));
        }
        let read = nodes.read(blob, &[written.node], 0, u64::MAX);
        assert!(read_all(read).await.unwrap() == content, "{len} bytes");
    }
}

async fn user_metadata_names_the_event(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [10, SLICE + 10] {
        let (blob, meta, written) = cluster.upload(&nodes, &content(len)).await;
        let node = nodes.get(&written.node).unwrap();
        let mut keys = vec![blob.blob_id.key()];
        keys.extend((len > SLICE).then(|| blob.blob_id.parts_key()));
        for key in keys {
            let found = node.head(&key).await.unwrap().unwrap().metadata;
            assert_eq!(found["blob-id"], blob.blob_id.to_string());
            assert_eq!(found["event-id"], meta.event_id.to_string());
            assert_eq!(found["space-id"], meta.space.to_string());
            assert_eq!(found["version-id"], meta.version_id.to_string());
        }
    }
}

async fn single_bytes_are_no_burden(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(SLICE + 1000);
    let blob = cluster.blob();
    let mut upload = nodes.begin_upload(blob, cluster.meta());
    for chunk in content.chunks(7) {
        upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    assert_eq!(upload.finish().await.unwrap().sha256, Sha256Digest::of(&content));
}

async fn a_whole_body_goes_to_the_next_node_when_one_fails(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(100_000);
    let faults = [
        Break::Answer(503, "SlowDown"),
        Break::Answer(507, "XMinioStorageFull"),
        Break::Answer(400, "KeyTooLongError"),
        Break::Answer(403, "AccessDenied"),
        Break::Cut,
    ];
    for fault in faults {
        let nodes = cluster.nodes().await;
        let blob = cluster.blob();
        let ranked = nodes.ranked(blob);
        let first = cluster.proxy(ranked[0].id());
        first.rule(move |seen| seen.is(&Method::PUT, "blobs/").then_some(fault));
        let mut upload = nodes.begin_upload(blob, cluster.meta());
        upload.write(content.clone().into()).await.unwrap();
        let written = upload.finish().await.unwrap();
        assert_eq!(written.node, *ranked[1].id(), "{fault:?}");
        first.heal();
    }
    for proxy in &cluster.proxies[..2] {
        proxy.down();
    }
    let (_, _, written) = cluster.upload(&nodes, &content).await;
    assert_eq!(written.node.as_str(), "node-c");
}

async fn a_large_upload_goes_to_the_next_node_while_nothing_is_lost(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(SLICE + 5);
    let blob = cluster.blob();
    let ranked = nodes.ranked(blob);
    cluster.proxy(ranked[0].id()).down();
    let mut upload = nodes.begin_upload(blob, cluster.meta());
    upload.write(content.clone().into()).await.unwrap();
    assert_eq!(upload.finish().await.unwrap().node, *ranked[1].id());
}

async fn no_node_at_all_is_transient(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for proxy in &cluster.proxies {
        proxy.down();
    }
    let mut upload = nodes.begin_upload(cluster.blob(), cluster.meta());
    upload.write(Bytes::from_static(b"bytes")).await.unwrap();
    let error = upload.finish().await.unwrap_err();
    assert!(matches!(&error, Error::NoNode { reason } if reason.contains("node-a") && reason.contains("node-c")));
    assert!(error.is_transient());
}

async fn a_part_is_tried_again(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let failed = Arc::new(AtomicU32::new(0));
    for proxy in &cluster.proxies {
        let failed = Arc::clone(&failed);
        proxy.rule(move |seen| {
            let second = seen.is(&Method::PUT, "partNumber=2") && failed.fetch_add(1, Ordering::Relaxed) < 2;
            second.then_some(Break::Answer(503, "SlowDown"))
        });
    }
    let content = content(2 * SLICE + 1);
    let (blob, _, written) = cluster.upload(&nodes, &content).await;
    assert_eq!(failed.load(Ordering::Relaxed), 3);
    assert!(read_all(nodes.read(blob, &[written.node], 0, u64::MAX)).await.unwrap() == content);
}

async fn a_part_that_cannot_be_sent_ends_the_upload_and_leaves_nothing(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let blob = cluster.blob();
    let node = nodes.ranked(blob)[0].clone();
    let proxy = cluster.proxy(node.id());
    proxy.rule(|seen| seen.is(&Method::PUT, "partNumber=2").then_some(Break::Answer(503, "SlowDown")));
    let mut upload = nodes.begin_upload(blob, cluster.meta());
    upload.write(content(2 * SLICE + 1).into()).await.unwrap();
    let error = upload.finish().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(proxy.take_seen().iter().filter(|seen| seen.is(&Method::DELETE, "uploadId=")).count(), 1);
    proxy.heal();
    assert_eq!(node.head(&blob.key()).await.unwrap(), None);
    assert_eq!(node.list("blobs/", None, 10).await.unwrap().objects, vec![]);
}

async fn a_lost_answer_to_the_completion_is_no_failure(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for proxy in &cluster.proxies {
        proxy.rule(|seen| seen.is(&Method::POST, "uploadId=").then_some(Break::LoseAnswer));
    }
    let content = content(SLICE + 1);
    let (blob, _, written) = cluster.upload(&nodes, &content).await;
    assert!(read_all(nodes.read(blob, &[written.node], 0, u64::MAX)).await.unwrap() == content);
}

async fn what_was_not_announced_is_never_stored(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [1000, SLICE + 1000] {
        let content = content(len);
        let wrong_size = Expected { size_bytes: Some(len as u64 + 1), sha256: None };
        let wrong_digest = Expected { size_bytes: None, sha256: Some(Sha256Digest::of(b"other")) };
        for expected in [wrong_size, wrong_digest] {
            let blob = cluster.blob();
            let mut upload = nodes.begin_upload(blob, cluster.meta());
            upload.write(content.clone().into()).await.unwrap();
            let error = upload.finish_if(expected).await.unwrap_err();
            assert!(matches!(error, Error::Mismatch { .. }) && !error.is_transient(), "{error}");
            for node in nodes.all() {
                assert_eq!(node.list("blobs/", None, 10).await.unwrap().objects, vec![]);
            }
        }
        let right = Expected { size_bytes: Some(len as u64), sha256: Some(Sha256Digest::of(&content)) };
        let blob = cluster.blob();
        let mut upload = nodes.begin_upload(blob, cluster.meta());
        upload.write(content.into()).await.unwrap();
        let written = upload.finish_if(right).await.unwrap();
        nodes.discard(blob, &written).await;
    }
}

async fn an_aborted_upload_leaves_nothing(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let blob = cluster.blob();
    let node = nodes.ranked(blob)[0].clone();
    let mut upload = nodes.begin_upload(blob, cluster.meta());
    upload.write(content(2 * SLICE + 1).into()).await.unwrap();
    upload.abort().await;
    assert!(cluster.proxy(node.id()).take_seen().iter().any(|seen| seen.is(&Method::DELETE, "uploadId=")));
    assert_eq!(node.head(&blob.key()).await.unwrap(), None);
    assert_eq!(nodes.sweep(Duration::ZERO, &HashSet::new()).await, 0);
}

async fn bytes_garbled_on_the_way_are_noticed(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [50_000, SLICE + 50_000] {
        let garbled = Arc::new(AtomicU32::new(0));
        for proxy in &cluster.proxies {
            let garbled = Arc::clone(&garbled);
            proxy.rule(move |seen| {
                let first = seen.is(&Method::PUT, "blobs/") && garbled.fetch_add(1, Ordering::Relaxed) == 0;
                first.then_some(Break::GarbleRequest)
            });
        }
        let content = content(len);
        let blob = cluster.blob();
        let mut upload = nodes.begin_upload(blob, cluster.meta());
        upload.write(content.clone().into()).await.unwrap();
        match upload.finish().await {
            Ok(written) => {
                let reference = blobs::BlobRef::written(blob, &written);
                assert!(read_all(nodes.read(reference, &[written.node], 0, u64::MAX)).await.unwrap() == content);
            }
            // A node that does not verify parts is found out only at the end, when the body is gone.
            Err(error) => assert!(len > SLICE && error.is_transient() && !cluster.is_minio, "{error}"),
        }
        assert!(garbled.load(Ordering::Relaxed) > 0);
    }
}

async fn an_upload_is_not_finished_after_a_failed_write(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for proxy in &cluster.proxies {
        proxy.rule(|seen| seen.is(&Method::POST, "uploads").then_some(Break::Answer(503, "SlowDown")));
    }
    let mut upload = nodes.begin_upload(cluster.blob(), cluster.meta());
    assert!(upload.write(content(SLICE + 1).into()).await.is_err());
    assert!(upload.finish().await.is_err());
}

async fn paused_uploads_do_not_keep_others_waiting(cluster: Cluster) {
    // A budget of one slice: if a paused upload held any of it, nobody else could go on.
    let nodes = cluster.nodes_with(Config { send_budget: SLICE_BYTES, ..config() }).await;
    let content = content(SLICE + SLICE / 2);
    let mut paused: Vec<Upload> = Vec::new();
    for _ in 0..16 {
        let mut upload = nodes.begin_upload(cluster.blob(), cluster.meta());
        for chunk in content.chunks(1 << 20) {
            tokio::time::timeout(SOON, upload.write(Bytes::copy_from_slice(chunk))).await.unwrap().unwrap();
        }
        paused.push(upload);
    }
    for upload in paused {
        let written = tokio::time::timeout(SOON, upload.finish()).await.unwrap().unwrap();
        assert_eq!(written.sha256, Sha256Digest::of(&content));
    }
}

async fn a_discarded_blob_is_gone(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (blob, _, written) = cluster.upload(&nodes, &content(SLICE + 1)).await;
    nodes.discard(blob.blob_id, &written).await;
    let node = nodes.get(&written.node).unwrap();
    assert_eq!(node.list("blobs/", None, 10).await.unwrap().objects, vec![]);
}
