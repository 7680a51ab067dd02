//! The journal, the catalog or the projector is away for a while.

use anyhow::ensure;
use futures::future::try_join_all;
use proto::v1::{self, Outcome};
use tests::{Content, eventually, reason_of, run};
use tonic::Code;
use tonic_types::StatusExt as _;

#[test]
fn without_the_journal_reads_go_on_and_changes_wait_for_its_return() {
    run(
        |b| b.env("gateway", "HIGHWATER_NATS__PUBLISH_MAX_ELAPSED", "2s"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(1, 5000);
            client.put("a", content).await?;
            cluster.settle().await;
            cluster.stack.stop("nats").await?;
            let status = client.put("b", Content::new(2, 5000)).await.expect_err("no journal");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "journal_unavailable"));
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            assert_eq!(client.get("a").await?, content.bytes(), "reads need no journal");
            cluster.stack.start("nats").await?;
            eventually("uploads work again", async || client.put("b", Content::new(2, 5000)).await).await;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn without_the_catalog_nothing_is_guessed_and_all_recover() {
    run(
        |b| b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "2s"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(1, 5000);
            client.put("a", content).await?;
            cluster.settle().await;
            cluster.stack.stop("postgres").await?;
            let status = client.get("a").await.expect_err("no catalog");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "catalog_unavailable"));
            let status =
                client.files.list_files(v1::ListFilesRequest::default()).await.expect_err("never an empty list");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "catalog_unavailable"));
            // It is in the journal, but nobody can say what becomes of it: the client is told to ask again.
            let status = client.put("b", Content::new(2, 5000)).await.expect_err("no catalog");
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            cluster.stack.start("postgres").await?;
            eventually("reads work again", async || client.get("a").await).await;
            eventually("uploads work again", async || client.put("c", Content::new(3, 5000)).await).await;
            cluster.settle().await;
            assert_eq!(client.get("b").await?, Content::new(2, 5000).bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn without_the_projector_an_upload_is_acknowledged_and_decided_later() {
    run(
        |b| {
            b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "300ms").env(
                "gateway",
                "HIGHWATER_LIMITS__MIN_SEQUENCE_WAIT",
                "300ms",
            )
        },
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            cluster.stack.stop("projector").await?;
            let receipt = client.put("a", Content::new(2, 5000)).await?;
            assert!(!receipt.projected);
            assert_eq!(receipt.outcome(), Outcome::Pending);
            assert_eq!(client.get("a").await?, Content::new(1, 5000).bytes(), "the catalog is behind");
            let later = v1::DownloadRequest {
                path: "a".to_owned(),
                min_sequence: receipt.sequence.clone(),
                ..Default::default()
            };
            let status = client.download(later.clone()).await.expect_err("not reached");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "catalog_behind"));
            cluster.stack.start("projector").await?;
            let (_, bytes) = eventually("the catalog has it", async || client.download(later.clone()).await).await;
            assert_eq!(bytes, Content::new(2, 5000).bytes());
            let request = v1::GetReceiptRequest { event_id: receipt.event_id.clone(), ..Default::default() };
            let decided = client.files.get_receipt(request).await?.into_inner().receipt.unwrap_or_default();
            assert_eq!(decided.outcome(), Outcome::Applied);
            assert_eq!(decided.sequence, receipt.sequence);
            assert_eq!(decided.version_id, receipt.version_id);
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn services_started_before_their_servers_wait_and_say_for_what() {
    run(
        |b| b,
        async |cluster| {
            for name in ["gateway", "replicator-1", "replicator-2", "projector"] {
                cluster.stack.stop(name).await?;
            }
            for name in ["nats", "postgres", "node-a"] {
                cluster.stack.stop(name).await?;
            }
            // What waits is not ready: their starts end only when the servers are back.
            let start = try_join_all(["projector", "replicator-1", "gateway"].map(|name| cluster.stack.start(name)));
            let servers = async {
                eventually("somebody says what it waits for", async || {
                    let said = cluster.stack.log_tail("projector", 20);
                    ensure!(said.contains("wait"), "{said}");
                    Ok(())
                })
                .await;
                for name in ["nats", "postgres", "node-a"] {
                    cluster.stack.start(name).await?;
                }
                anyhow::Ok(())
            };
            let (started, servers) = tokio::join!(start, servers);
            servers?;
            started?;
            let mut client = eventually("the gateway answers", async || cluster.client().await).await;
            eventually("uploads work", async || client.put("a", Content::new(1, 5000)).await).await;
            cluster.settle().await;
            Ok(())
        },
    );
}
