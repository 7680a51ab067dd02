use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use blobs::{BlobRef, Config, Copied, CopyError, CopyOptions, NodeFault, Nodes, ObjectMeta, copy};
use bytes::Bytes;
use http::Method;
use proto::NodeId;

use crate::cluster::{Cluster, FIRST, LARGE, SOON, config, content, read_all, stored};
use crate::on_each_server;
use crate::proxy::Break;

mod doubted;

const SLICE: usize = 8 * 1024 * 1024;
const AGAIN: CopyOptions = CopyOptions { first_attempt: false, ..FIRST };
const OVER: CopyOptions = CopyOptions { overwrite: true, ..FIRST };
const OVER_AGAIN: CopyOptions = CopyOptions { first_attempt: false, ..OVER };

on_each_server! {
    a_copy_is_the_same_with_its_metadata
    a_second_copy_finds_the_first
    a_copy_over_wrong_bytes_replaces_them
    a_large_copy_over_wrong_bytes_goes_on_and_keeps_none_of_them
    a_first_attempt_asks_as_little_as_possible
    wrong_bytes_of_a_source_never_reach_the_target
    a_source_that_fails_is_passed_over
    one_read_serves_the_copies_to_all_nodes
    a_blob_without_right_bytes_anywhere_is_at_fault_itself
    a_source_that_is_down_is_no_fault_of_the_blob
    a_target_that_fails_is_named
    a_target_that_refuses_one_blob_is_a_fault_of_the_blob_and_one_that_refuses_all_is_at_fault_itself
    wrong_bytes_on_the_way_are_noticed
    a_large_copy_goes_on_where_it_stopped
    a_large_copy_reads_wrong_slices_elsewhere
    a_target_with_a_wrong_marker_gets_nothing
}

struct Uploaded {
    nodes: Nodes,
    blob: BlobRef,
    meta: ObjectMeta,
    /// Where it is, and where it is not.
    source: NodeId,
    others: Vec<NodeId>,
    content: Vec<u8>,
}

impl Uploaded {
    async fn new(cluster: &Cluster, len: usize) -> Self {
        Self::with(cluster, len, config()).await
    }

    async fn with(cluster: &Cluster, len: usize, config: Config) -> Self {
        let nodes = cluster.nodes_with(config).await;
        let content = content(len);
        let (blob, meta, written) = cluster.upload(&nodes, &content).await;
        let others = nodes.all().iter().map(|node| node.id().clone()).filter(|id| *id != written.node).collect();
        Self { nodes, blob, meta, source: written.node, others, content }
    }

    async fn copy_from(&self, sources: &[NodeId], options: CopyOptions) -> Result<Copied, CopyError> {
        let copied = copy(&self.nodes, &self.blob, &self.meta, sources, &self.others[0], options);
        tokio::time::timeout(SOON, copied).await.expect("a copy ends")
    }

    async fn copy(&self, options: CopyOptions) -> Result<Copied, CopyError> {
        self.copy_from(std::slice::from_ref(&self.source), options).await
    }

    async fn assert_on(&self, node: &NodeId) {
        let read = self.nodes.read(self.blob, std::slice::from_ref(node), 0, u64::MAX);
        assert!(read_all(read).await.unwrap() == self.content);
    }

    async fn assert_not_on(&self, node: &NodeId) {
        assert_eq!(self.nodes.get(node).unwrap().head(&self.blob.blob_id.key()).await.unwrap(), None);
    }
}

async fn a_copy_is_the_same_with_its_metadata(cluster: Cluster) {
    for len in [0, 1, 4096, 1 << 20, SLICE + 1, LARGE + 5] {
        let uploaded = Uploaded::new(&cluster, len).await;
        let target = uploaded.nodes.get(&uploaded.others[0]).unwrap();
        let copied = uploaded.copy(FIRST).await.unwrap();
        let marker_id = target.marker().unwrap().marker_id;
        assert_eq!(copied, Copied { marker_id, bytes: len as u64, already_there: false });
        uploaded.assert_on(target.id()).await;
        let source = uploaded.nodes.get(&uploaded.source).unwrap();
        let key = uploaded.blob.blob_id.key();
        assert_eq!(source.head(&key).await.unwrap(), target.head(&key).await.unwrap());
    }
}

async fn a_second_copy_finds_the_first(cluster: Cluster) {
    for len in [4096, SLICE + 1] {
        let uploaded = Uploaded::new(&cluster, len).await;
        assert!(!uploaded.copy(AGAIN).await.unwrap().already_there);
        assert!(uploaded.copy(AGAIN).await.unwrap().already_there);
        let target = uploaded.nodes.get(&uploaded.others[0]).unwrap();
        if len > SLICE {
            target.delete(&uploaded.blob.blob_id.parts_key()).await.unwrap();
            assert!(!uploaded.copy(AGAIN).await.unwrap().already_there);
        }
        target.put(&uploaded.blob.blob_id.key(), Bytes::from_static(b"short")).await.unwrap();
        assert!(!uploaded.copy(AGAIN).await.unwrap().already_there);
        uploaded.assert_on(target.id()).await;
    }
}

/// Replaces the object, and its slice digests if it has any, by others of the same length.
async fn spoil(uploaded: &Uploaded, node: &NodeId) {
    let node = uploaded.nodes.get(node).unwrap();
    let mut wrong = uploaded.content.clone();
    wrong[uploaded.content.len() / 2] ^= 1;
    node.put(&uploaded.blob.blob_id.key(), wrong.into()).await.unwrap();
    if let Some(head) = node.head(&uploaded.blob.blob_id.parts_key()).await.unwrap() {
        let zeros = vec![0; usize::try_from(head.size_bytes).unwrap()];
        node.put(&uploaded.blob.blob_id.parts_key(), zeros.into()).await.unwrap();
    }
}

async fn a_copy_over_wrong_bytes_replaces_them(cluster: Cluster) {
    for (len, options) in [(4096, OVER), (4096, OVER_AGAIN), (SLICE + 1, OVER), (SLICE + 1, OVER_AGAIN), (LARGE, OVER)]
    {
        let uploaded = Uploaded::new(&cluster, len).await;
        let (source, target) = (uploaded.nodes.get(&uploaded.source).unwrap(), &uploaded.others[0]);
        uploaded.copy(FIRST).await.unwrap();
        spoil(&uploaded, target).await;
        assert!(!uploaded.copy(options).await.unwrap().already_there);
        uploaded.assert_on(target).await;
        let parts = uploaded.blob.blob_id.parts_key();
        let target = uploaded.nodes.get(target).unwrap();
        assert_eq!(stored(source, &parts).await, stored(target, &parts).await);
    }
}

async fn a_large_copy_over_wrong_bytes_goes_on_and_keeps_none_of_them(cluster: Cluster) {
    let uploaded = Uploaded::with(&cluster, 9 * SLICE, Config { copy_parallel_parts: 2, ..config() }).await;
    let target = &uploaded.others[0];
    uploaded.copy(FIRST).await.unwrap();
    spoil(&uploaded, target).await;
    let proxy = cluster.proxy(target);
    let sent = Arc::new(AtomicU32::new(0));
    proxy.rule(move |seen| {
        let is_late = seen.is(&Method::PUT, "partNumber=")
            && seen.target.contains("blobs/")
            && sent.fetch_add(1, Ordering::Relaxed) >= 6;
        is_late.then_some(Break::Answer(503, "SlowDown"))
    });
    uploaded.copy(OVER).await.unwrap_err();
    proxy.heal();
    assert!(!uploaded.copy(OVER_AGAIN).await.unwrap().already_there);
    uploaded.assert_on(target).await;
}

async fn a_first_attempt_asks_as_little_as_possible(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 4096).await;
    uploaded.copy(FIRST).await.unwrap();
    let second = Uploaded { others: uploaded.others.clone(), ..uploaded };
    let (blob, meta, written) = loop {
        let uploaded = cluster.upload(&second.nodes, b"more").await;
        if uploaded.2.node == second.source {
            break uploaded;
        }
    };
    let (source, target) = (cluster.proxy(&written.node), cluster.proxy(&second.others[0]));
    source.take_seen();
    target.take_seen();
    copy(&second.nodes, &blob, &meta, &[written.node], &second.others[0], FIRST).await.unwrap();
    // Others look after the node meanwhile.
    let methods = |seen: Vec<crate::proxy::Seen>| {
        let asked = seen.into_iter().filter(|seen| seen.target.contains("blobs/"));
        asked.map(|seen| seen.method).collect::<Vec<_>>()
    };
    assert_eq!(methods(source.take_seen()), [Method::GET]);
    // s3s-fs verifies nothing that it could be trusted with, so the copy is read back.
    let expected: &[Method] = if cluster.is_minio { &[Method::PUT] } else { &[Method::PUT, Method::GET] };
    assert_eq!(methods(target.take_seen()), expected);
}

async fn wrong_bytes_of_a_source_never_reach_the_target(cluster: Cluster) {
    for len in [5000, SLICE + 5000] {
        let uploaded = Uploaded::new(&cluster, len).await;
        let mut wrong = uploaded.content.clone();
        wrong[len / 2] ^= 1;
        let liar = uploaded.nodes.get(&uploaded.others[1]).unwrap();
        uploaded.copy_from(std::slice::from_ref(&uploaded.source), FIRST).await.unwrap();
        copy(&uploaded.nodes, &uploaded.blob, &uploaded.meta, std::slice::from_ref(&uploaded.source), liar.id(), FIRST)
            .await
            .unwrap();
        liar.put(&uploaded.blob.blob_id.key(), wrong.into()).await.unwrap();
        let target = uploaded.nodes.get(&uploaded.others[0]).unwrap();
        target.delete(&uploaded.blob.blob_id.key()).await.unwrap();

        let error = uploaded.copy_from(std::slice::from_ref(liar.id()), FIRST).await.unwrap_err();
        assert!(matches!(&error, CopyError::Blob { reason } if reason.contains("wrong bytes")), "{error}");
        uploaded.assert_not_on(target.id()).await;

        uploaded.copy_from(&[liar.id().clone(), uploaded.source.clone()], FIRST).await.unwrap();
        uploaded.assert_on(target.id()).await;
    }
}

async fn one_read_serves_the_copies_to_all_nodes(cluster: Cluster) {
    let uploaded = Uploaded::with(&cluster, 5000, Config { copy_memory: 1 << 20, ..config() }).await;
    let source = cluster.proxy(&uploaded.source);
    let to = async |target| {
        let sources = std::slice::from_ref(&uploaded.source);
        copy(&uploaded.nodes, &uploaded.blob, &uploaded.meta, sources, target, FIRST).await
    };
    // Wrong bytes are not kept.
    source.rule(|seen| seen.is(&Method::GET, "blobs/").then_some(Break::GarbleAnswer));
    to(&uploaded.others[0]).await.unwrap_err();
    uploaded.assert_not_on(&uploaded.others[0]).await;
    source.heal();
    source.take_seen();
    for target in &uploaded.others {
        to(target).await.unwrap();
        uploaded.assert_on(target).await;
    }
    let reads = source.take_seen().iter().filter(|seen| seen.is(&Method::GET, "blobs/")).count();
    assert_eq!(reads, 1);
}

async fn a_source_that_fails_is_passed_over(cluster: Cluster) {
    let short = Config { read_timeout: Duration::from_secs(2), ..config() };
    let uploaded = Uploaded::with(&cluster, 2_000_000, short).await;
    let bad = &uploaded.others[1];
    copy(&uploaded.nodes, &uploaded.blob, &uploaded.meta, std::slice::from_ref(&uploaded.source), bad, FIRST)
        .await
        .unwrap();
    for fault in [Break::Cut, Break::Answer(500, "InternalError"), Break::Stall, Break::Answer(404, "NoSuchKey")] {
        cluster.proxy(bad).rule(move |seen| seen.is(&Method::GET, "blobs/").then_some(fault));
        let outcome = uploaded.copy_from(std::slice::from_ref(bad), FIRST).await;
        match (fault, outcome.unwrap_err()) {
            (Break::Answer(404, _), CopyError::Blob { .. }) => {}
            (_, CopyError::Node { node, .. }) => assert_eq!(node, *bad, "{fault:?}"),
            (_, other) => panic!("{fault:?}: {other}"),
        }
        uploaded.copy_from(&[bad.clone(), uploaded.source.clone()], FIRST).await.unwrap();
        uploaded.assert_on(&uploaded.others[0]).await;
    }
}

async fn a_blob_without_right_bytes_anywhere_is_at_fault_itself(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 100).await;
    let source = uploaded.nodes.get(&uploaded.source).unwrap();
    source.put(&uploaded.blob.blob_id.key(), Bytes::from_static(b"wrong")).await.unwrap();
    let sources = [uploaded.source.clone(), uploaded.others[1].clone()];
    let error = uploaded.copy_from(&sources, FIRST).await.unwrap_err();
    assert!(matches!(&error, CopyError::Blob { reason } if reason.contains("does not have it")), "{error}");
    let error = uploaded.copy_from(&[], FIRST).await.unwrap_err();
    assert!(matches!(&error, CopyError::Blob { .. }), "{error}");
}

async fn a_source_that_is_down_is_no_fault_of_the_blob(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 100).await;
    cluster.proxy(&uploaded.source).down();
    let sources = [uploaded.others[1].clone(), uploaded.source.clone()];
    match uploaded.copy_from(&sources, FIRST).await.unwrap_err() {
        CopyError::Node { node, fault, .. } => assert_eq!((node, fault), (uploaded.source, NodeFault::Unreachable)),
        other => panic!("{other}"),
    }
}

async fn a_target_that_fails_is_named(cluster: Cluster) {
    for len in [100_000, LARGE] {
        let uploaded = Uploaded::new(&cluster, len).await;
        let target = &uploaded.others[0];
        let cases = [
            (Break::Answer(507, "XMinioStorageFull"), NodeFault::Full),
            (Break::Answer(500, "InternalError"), NodeFault::Broken),
            (Break::Cut, NodeFault::Unreachable),
        ];
        for (fault, expected) in cases {
            cluster.proxy(target).rule(move |seen| seen.is(&Method::PUT, "blobs/").then_some(fault));
            match uploaded.copy(FIRST).await.unwrap_err() {
                CopyError::Node { node, fault, .. } => assert_eq!((&node, fault), (target, expected)),
                other => panic!("{fault:?}: {other}"),
            }
            cluster.proxy(target).heal();
            uploaded.assert_not_on(target).await;
        }
    }
}

async fn a_target_that_refuses_one_blob_is_a_fault_of_the_blob_and_one_that_refuses_all_is_at_fault_itself(
    cluster: Cluster,
) {
    for (status, code) in [(400, "KeyTooLongError"), (403, "AccessDenied")] {
        let uploaded = Uploaded::new(&cluster, 100).await;
        let target = cluster.proxy(&uploaded.others[0]);
        target.rule(move |seen| seen.is(&Method::PUT, "blobs/").then_some(Break::Answer(status, code)));
        for _ in 0..5 {
            let error = uploaded.copy(FIRST).await.unwrap_err();
            let is_nodes = matches!(&error, CopyError::Node { node, reason, .. }
                if *node == uploaded.others[0] && reason.contains(code));
            assert!(is_nodes, "{error}");
        }
        let key = uploaded.blob.blob_id.key();
        target.heal();
        target.rule(move |seen| seen.is(&Method::PUT, &key).then_some(Break::Answer(status, code)));
        let mut error = uploaded.copy(FIRST).await.unwrap_err();
        for _ in 0..5 {
            if matches!(&error, CopyError::Blob { .. }) {
                break;
            }
            error = uploaded.copy(FIRST).await.unwrap_err();
        }
        assert!(matches!(&error, CopyError::Blob { reason } if reason.contains(code)), "{error}");
        target.heal();
    }
}

async fn wrong_bytes_on_the_way_are_noticed(cluster: Cluster) {
    for len in [100_000, LARGE] {
        let uploaded = Uploaded::new(&cluster, len).await;
        let target = &uploaded.others[0];
        cluster.proxy(target).rule(|seen| {
            let is_blob = seen.is(&Method::PUT, "blobs/") && !seen.target.contains(".parts");
            is_blob.then_some(Break::GarbleRequest)
        });
        uploaded.copy(FIRST).await.unwrap_err();
        cluster.proxy(target).heal();
        uploaded.assert_not_on(target).await;
        uploaded.copy(AGAIN).await.unwrap();
        uploaded.assert_on(target).await;
    }
}

async fn a_large_copy_goes_on_where_it_stopped(cluster: Cluster) {
    let uploaded = Uploaded::with(&cluster, 9 * SLICE, Config { copy_parallel_parts: 2, ..config() }).await;
    let target = &uploaded.others[0];
    let proxy = cluster.proxy(target);
    let sent = Arc::new(AtomicU32::new(0));
    proxy.rule(move |seen| {
        let is_late = seen.is(&Method::PUT, "partNumber=")
            && seen.target.contains("blobs/")
            && sent.fetch_add(1, Ordering::Relaxed) >= 6;
        is_late.then_some(Break::Answer(503, "SlowDown"))
    });
    uploaded.copy(FIRST).await.unwrap_err();
    proxy.heal();
    proxy.take_seen();
    uploaded.copy(AGAIN).await.unwrap();
    uploaded.assert_on(target).await;
    let sent = proxy.take_seen().iter().filter(|seen| seen.is(&Method::PUT, "partNumber=")).count();
    if cluster.is_minio {
        assert!(sent <= 4, "{sent} of 9 parts were sent again");
    } else {
        assert_eq!(sent, 9, "s3s-fs does not list uploads");
    }
}

async fn a_large_copy_reads_wrong_slices_elsewhere(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, LARGE).await;
    let liar = &uploaded.others[1];
    copy(&uploaded.nodes, &uploaded.blob, &uploaded.meta, std::slice::from_ref(&uploaded.source), liar, FIRST)
        .await
        .unwrap();
    cluster.proxy(liar).rule(|seen| {
        let is_blob = seen.is(&Method::GET, "blobs/") && !seen.target.contains(".parts");
        is_blob.then_some(Break::GarbleAnswer)
    });
    uploaded.copy_from(&[liar.clone(), uploaded.source.clone()], FIRST).await.unwrap();
    uploaded.assert_on(&uploaded.others[0]).await;
}

async fn a_target_with_a_wrong_marker_gets_nothing(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 100).await;
    let target = uploaded.nodes.get(&uploaded.others[0]).unwrap();
    let other = uploaded.nodes.get(&uploaded.others[1]).unwrap();
    target.write_marker(&cluster.marker(other)).await.unwrap();
    match uploaded.copy(FIRST).await.unwrap_err() {
        CopyError::Node { node, fault, .. } => assert_eq!((&node, fault), (target.id(), NodeFault::WrongMarker)),
        other => panic!("{other}"),
    }
    assert_eq!(target.head(&uploaded.blob.blob_id.key()).await.unwrap(), None);
}
