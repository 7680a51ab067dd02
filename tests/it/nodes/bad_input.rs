//! What bad input gets: a code, a reason, one sentence; nothing stored, nothing leaked.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use proto::v1::upload_request::Payload;
use proto::v1::{self, UploadMetadata, UploadRequest};
use tests::{Client, Cluster, Content, chunks, eventually, metadata, reason_of, run};
use tonic::{Code, Status};

use crate::s3;

const MIB: u64 = 1024 * 1024;

fn message(payload: Payload) -> UploadRequest {
    UploadRequest { payload: Some(payload) }
}

fn chunk(bytes: impl Into<Bytes>) -> UploadRequest {
    message(Payload::Chunk(bytes.into()))
}

/// The journal's head, and what is on the nodes.
async fn stored(cluster: &Cluster, client: &mut Client) -> anyhow::Result<(String, Vec<String>)> {
    let head = client.status().await?.journal.context("no journal")?.head;
    Ok((head, s3::blobs(cluster).await?))
}

fn refused(outcome: Result<impl std::fmt::Debug, Status>, code: Code, reason: &str) {
    let status = outcome.expect_err(reason);
    assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason), "{status:?}");
    let sentence = status.message();
    assert!(sentence.len() > 10 && !sentence.ends_with('.') && !sentence.contains('\n'), "{sentence:?}");
}

#[test]
fn names_that_cannot_be_are_refused() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let before = stored(cluster, &mut client).await?;
            let long = "x".repeat(256);
            let deep = "abcdefgh/".repeat(500) + "x";
            let paths =
                ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/..", "a\0b", "a\u{1b}b", "a\u{9f}", &long, &deep];
            for path in paths {
                refused(client.put_bytes(path, "content").await, Code::InvalidArgument, "path_invalid");
                refused(client.get(path).await, Code::InvalidArgument, "path_invalid");
            }
            let mut unknown = metadata("a");
            unknown.space = "nowhere".to_owned();
            refused(client.upload(unknown, chunks(Content::new(1, 1))).await, Code::NotFound, "space_not_found");
            assert_eq!(stored(cluster, &mut client).await?, before);
            Ok(())
        },
    );
}

/// A message whose `?` is a byte that no UTF-8 has: prost checks strings, but clients in other languages may not.
fn invalid_utf8(message: &impl prost::Message) -> Bytes {
    let mut wire = message.encode_to_vec();
    let at = wire.iter().position(|byte| *byte == b'?').expect("a question mark in the name");
    wire[at] = 0xff;
    wire.into()
}

#[test]
fn invalid_utf8_in_a_name_is_refused() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let before = stored(cluster, &mut client).await?;
            let path = "a?b".to_owned();
            let metadata = invalid_utf8(&message(Payload::Metadata(metadata(&path))));
            let content = prost::Message::encode_to_vec(&chunk("content")).into();
            let get_file = v1::GetFileRequest { path: path.clone(), ..Default::default() };
            let download = v1::DownloadRequest { path, ..Default::default() };
            for (call, messages) in [
                ("/highwater.v1.Files/Upload", vec![metadata, content]),
                ("/highwater.v1.Files/GetFile", vec![invalid_utf8(&get_file)]),
                ("/highwater.v1.Files/Download", vec![invalid_utf8(&download)]),
            ] {
                refused(client.send_raw(call, messages).await, Code::InvalidArgument, "message_invalid");
            }
            assert_eq!(stored(cluster, &mut client).await?, before);
            assert_eq!(client.put_bytes("fine", "x").await?.path, "fine");
            Ok(())
        },
    );
}

#[test]
fn streams_out_of_order_are_refused() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_LIMITS__CHUNK_BYTES", "64KiB"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let before = stored(cluster, &mut client).await?;
            let first = || message(Payload::Metadata(metadata("a")));
            let cases: [(Vec<UploadRequest>, &str); 7] = [
                (vec![], "metadata_missing"),
                (vec![chunk("content")], "metadata_missing"),
                (vec![first(), first()], "metadata_twice"),
                (vec![first(), chunk("content"), first()], "metadata_twice"),
                (vec![first(), chunk(vec![7_u8; 64 * 1024 + 1])], "chunk_too_large"),
                // In the middle of a stream; and far beyond what a message may have at all.
                (vec![first(), chunk("content"), chunk(vec![7_u8; 64 * 1024 + 1]), chunk("more")], "chunk_too_large"),
                (vec![first(), chunk(vec![7_u8; 8 << 20])], "chunk_too_large"),
            ];
            for (messages, reason) in cases {
                refused(client.send(futures::stream::iter(messages)).await, Code::InvalidArgument, reason);
            }
            let empty = UploadRequest { payload: None };
            refused(
                client.send(futures::stream::iter([first(), empty])).await,
                Code::InvalidArgument,
                "message_invalid",
            );
            assert_eq!(stored(cluster, &mut client).await?, before);
            assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
            client.send(futures::stream::iter([first(), chunk(vec![7_u8; 64 * 1024])])).await?;
            assert_eq!(s3::blobs(cluster).await?.len(), before.1.len() + 1, "only the good one");
            Ok(())
        },
    );
}

#[test]
fn a_size_or_digest_that_does_not_match_stores_nothing() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let before = stored(cluster, &mut client).await?;
            // One PUT, and a multipart upload.
            for size in [1000, 20 * MIB] {
                let content = Content::new(1, size);
                let with = |change: &dyn Fn(&mut UploadMetadata)| {
                    let mut metadata = metadata("a");
                    change(&mut metadata);
                    metadata
                };
                for declared in [size - 1, size + 1, 0] {
                    let about = with(&|m| m.size_bytes = Some(declared));
                    refused(client.upload(about, chunks(content)).await, Code::InvalidArgument, "size_mismatch");
                }
                let about = with(&|m| m.sha256 = Some(Content::new(2, size).sha256().as_bytes().to_vec().into()));
                refused(client.upload(about, chunks(content)).await, Code::InvalidArgument, "digest_mismatch");
                let about = with(&|m| m.sha256 = Some(Bytes::from_static(b"short")));
                refused(client.upload(about, chunks(content)).await, Code::InvalidArgument, "digest_invalid");
            }
            let after = eventually("what was written is discarded", async || {
                let after = stored(cluster, &mut cluster.client().await?).await?;
                ensure!(after == before, "{after:?}");
                anyhow::Ok(after)
            })
            .await;
            assert_eq!(after, before);
            assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
            Ok(())
        },
    );
}

#[test]
fn a_cancelled_or_cut_upload_leaves_nothing() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let before = stored(cluster, &mut cluster.client().await?).await?;
            for size in [100_000, 40 * MIB] {
                let mut client = cluster.client().await?;
                // The stream stays open after its chunks, until the call is dropped.
                let (sent, all_sent) = tokio::sync::oneshot::channel();
                let mut sent = Some(sent);
                let first = message(Payload::Metadata(metadata("cut")));
                let body = chunks(Content::new(5, size)).map(|bytes| message(Payload::Chunk(bytes)));
                let signal = futures::stream::once(async move {
                    sent.take().map(|sent| sent.send(()));
                    futures::future::pending::<UploadRequest>().await
                });
                let messages = futures::stream::iter([first]).chain(body).chain(signal);
                let in_its_middle = async {
                    all_sent.await?;
                    // What is longer than a slice is on a node by now.
                    eventually("it has begun there", async || {
                        ensure!(size < 8 * MIB || !s3::unfinished(cluster).await?.is_empty(), "nothing was begun");
                        Ok(())
                    })
                    .await;
                    anyhow::Ok(())
                };
                tokio::select! {
                    outcome = client.send(messages) => anyhow::bail!("it ended: {outcome:?}"),
                    begun = in_its_middle => begun?,
                }
            }
            eventually("nothing of it is left", async || {
                let blobs = s3::blobs(cluster).await?;
                ensure!(blobs.is_empty(), "{blobs:?}");
                let unfinished = s3::unfinished(cluster).await?;
                ensure!(unfinished.is_empty(), "{unfinished:?}");
                Ok(())
            })
            .await;
            assert_eq!(stored(cluster, &mut cluster.client().await?).await?, before);
            refused(cluster.client().await?.get("cut").await, Code::NotFound, "file_not_found");
            Ok(())
        },
    );
}

#[test]
fn downloads_of_what_is_not_there_and_of_bad_ranges() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let receipt = client.put_bytes("dir/a", "0123456789").await?;
            refused(client.get("b").await, Code::NotFound, "file_not_found");
            refused(client.get("dir").await, Code::NotFound, "file_not_found");
            refused(client.get("dir/a/b").await, Code::NotFound, "file_not_found");
            refused(client.get_range("dir/a", 11, None).await, Code::OutOfRange, "range_out_of_range");
            refused(client.get_range("dir/a", u64::MAX, Some(1)).await, Code::OutOfRange, "range_out_of_range");
            assert_eq!(client.get_range("dir/a", 10, None).await?, "");
            assert_eq!(client.get_range("dir/a", 8, Some(u64::MAX)).await?, "89");
            let with = |change: &dyn Fn(&mut v1::DownloadRequest)| {
                let mut request = v1::DownloadRequest { path: "dir/a".to_owned(), ..Default::default() };
                change(&mut request);
                request
            };
            let request = with(&|r| r.version_id = "not-a-uuid".to_owned());
            refused(client.download(request).await, Code::InvalidArgument, "id_invalid");
            let request = with(&|r| r.version_id = receipt.event_id.clone());
            refused(client.download(request).await, Code::NotFound, "version_not_found");
            let request = with(&|r| r.min_sequence = "7".to_owned());
            refused(client.download(request).await, Code::InvalidArgument, "sequence_invalid");
            let other_life = format!("{}-1", "0".repeat(32));
            let request = with(&|r| r.min_sequence = other_life.clone());
            let status = client.download(request).await.expect_err("another life");
            assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
            Ok(())
        },
    );
}

#[test]
fn the_same_request_id_answers_the_first_outcome() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let mut about = metadata("once");
            about.request_id = "r-1".to_owned();
            let content = Content::new(1, 5000);
            let first = client.upload(about.clone(), chunks(content)).await?;
            let again = client.upload(about.clone(), chunks(content)).await?;
            assert_eq!(first, again);
            refused(
                client.upload(about, chunks(Content::new(2, 5000))).await,
                Code::AlreadyExists,
                "request_id_reused",
            );
            cluster.settle().await;
            assert_eq!(s3::blobs(cluster).await?.len(), 3, "one blob on three nodes");
            assert_eq!(client.get("once").await?, content.bytes());
            cluster.verify().await
        },
    );
}
