//! Uploads over many calls and processes.

use std::time::Duration;

use blobs::{BlobRef, Config, Error, Nodes, PartRecord, UploadState, Written};
use bytes::Bytes;
use http::Method;
use proto::{BlobId, NodeId, SLICE_BYTES, Sha256Digest};
use runtime::retry::Transient as _;

use crate::cluster::{Cluster, SOON, config, content, read_all, stored};
use crate::on_each_server;
use crate::proxy::Break;

mod losing;

const SLICE: usize = 8 * 1024 * 1024;

on_each_server! {
    every_size_is_resumed_after_each_slice
    one_call_can_bring_everything
    finishing_twice_says_the_same
    a_lost_answer_to_the_completion_is_no_failure
    a_stream_that_breaks_keeps_its_full_slices
    a_process_that_dies_loses_only_what_it_did_not_tell
    only_the_offset_is_the_place_to_go_on
    more_than_announced_is_refused
    less_than_announced_is_not_finished
    a_wrong_digest_leaves_no_object
    an_aborted_upload_leaves_nothing
    an_upload_longer_than_a_blob_can_be_is_refused
}

/// What a caller keeps of an upload, as text.
pub(crate) struct Kept {
    state: String,
    records: Vec<String>,
}

impl Kept {
    pub(crate) fn new(state: &UploadState) -> Self {
        Self { state: text(state, 2048), records: Vec::new() }
    }

    pub(crate) fn state(&self) -> UploadState {
        serde_json::from_str(&self.state).unwrap()
    }

    pub(crate) fn records(&self) -> Vec<PartRecord> {
        self.records.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Writes `content` from the offset on, as one call of a client does, and keeps what became safe. True when all of
    /// it was taken.
    pub(crate) async fn write(&mut self, nodes: &Nodes, content: &[u8]) -> Result<(), Error> {
        let state = self.state();
        let offset = state.offset();
        let mut upload = nodes.resume(state, offset).await?;
        let mut outcome = Ok(());
        for chunk in content.chunks(700_000) {
            outcome = upload.write(Bytes::copy_from_slice(chunk)).await;
            if outcome.is_err() {
                break;
            }
            self.keep(upload.progress().await);
        }
        let settled = upload.settle().await;
        self.keep(upload.progress().await);
        assert_eq!(upload.progress().await, None);
        outcome.and(settled)
    }

    pub(crate) async fn finish(&self, nodes: &Nodes) -> Result<Written, Error> {
        nodes.finish_resumable(&self.state(), &self.records()).await
    }

    fn keep(&mut self, progress: Option<blobs::Progress>) {
        let Some(progress) = progress else { return };
        self.records.extend(progress.parts.iter().map(|record| text(record, 400)));
        self.state = text(&progress.state, 2048);
    }
}

fn text(value: &impl serde::Serialize, most: usize) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert!(text.len() < most, "{} bytes: {text}", text.len());
    text
}

pub(crate) async fn start(cluster: &Cluster, nodes: &Nodes, content: &[u8]) -> (BlobId, Kept) {
    let (blob, size_bytes) = (cluster.blob(), content.len() as u64);
    let sha256 = Some(Sha256Digest::of(content));
    let state = nodes.start_resumable(blob, cluster.meta(), size_bytes, sha256).await.unwrap();
    (blob, Kept::new(&state))
}

/// No node has anything under `blobs/`.
pub(crate) async fn nothing_is_stored(nodes: &Nodes) {
    for node in nodes.all() {
        assert_eq!(node.list("blobs/", None, 10).await.unwrap().objects, vec![]);
    }
}

pub(crate) async fn is_stored(nodes: &Nodes, blob: BlobId, written: &Written, content: &[u8]) {
    let read = nodes.read(BlobRef::written(blob, written), std::slice::from_ref(&written.node), 0, u64::MAX);
    assert!(read_all(read).await.unwrap() == content, "{} bytes", content.len());
}

pub(crate) fn node_of(kept: &Kept) -> NodeId {
    kept.state().node().unwrap().clone()
}

async fn every_size_is_resumed_after_each_slice(cluster: Cluster) {
    for len in [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 300_000] {
        let content = content(len);
        let (blob, mut kept) = start(&cluster, &cluster.nodes().await, &content).await;
        let mut offset = 0;
        while !kept.state().is_complete() {
            // Another process each time.
            let end = (offset + SLICE).min(len);
            kept.write(&cluster.nodes().await, &content[offset..end]).await.unwrap();
            offset = usize::try_from(kept.state().offset()).unwrap();
            assert_eq!(offset, end);
        }
        let numbers: Vec<u32> = kept.records().iter().map(PartRecord::number).collect();
        assert_eq!(numbers, (1..=u32::try_from(len.div_ceil(SLICE)).unwrap()).collect::<Vec<_>>());
        assert_eq!(kept.records().iter().map(PartRecord::size_bytes).sum::<u64>(), len as u64);
        let nodes = cluster.nodes().await;
        let node = nodes.get(kept.state().node().unwrap_or(nodes.ranked(blob)[0].id())).unwrap();
        assert_eq!(stored(node, &blob.key()).await, None);
        kept.records.reverse();
        let written = kept.finish(&nodes).await.unwrap();
        // As an upload in one piece would have done it.
        let (_, _, whole) = cluster.upload(&nodes, &content).await;
        assert_eq!((written.size_bytes, written.sha256), (whole.size_bytes, whole.sha256));
        assert_eq!((written.slices_sha256, written.slice_bytes), (whole.slices_sha256, whole.slice_bytes));
        assert_eq!(written.node, *nodes.ranked(blob)[0].id());
        assert_eq!(written.marker_id, node.marker().unwrap().marker_id);
        let parts = stored(node, &blob.parts_key()).await;
        assert_eq!(parts.map(|parts| Sha256Digest::of(&parts)), written.slices_sha256);
        is_stored(&nodes, blob, &written, &content).await;
        let found = node.head(&blob.key()).await.unwrap().unwrap().metadata;
        assert_eq!(found["blob-id"], blob.to_string());
        assert_eq!(found["event-id"], kept.state().meta().event_id.to_string());
    }
}

async fn one_call_can_bring_everything(cluster: Cluster) {
    // A budget of one slice, and single bytes at the end.
    let nodes = cluster.nodes_with(Config { send_budget: SLICE_BYTES, ..config() }).await;
    let content = content(3 * SLICE + 5);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    tokio::time::timeout(SOON, kept.write(&nodes, &content)).await.unwrap().unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn finishing_twice_says_the_same(cluster: Cluster) {
    for len in [0, 10, SLICE + 10] {
        let nodes = cluster.nodes().await;
        let content = content(len);
        let (blob, mut kept) = start(&cluster, &nodes, &content).await;
        kept.write(&nodes, &content).await.unwrap();
        let written = kept.finish(&nodes).await.unwrap();
        let again = kept.finish(&cluster.nodes().await).await.unwrap();
        assert_eq!(again, written);
        is_stored(&nodes, blob, &written, &content).await;
        // What a client that comes too late asks for does no harm.
        nodes.abort_resumable(&kept.state()).await.unwrap();
        is_stored(&nodes, blob, &written, &content).await;
    }
}

async fn a_lost_answer_to_the_completion_is_no_failure(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [10, SLICE + 10] {
        let content = content(len);
        let (blob, mut kept) = start(&cluster, &nodes, &content).await;
        kept.write(&nodes, &content).await.unwrap();
        let proxy = cluster.proxy(&node_of(&kept));
        proxy.rule(|seen| seen.is(&Method::POST, "uploadId=").then_some(Break::LoseAnswer));
        let written = kept.finish(&nodes).await.unwrap();
        is_stored(&nodes, blob, &written, &content).await;
        // Nor is one that cannot even be asked whether it was done: it is done by the next try.
        let (blob, mut kept) = start(&cluster, &nodes, &content).await;
        let proxy = cluster.proxy(&node_of(&kept));
        proxy.heal();
        kept.write(&nodes, &content).await.unwrap();
        let key = blob.key();
        proxy.rule(move |seen| match seen {
            seen if seen.is(&Method::POST, "uploadId=") => Some(Break::LoseAnswer),
            seen if seen.is(&Method::HEAD, &key) => Some(Break::Answer(503, "SlowDown")),
            _ => None,
        });
        let error = kept.finish(&nodes).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        proxy.heal();
        let written = kept.finish(&cluster.nodes().await).await.unwrap();
        is_stored(&nodes, blob, &written, &content).await;
    }
}

async fn a_stream_that_breaks_keeps_its_full_slices(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(3 * SLICE + 10);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    kept.write(&nodes, &content[..2 * SLICE + SLICE / 2]).await.unwrap();
    assert_eq!(kept.state().offset(), 2 * SLICE_BYTES);
    // Less than a slice is not taken, unless it is the last one.
    kept.write(&nodes, &content[2 * SLICE..3 * SLICE - 1]).await.unwrap();
    assert_eq!(kept.state().offset(), 2 * SLICE_BYTES);
    kept.write(&nodes, &content[2 * SLICE..3 * SLICE + 9]).await.unwrap();
    assert_eq!(kept.state().offset(), 3 * SLICE_BYTES);
    kept.write(&nodes, &content[3 * SLICE..]).await.unwrap();
    assert!(kept.state().is_complete());
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn a_process_that_dies_loses_only_what_it_did_not_tell(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(3 * SLICE);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    kept.write(&nodes, &content[..SLICE]).await.unwrap();
    let mut upload = nodes.resume(kept.state(), SLICE_BYTES).await.unwrap();
    upload.write(Bytes::copy_from_slice(&content[SLICE..2 * SLICE + 10])).await.unwrap();
    upload.settle().await.unwrap();
    // The record was kept, and the state was not.
    let progress = upload.progress().await.unwrap();
    kept.records.extend(progress.parts.iter().map(|record| text(record, 400)));
    drop(upload);
    assert_eq!(kept.state().offset(), SLICE_BYTES);
    kept.records.truncate(1);
    kept.write(&cluster.nodes().await, &content[SLICE..]).await.unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn only_the_offset_is_the_place_to_go_on(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(2 * SLICE);
    let (_, mut kept) = start(&cluster, &nodes, &content).await;
    kept.write(&nodes, &content[..SLICE]).await.unwrap();
    for wrong in [0, 1, SLICE_BYTES - 1, SLICE_BYTES + 1, 2 * SLICE_BYTES, u64::MAX] {
        let error = nodes.resume(kept.state(), wrong).await.unwrap_err();
        let expected = SLICE_BYTES;
        assert!(
            matches!(error, Error::WrongOffset { offset, expected: e } if offset == wrong && e == expected),
            "{error}"
        );
        assert!(!error.is_transient());
    }
    nodes.abort_resumable(&kept.state()).await.unwrap();
}

async fn more_than_announced_is_refused(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [0, 10, SLICE] {
        let content = content(len);
        let (blob, mut kept) = start(&cluster, &nodes, &content).await;
        let mut upload = nodes.resume(kept.state(), 0).await.unwrap();
        let error = upload.write([&content[..], b"x"].concat().into()).await.unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        assert!(upload.write(content.clone().into()).await.is_err(), "bytes are missing");
        upload.settle().await.unwrap();
        assert_eq!(upload.progress().await, None);
        // The upload itself is none the worse for it.
        kept.write(&nodes, &content).await.unwrap();
        let written = kept.finish(&nodes).await.unwrap();
        is_stored(&nodes, blob, &written, &content).await;
    }
}

async fn less_than_announced_is_not_finished(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let content = content(SLICE + 10);
    let (blob, mut kept) = start(&cluster, &nodes, &content).await;
    kept.write(&nodes, &content[..SLICE + 9]).await.unwrap();
    let error = kept.finish(&nodes).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("has 8388608 of 8388618 bytes so far"), "{error}");
    nothing_is_stored(&nodes).await;
    kept.write(&nodes, &content[SLICE..]).await.unwrap();
    let written = kept.finish(&nodes).await.unwrap();
    is_stored(&nodes, blob, &written, &content).await;
}

async fn a_wrong_digest_leaves_no_object(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [0, 10, SLICE, SLICE + 10] {
        let (content, blob) = (content(len), cluster.blob());
        let other = Some(Sha256Digest::of(b"other"));
        let state = nodes.start_resumable(blob, cluster.meta(), len as u64, other).await.unwrap();
        let mut kept = Kept::new(&state);
        kept.write(&nodes, &content).await.unwrap();
        for _ in 0..2 {
            let error = kept.finish(&nodes).await.unwrap_err();
            assert!(matches!(error, Error::Mismatch { .. }) && !error.is_transient(), "{error}");
            nothing_is_stored(&nodes).await;
        }
        if let Some(node) = state.node() {
            let aborted = cluster.proxy(node).take_seen().iter().any(|seen| seen.is(&Method::DELETE, "uploadId="));
            assert!(aborted, "{len} bytes");
        }
    }
}

async fn an_aborted_upload_leaves_nothing(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    for len in [0, 10, 2 * SLICE] {
        let content = content(len);
        let (_, mut kept) = start(&cluster, &nodes, &content).await;
        kept.write(&nodes, &content[..len.min(SLICE)]).await.unwrap();
        nodes.abort_resumable(&kept.state()).await.unwrap();
        nodes.abort_resumable(&kept.state()).await.unwrap();
        nothing_is_stored(&nodes).await;
        if let Some(node) = kept.state().node() {
            let aborts = cluster.proxy(node).take_seen();
            assert_eq!(aborts.iter().filter(|seen| seen.is(&Method::DELETE, "uploadId=")).count(), 2);
            if cluster.is_minio {
                assert_eq!(nodes.sweep(Duration::ZERO, &std::collections::HashSet::new()).await, 0);
            }
        }
    }
}

async fn an_upload_longer_than_a_blob_can_be_is_refused(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let most = 10_000 * SLICE_BYTES;
    let state = nodes.start_resumable(cluster.blob(), cluster.meta(), most, None).await.unwrap();
    nodes.abort_resumable(&state).await.unwrap();
    let error = nodes.start_resumable(cluster.blob(), cluster.meta(), most + 1, None).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { max_bytes } if max_bytes == most), "{error}");
}
