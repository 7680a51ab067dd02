//! Neither uploads nor copies hold a whole file in memory. It is our memory and not the nodes', and takes many gigabytes to
//! see: once is enough.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use compose::Builder;
use futures::StreamExt as _;
use proto::Sha256Digest;
use proto::v1::UploadRequest;
use proto::v1::upload_request::Payload;
use tests::{Client, Cluster, Content, chunks, eventually, eventually_within, metadata, run};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

const MIB: u64 = 1024 * 1024;

/// How much more one upload may take than another. Each may fill the same bounds, whatever its length: `blobs.send_budget`
/// (24 MiB) of parts under way, when the node is slower than the client for a moment, and `http2.connection_window` (4 MiB)
/// of chunks not read yet. A short upload may happen to fill neither, a long one will at some time; the rest is what
/// the allocator keeps of them. It is below 1 % of the long one.
const DIFFERENCE: u64 = 32 * MIB;

/// Some 2 GiB from node to node, on a busy machine.
const COPIED_WITHIN: Duration = Duration::from_mins(5);

/// A field of `/proc/<pid>/status`, in bytes.
fn memory(cluster: &Cluster, name: &str, field: &str) -> anyhow::Result<u64> {
    let pid = cluster.stack.pid(name).with_context(|| format!("{name} does not run"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024)
}

/// However slow the disk is: here the first upload to be in its middle waits for the last one.
fn patient(builder: Builder) -> Builder {
    [
        ("HIGHWATER_LIMITS__IDLE_TIMEOUT", "30m"),
        ("HIGHWATER_BLOBS__READ_TIMEOUT", "2m"),
        ("HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2m"),
        ("HIGHWATER_BLOBS__RETRY__MAX_ELAPSED", "10m"),
    ]
    .into_iter()
    .fold(builder, |b, (key, value)| b.env("gateway", key, value))
}

/// Sends half of the content, says so, and goes on when told to.
async fn upload_in_two_halves(
    mut client: Client,
    path: String,
    (content, sha256): (Content, Sha256Digest),
    half: mpsc::Sender<()>,
    mut go_on: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (send, messages) = mpsc::channel(1);
    let feed = async move {
        send.send(Payload::Metadata(metadata(&path))).await?;
        let mut so_far = 0;
        let mut chunks = std::pin::pin!(chunks(content));
        while let Some(chunk) = chunks.next().await {
            if so_far == content.size / 2 {
                half.send(()).await?;
                go_on.wait_for(|go| *go).await?;
            }
            so_far += chunk.len() as u64;
            send.send(Payload::Chunk(chunk)).await?;
        }
        anyhow::Ok(())
    };
    let messages = ReceiverStream::new(messages).map(|payload| UploadRequest { payload: Some(payload) });
    let (receipt, all_sent) = tokio::join!(client.send(messages), feed);
    let receipt = receipt?;
    all_sent?;
    assert_eq!(receipt.size_bytes, content.size);
    assert_eq!(receipt.sha256, Bytes::copy_from_slice(sha256.as_bytes()));
    Ok(())
}

#[test]
fn sixteen_uploads_in_their_middle_fit_in_256_mib() {
    run(
        |b| patient(b.replicators(0)),
        async |cluster| {
            let content = Content::new(16, 256 * MIB);
            let content = (content, content.sha256());
            let (half, mut halves) = mpsc::channel(16);
            let (go_on, wait) = watch::channel(false);
            let mut uploads = tokio::task::JoinSet::new();
            for n in 0..16 {
                let client = cluster.client().await?;
                uploads.spawn(upload_in_two_halves(client, format!("u{n}"), content, half.clone(), wait.clone()));
            }
            drop(half);
            for _ in 0..16 {
                tokio::select! {
                    reached = halves.recv() => reached.context("an upload ended early")?,
                    Some(ended) = uploads.join_next() => ended??,
                }
            }
            let resident = memory(cluster, "gateway", "VmRSS")?;
            go_on.send(true)?;
            while let Some(ended) = uploads.join_next().await {
                ended??;
            }
            let peak = memory(cluster, "gateway", "VmHWM")?;
            println!("16 x 256 MiB: {} MiB in the middle, {} MiB at the peak", resident / MIB, peak / MIB);
            assert!(resident < 256 * MIB, "{} MiB in the middle", resident / MIB);
            assert!(peak < 256 * MIB, "{} MiB at the peak", peak / MIB);
            Ok(())
        },
    );
}

#[test]
fn four_gib_take_no_more_memory_than_64_mib() {
    run(
        |b| patient(b.replicators(0).node_count(1)),
        async |cluster| {
            let mut client = cluster.client().await?;
            // The second one shows what a process that has uploaded before needs.
            for n in 0..2 {
                client.put(&format!("small-{n}"), Content::new(n, 64 * MIB)).await?;
            }
            let small = memory(cluster, "gateway", "VmHWM")?;
            client.put("big", Content::new(3, 4096 * MIB)).await?;
            let big = memory(cluster, "gateway", "VmHWM")?;
            println!("64 MiB: {} MiB at the peak, 4 GiB: {} MiB", small / MIB, big / MIB);
            assert!(big <= small + DIFFERENCE, "{} MiB instead of {} MiB", big / MIB, small / MIB);
            eventually("the end of it can be read", async || {
                let tail = client.get_range("big", 4096 * MIB - 100, None).await?;
                anyhow::ensure!(tail == Content::new(3, 4096 * MIB).range(4096 * MIB - 100, 100), "other bytes");
                Ok(())
            })
            .await;
            Ok(())
        },
    );
}

/// Both lanes at work for all nodes at once: the small one with its largest blobs, each in one request, and the large one
/// with blobs in parts.
#[test]
fn many_large_copies_at_once_fit_in_128_mib() {
    const FILES: u64 = 16;
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_BLOBS__COPY_PARTS_FROM", "64MiB"),
        async |cluster| {
            let mut client = cluster.client().await?;
            for n in 0..FILES {
                let size = if n % 4 == 3 { 80 * MIB } else { 63 * MIB };
                client.put(&format!("f{n}"), Content::new(n, size)).await?;
            }
            cluster.stack.scale(1).await?;
            eventually_within(COPIED_WITHIN, "everything is copied", async || {
                let status = cluster.client().await?.status().await?;
                let left: u64 = status.nodes.iter().map(|node| FILES - node.blobs_stored).sum();
                anyhow::ensure!(left == 0, "{left} copies are left");
                Ok(())
            })
            .await;
            let peak = memory(cluster, "replicator-1", "VmHWM")?;
            println!("{} copies of 63 and 80 MiB: {} MiB at the peak", 2 * FILES, peak / MIB);
            assert!(peak < 128 * MIB, "{} MiB at the peak", peak / MIB);
            Ok(())
        },
    );
}
