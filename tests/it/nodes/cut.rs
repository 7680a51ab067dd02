//! Uploads whose connection breaks in their middle: nothing of them stays, and they hold no place.

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use proto::v1::UploadRequest;
use proto::v1::upload_request::Payload;
use tests::{Client, Cluster, Content, Link, chunks, eventually, metadata, reason_of, run};

use crate::s3;

const MIB: u64 = 1024 * 1024;

/// Sends all of the content, and then nothing more, not even that this was all.
async fn upload_without_end(mut client: Client, content: Content) {
    let message = |payload| UploadRequest { payload: Some(payload) };
    let first = message(Payload::Metadata(metadata("cut")));
    let body = chunks(content).map(move |bytes| message(Payload::Chunk(bytes)));
    let silence = futures::stream::pending::<UploadRequest>();
    let _cut = client.send(futures::stream::iter([first]).chain(body).chain(silence)).await;
}

async fn head(cluster: &Cluster) -> anyhow::Result<String> {
    Ok(cluster.client().await?.status().await?.journal.context("no journal in the status")?.head)
}

/// Breaks the line between client and gateway in the middle of uploads, a small and a large one.
fn cut(break_line: impl Fn(&Link)) {
    run(
        |b| {
            b.replicators(0)
                // The next upload has a place only when the one before has given it back.
                .env("gateway", "HIGHWATER_LIMITS__MAX_UPLOADS", "1")
                .env("gateway", "HIGHWATER_LIMITS__QUEUE_WAIT", "1m")
                .env("gateway", "HIGHWATER_HTTP2__KEEPALIVE_INTERVAL", "1s")
                .env("gateway", "HIGHWATER_HTTP2__KEEPALIVE_TIMEOUT", "5s")
        },
        async |cluster| {
            let link = Link::start(cluster.stack.gateway_addr()?).await?;
            let before = head(cluster).await?;
            for size in [100_000, 40 * MIB] {
                let sent_before = link.carried();
                let client = Client::connect(link.addr()).await?;
                let mut upload = tokio::task::JoinSet::new();
                upload.spawn(upload_without_end(client, Content::new(5, size)));
                eventually("the upload is in its middle", async || {
                    let sent = link.carried() - sent_before;
                    ensure!(sent > size, "{sent} of {size} bytes are sent");
                    // What is longer than a slice is on a node by now.
                    ensure!(size < 8 * MIB || !s3::unfinished(cluster).await?.is_empty(), "nothing was begun");
                    Ok(())
                })
                .await;
                break_line(&link);
                eventually("nothing of it is left", async || {
                    let blobs = s3::blobs(cluster).await?;
                    ensure!(blobs.is_empty(), "{blobs:?}");
                    let unfinished = s3::unfinished(cluster).await?;
                    ensure!(unfinished.is_empty(), "{unfinished:?}");
                    Ok(())
                })
                .await;
                link.heal();
            }
            assert_eq!(head(cluster).await?, before, "an event was published");
            let mut client = cluster.client().await?;
            let status = client.get("cut").await.expect_err("it was cut");
            assert_eq!(reason_of(&status), "file_not_found");
            assert_eq!(client.put("whole", Content::new(6, 9 * MIB)).await?.path, "whole");
            Ok(())
        },
    );
}

#[test]
fn an_upload_whose_connection_is_reset_leaves_nothing() {
    cut(Link::reset);
}

#[test]
fn an_upload_whose_connection_ends_for_the_gateway_only_leaves_nothing() {
    cut(Link::half_open);
}

/// The client lost power, or its line: nothing says that it is gone.
#[test]
fn an_upload_whose_client_falls_silent_leaves_nothing() {
    cut(Link::blackhole);
}
