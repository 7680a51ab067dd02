//! The main job: upload, journal, replicas, catalog, download.

use anyhow::{Context as _, ensure};
use proto::v1::upload_request::Payload;
use proto::v1::{self, Outcome, ReplicaState, UploadRequest};
use proto::{Sequence, VersionId};
use runtime::trace::Trace;
use tests::{Content, chunks, eventually, metadata, run};

#[test]
fn what_is_uploaded_is_on_all_nodes_and_comes_back_from_each_of_them() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            // Empty, small, one slice, several slices, large.
            let sizes = [0, 1, 4096, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 70 * 1024 * 1024];
            let contents: Vec<(String, Content)> =
                (1..).zip(sizes).map(|(seed, size)| (format!("dir/{size}.bin"), Content::new(seed, size))).collect();
            for (path, content) in &contents {
                let receipt = client.put(path, *content).await.with_context(|| path.clone())?;
                assert_eq!(receipt.outcome(), Outcome::Applied);
                assert_eq!(receipt.path, *path);
                assert_eq!(receipt.size_bytes, content.size);
                assert_eq!(receipt.sha256, content.sha256().as_bytes()[..]);
                assert!(receipt.projected);
                receipt.sequence.parse::<Sequence>()?;
                receipt.version_id.parse::<VersionId>()?;
                assert!(cluster.stack.nodes().iter().any(|node| node.id == receipt.node), "{}", receipt.node);
            }
            for (path, _) in &contents {
                cluster.replicated(path, 3).await;
            }
            cluster.settle().await;
            for up in ["node-a", "node-b", "node-c"] {
                for down in ["node-a", "node-b", "node-c"].into_iter().filter(|node| *node != up) {
                    cluster.stack.stop(down).await?;
                }
                for (path, content) in &contents {
                    assert_eq!(client.get(path).await.context(up)?, content.bytes(), "{path} from {up}");
                }
                for down in ["node-a", "node-b", "node-c"].into_iter().filter(|node| *node != up) {
                    cluster.stack.start(down).await?;
                }
            }
            cluster.verify().await
        },
    );
}

#[test]
fn an_upload_can_be_followed_by_its_callers_trace() {
    run(
        |b| {
            let b = b.replicators(1).env("replicator", "HIGHWATER_TELEMETRY__FILTER", "info,replicator=debug");
            b.env("gateway", "HIGHWATER_TELEMETRY__FILTER", "info,journal=debug")
        },
        async |cluster| {
            let mut client = cluster.client().await?;
            let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
            let stream = jetstream.get_stream("HIGHWATER").await?;
            let callers: Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?;
            for (path, traceparent) in
                [("given", callers.to_string()), ("none", String::new()), ("odd", "1-2".to_owned())]
            {
                let first = UploadRequest { payload: Some(Payload::Metadata(metadata(path))) };
                let mut request = tonic::Request::new(futures::stream::iter([first]));
                if !traceparent.is_empty() {
                    request.metadata_mut().insert("traceparent", traceparent.parse()?);
                }
                let receipt = client.files.upload(request).await?.into_inner().receipt.context("no receipt")?;
                let event = stream.get_raw_message(receipt.sequence.parse::<Sequence>()?.n).await?;
                let carried: Trace = event.headers.get("traceparent").context("no traceparent")?.as_str().parse()?;
                assert_eq!(carried.id() == callers.id(), path == "given", "{carried}");
                assert_ne!(carried, callers, "the gateway's own step");
                cluster.replicated(path, 3).await;
                for (service, words) in [("gateway", "published hw.v1."), ("replicator-1", "stored replica of ")] {
                    let trace_id = format!("trace_id={}", carried.id());
                    eventually("the log names the trace", async || {
                        let said = std::fs::read_to_string(cluster.stack.log(service))?;
                        ensure!(said.lines().any(|line| line.contains(words) && line.contains(&trace_id)), "{said}");
                        anyhow::Ok(())
                    })
                    .await;
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_range_is_exactly_those_bytes() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(7, 20 * 1024 * 1024 + 17);
            client.put("range", content).await?;
            let slice = 8 * 1024 * 1024;
            for (offset, limit) in [
                (0, Some(0)),
                (0, Some(1)),
                (slice - 1, Some(2)),
                (slice, Some(slice)),
                (5, Some(content.size)),
                (content.size - 1, None),
                (content.size, None),
                (3 * 1024 * 1024, None),
            ] {
                let length = limit.unwrap_or(u64::MAX).min(content.size - offset);
                let bytes = client.get_range("range", offset, limit).await?;
                assert_eq!(bytes, content.range(offset, length), "{offset} {limit:?}");
            }
            Ok(())
        },
    );
}

#[test]
fn a_second_upload_is_a_second_version_and_the_first_stays() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let first = client.put("notes.txt", Content::new(1, 1000)).await?;
            let second = client.put("notes.txt", Content::new(2, 2000)).await?;
            assert_eq!(first.file_id, second.file_id);
            assert_ne!(first.version_id, second.version_id);
            assert_eq!(client.get("notes.txt").await?, Content::new(2, 2000).bytes());
            let request = v1::DownloadRequest {
                path: "notes.txt".to_owned(),
                version_id: first.version_id.clone(),
                ..Default::default()
            };
            let (header, bytes) = client.download(request).await?;
            assert_eq!(bytes, Content::new(1, 1000).bytes());
            assert_eq!(header.version.context("no version")?.version_id, first.version_id);
            let receipt = client
                .files
                .get_receipt(v1::GetReceiptRequest { event_id: first.event_id.clone(), ..Default::default() })
                .await?
                .into_inner()
                .receipt;
            assert_eq!(receipt, Some(first));
            Ok(())
        },
    );
}

#[test]
fn everything_about_a_file_can_be_asked() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(3, 3000);
            let mut about = metadata("b/ü.pdf");
            about.content_type = "application/pdf".to_owned();
            about.actor = "alice".to_owned();
            about.size_bytes = Some(content.size);
            about.sha256 = Some(content.sha256().as_bytes().to_vec().into());
            let receipt = client.upload(about, chunks(content)).await?;
            client.put_bytes("a", "a").await?;
            client.put_bytes("b/c/d", "d").await?;
            let file = cluster.replicated("b/ü.pdf", 3).await;
            let version = file.version.context("no version")?;
            assert_eq!(version.version_id, receipt.version_id);
            assert_eq!((version.actor.as_str(), version.content_type.as_str()), ("alice", "application/pdf"));
            assert_eq!((file.replicas_stored, file.replicas_wanted), (3, 3));
            assert!(file.replicas.iter().all(|replica| replica.state() == ReplicaState::Stored));

            let mut paths = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListFilesRequest { page_size: 1, page_token, ..Default::default() };
                let page = client.files.list_files(request).await?.into_inner();
                paths.extend(page.files.into_iter().map(|file| file.path));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(paths, ["a", "b/c/d", "b/ü.pdf"], "in byte order");

            let events = client.events("b/ü.pdf").await?;
            let kinds: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
            assert_eq!(kinds[0], "highwater.file.uploaded.v1");
            assert_eq!(kinds.iter().filter(|kind| **kind == "highwater.replica.stored.v1").count(), 2, "{kinds:?}");
            assert_eq!(events[0].event_id, receipt.event_id);
            assert_eq!(events[0].sequence, receipt.sequence);

            let status = cluster.settle().await;
            assert_eq!(status.nodes.len(), 3);
            assert!(status.nodes.iter().all(|node| node.blobs_stored == 3), "{status:?}");
            Ok(())
        },
    );
}

#[test]
fn replicators_share_the_work_and_late_ones_join_in() {
    run(
        |b| b.replicators(1),
        async |cluster| {
            let mut client = cluster.client().await?;
            cluster.stack.stop("replicator-1").await?;
            for n in 0..40 {
                client.put(&format!("f{n}"), Content::new(n, 10_000)).await?;
            }
            cluster.stack.scale(3).await?;
            cluster.settle().await;
            for n in 0..40 {
                assert_eq!(client.get(&format!("f{n}")).await?, Content::new(n, 10_000).bytes());
            }
            cluster.verify().await
        },
    );
}
