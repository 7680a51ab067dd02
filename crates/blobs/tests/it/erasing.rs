//! Erasing, and copies that come before, at the same time, and long after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use blobs::{BlobRef, CopyError, CopyOptions, Error, Node, NodeFault, Nodes, ObjectMeta, copy};
use bytes::Bytes;
use http::Method;
use proto::{BlobId, NodeId};
use runtime::clock::Clock;
use time::OffsetDateTime;

use crate::cluster::{Cluster, LARGE, content};
use crate::on_each_server;
use crate::proxy::Break;

const SLICE: usize = 8 * 1024 * 1024;
/// The event that asks for the copy is old.
const OLD: CopyOptions = CopyOptions { first_attempt: true, overwrite: false, safe_until: OffsetDateTime::UNIX_EPOCH };
const OLD_AGAIN: CopyOptions = CopyOptions { first_attempt: false, ..OLD };

on_each_server! {
    nothing_is_left_but_the_tombstone
    erasing_twice_and_what_was_never_there_is_well
    parts_of_an_unfinished_copy_are_thrown_away
    a_node_that_is_down_is_at_fault_itself
    a_blob_that_a_node_keeps_is_at_fault_itself
    a_full_node_can_be_relieved
    a_copy_of_an_erased_blob_is_undone
    a_copy_that_comes_again_is_not_made_at_all
    a_copy_without_a_source_is_needless_once_the_blob_is_erased_anywhere
    a_young_copy_does_not_look_for_a_tombstone
}

/// A blob on the node that took it, and a node that lacks it.
struct Uploaded {
    nodes: Nodes,
    blob: BlobRef,
    meta: ObjectMeta,
    source: Node,
    target: Node,
}

impl Uploaded {
    async fn new(cluster: &Cluster, len: usize) -> Self {
        let nodes = cluster.nodes().await;
        let (blob, meta, written) = cluster.upload(&nodes, &content(len)).await;
        let source = nodes.get(&written.node).unwrap().clone();
        let target = nodes.all().iter().find(|node| node.id() != source.id()).unwrap().clone();
        Self { nodes, blob, meta, source, target }
    }

    fn id(&self) -> BlobId {
        self.blob.blob_id
    }

    async fn copy(&self, options: CopyOptions) -> Result<blobs::Copied, CopyError> {
        let sources = [self.source.id().clone()];
        copy(&self.nodes, &self.blob, &self.meta, &sources, self.target.id(), options).await
    }

    async fn assert_ends_as_erased(&self, options: CopyOptions, says: &NodeId) {
        let error = self.copy(options).await.unwrap_err();
        assert!(matches!(&error, CopyError::Erased { node } if node == says), "{error}");
        // A blob of another upload may be there.
        let left: Vec<_> = keys(&self.target, &self.id().key()).await;
        assert_eq!(left, Vec::<String>::new());
    }
}

async fn keys(node: &Node, prefix: &str) -> Vec<String> {
    let page = node.list(prefix, None, 100).await.unwrap();
    page.objects.into_iter().map(|object| object.key).collect()
}

async fn assert_only_tombstone(node: &Node, blob: BlobId) {
    assert_eq!(keys(node, "blobs/").await, Vec::<String>::new());
    assert_eq!(keys(node, "erased/").await, [blob.erased_key()]);
    assert_eq!(node.head(&blob.erased_key()).await.unwrap().unwrap().size_bytes, 0);
}

async fn nothing_is_left_but_the_tombstone(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, SLICE + 1).await;
    let (node, blob) = (&uploaded.source, uploaded.id());
    assert_eq!(keys(node, "blobs/").await, [blob.key(), blob.parts_key()]);
    assert_eq!(node.erase(blob).await.unwrap(), node.marker().unwrap().marker_id);
    assert_only_tombstone(node, blob).await;
}

async fn erasing_twice_and_what_was_never_there_is_well(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    for node in [&uploaded.source, &uploaded.target] {
        for _ in 0..2 {
            node.erase(uploaded.id()).await.unwrap();
            assert_only_tombstone(node, uploaded.id()).await;
        }
    }
}

async fn parts_of_an_unfinished_copy_are_thrown_away(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, LARGE + 2 * SLICE).await;
    let target = &uploaded.target;
    let sent = Arc::new(AtomicU32::new(0));
    let proxy = cluster.proxy(target.id());
    proxy.rule(move |seen| {
        let is_late = seen.is(&Method::PUT, "partNumber=")
            && seen.target.contains("blobs/")
            && sent.fetch_add(1, Ordering::Relaxed) >= 3;
        is_late.then_some(Break::Answer(503, "SlowDown"))
    });
    uploaded.copy(OLD).await.unwrap_err();
    proxy.heal();
    proxy.take_seen();
    target.erase(uploaded.id()).await.unwrap();
    assert_only_tombstone(target, uploaded.id()).await;
    let aborts = proxy.take_seen().iter().filter(|seen| seen.is(&Method::DELETE, "uploadId=")).count();
    // s3s-fs does not list uploads: what is not known is left to the sweep.
    assert_eq!(aborts, usize::from(cluster.is_minio));
}

async fn a_node_that_is_down_is_at_fault_itself(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    let (node, proxy) = (&uploaded.source, cluster.proxy(uploaded.source.id()));
    proxy.down();
    let error = node.erase(uploaded.id()).await.unwrap_err();
    assert_eq!(error.faulty_node(), Some((node.id(), NodeFault::Unreachable)), "{error}");
    proxy.heal();
    node.erase(uploaded.id()).await.unwrap();
    assert_only_tombstone(node, uploaded.id()).await;
}

async fn a_blob_that_a_node_keeps_is_at_fault_itself(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    let (node, proxy) = (&uploaded.source, cluster.proxy(uploaded.source.id()));
    for (status, code) in [(403, "AccessDenied"), (400, "ObjectLocked"), (204, "")] {
        proxy.rule(move |seen| seen.is(&Method::DELETE, "blobs/").then_some(Break::Answer(status, code)));
        let error = node.erase(uploaded.id()).await.unwrap_err();
        assert_eq!(error.faulty_node(), None, "{error}");
        match status {
            204 => assert!(matches!(error, Error::NotDeleted { .. }), "{error}"),
            _ => assert!(error.to_string().contains(code), "{error}"),
        }
    }
    // A node that denies everything is not well.
    proxy.rule(|seen| (seen.method == Method::DELETE).then_some(Break::Answer(403, "AccessDenied")));
    let error = node.erase(uploaded.id()).await.unwrap_err();
    assert_eq!(error.faulty_node(), Some((node.id(), NodeFault::Denied)), "{error}");
}

async fn a_full_node_can_be_relieved(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    let (node, blob) = (&uploaded.source, uploaded.id());
    let mut full = true;
    cluster.proxy(node.id()).rule(move |seen| {
        full &= !seen.is(&Method::DELETE, "blobs/");
        (full && seen.method == Method::PUT).then_some(Break::Answer(507, "XMinioStorageFull"))
    });
    node.erase(blob).await.unwrap();
    assert_only_tombstone(node, blob).await;
}

async fn a_copy_of_an_erased_blob_is_undone(cluster: Cluster) {
    for len in [5000, SLICE + 1] {
        let uploaded = Uploaded::new(&cluster, len).await;
        uploaded.target.put(&uploaded.id().erased_key(), Bytes::new()).await.unwrap();
        uploaded.assert_ends_as_erased(OLD, uploaded.target.id()).await;
    }
}

async fn a_copy_that_comes_again_is_not_made_at_all(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    uploaded.copy(OLD).await.unwrap();
    // The process died between its copy and its look for the tombstone.
    uploaded.target.put(&uploaded.id().erased_key(), Bytes::new()).await.unwrap();
    let proxy = cluster.proxy(uploaded.source.id());
    proxy.take_seen();
    uploaded.assert_ends_as_erased(OLD_AGAIN, uploaded.target.id()).await;
    uploaded.assert_ends_as_erased(OLD_AGAIN, uploaded.target.id()).await;
    assert!(!proxy.take_seen().iter().any(|seen| seen.is(&Method::GET, "blobs/")), "nothing was read again");
}

async fn a_copy_without_a_source_is_needless_once_the_blob_is_erased_anywhere(cluster: Cluster) {
    let young = CopyOptions { safe_until: Clock::system().now() + time::Duration::HOUR, ..OLD };
    let uploaded = Uploaded::new(&cluster, SLICE + 1).await;
    // The digests are there still, so that the copy begins with them.
    uploaded.source.put(&uploaded.id().erased_key(), Bytes::new()).await.unwrap();
    uploaded.source.delete(&uploaded.id().key()).await.unwrap();
    for options in [OLD, young] {
        uploaded.assert_ends_as_erased(options, uploaded.source.id()).await;
    }
    uploaded.target.erase(uploaded.id()).await.unwrap();
    uploaded.assert_ends_as_erased(young, uploaded.target.id()).await;

    let lost = Uploaded::new(&cluster, 5000).await;
    lost.source.delete(&lost.id().key()).await.unwrap();
    let error = lost.copy(OLD).await.unwrap_err();
    assert!(matches!(error, CopyError::Blob { .. }), "lost is not erased: {error}");
}

async fn a_young_copy_does_not_look_for_a_tombstone(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, 5000).await;
    let proxy = cluster.proxy(uploaded.target.id());
    let looks = || proxy.take_seen().iter().filter(|seen| seen.target.contains("erased/")).count();
    for (safe_for, expected) in [(time::Duration::HOUR, 0), (-time::Duration::SECOND, 1)] {
        let safe_until = Clock::system().now() + safe_for;
        uploaded.copy(CopyOptions { safe_until, ..OLD }).await.unwrap();
        assert_eq!(looks(), expected, "{safe_for}");
    }
}
