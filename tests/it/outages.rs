//! The journal, the catalog or the projector is away for a while.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use compose::Builder;
use futures::future::try_join_all;
use proto::v1::{self, OnConflict, Outcome, Receipt, UploadMetadata};
use tests::{Client, Cluster, Content, chunks, eventually, metadata, reason_of, run};
use tonic::{Code, Status};
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

type Answers = Vec<(&'static str, Result<Receipt, Status>)>;

/// What the changes of [`may_be_rejected`] are about.
struct There {
    /// The current version of the file `swapped`.
    swapped: String,
    /// An old version of the file `restored`.
    old: String,
    /// A file in the trash.
    trashed: String,
}

/// Content that the space has.
const KNOWN: Content = Content::new(1, 1000);

async fn make(cluster: &Cluster, client: &mut Client) -> anyhow::Result<There> {
    let mut versions = BTreeMap::new();
    for (seed, path) in (2..).zip(["replaced", "kept", "swapped", "moved", "copied", "removed", "restored", "trashed"])
    {
        versions.insert(path, client.put(path, Content::new(seed, 1000)).await?.version_id);
    }
    client.put("restored", KNOWN).await?;
    cluster.settle_catalog().await;
    let trashed = client.file("trashed").await?.file_id;
    let rm = v1::DeleteRequest { path: "trashed".to_owned(), request_id: "trash".to_owned(), ..Default::default() };
    // These clusters wait for no outcome long.
    eventually("it is in the trash", async || client.delete_if(rm.clone()).await).await;
    cluster.settle().await;
    Ok(There { swapped: versions["swapped"].clone(), old: versions["restored"].clone(), trashed })
}

fn upload(request_id: &str, path: &str) -> UploadMetadata {
    UploadMetadata { request_id: request_id.to_owned(), ..metadata(path) }
}

/// New bytes that get a place in any case.
async fn never_rejected(client: &mut Client) -> Answers {
    let content = Content::new(100, 1000);
    let overwrite = client.upload(upload("overwrite", "replaced"), chunks(content)).await;
    let keep = UploadMetadata { on_conflict: OnConflict::KeepBoth.into(), ..upload("keep both", "kept") };
    vec![("overwrite", overwrite), ("keep both", client.upload(keep, chunks(content)).await)]
}

/// Everything else, each with a request id.
async fn may_be_rejected(client: &mut Client, there: &There) -> Answers {
    macro_rules! receipt {
        ($call:expr) => {
            $call.await.map(|answer| answer.into_inner().receipt.unwrap_or_default())
        };
    }
    let (id, content) = (str::to_owned, Content::new(101, 1000));
    let only_new = UploadMetadata { on_conflict: OnConflict::Fail.into(), ..upload("create only", "new") };
    let swap = UploadMetadata { if_version: there.swapped.clone(), ..upload("swap", "swapped") };
    let instant = UploadMetadata {
        size_bytes: Some(KNOWN.size),
        sha256: Some(KNOWN.sha256().as_bytes().to_vec().into()),
        ..upload("instant", "instant")
    };
    let mkdir = v1::CreateFolderRequest { path: id("folder"), request_id: id("mkdir"), ..Default::default() };
    let mv = v1::MoveRequest { from: id("moved"), to: id("m"), request_id: id("mv"), ..Default::default() };
    let cp = v1::CopyRequest { from: id("copied"), to: id("c"), request_id: id("cp"), ..Default::default() };
    let rm = v1::DeleteRequest { path: id("removed"), request_id: id("rm"), ..Default::default() };
    let restore = v1::RestoreRequest {
        path: id("restored"),
        version_id: there.old.clone(),
        request_id: id("restore"),
        ..Default::default()
    };
    let back = v1::UndeleteRequest { file_id: there.trashed.clone(), request_id: id("back"), ..Default::default() };
    vec![
        ("create only", client.upload(only_new, chunks(content)).await),
        ("swap", client.upload(swap, chunks(content)).await),
        ("instant", client.upload(instant, futures::stream::empty()).await),
        ("mkdir", receipt!(client.files.create_folder(mkdir))),
        ("mv", receipt!(client.files.r#move(mv))),
        ("cp", receipt!(client.files.copy(cp))),
        ("rm", client.delete_if(rm).await),
        ("restore", receipt!(client.files.restore(restore))),
        ("undelete", client.undelete(back).await),
    ]
}

#[test]
fn what_may_be_rejected_is_answered_when_it_is_decided_and_not_before() {
    let impatient = |b: Builder| {
        ["PROJECTION_WAIT", "OUTCOME_WAIT"]
            .into_iter()
            .fold(b, |b, wait| b.env("gateway", &format!("HIGHWATER_LIMITS__{wait}"), "100ms"))
    };
    run(impatient, async |cluster| {
        let mut client = cluster.client().await?;
        let there = make(cluster, &mut client).await?;
        cluster.stack.stop("projector").await?;
        let mut sequences = BTreeMap::new();
        // The same requests again are the same events.
        for round in 1..=2 {
            for (name, answer) in never_rejected(&mut client).await {
                let receipt = answer.with_context(|| format!("{name} is not acknowledged in round {round}"))?;
                assert_eq!((receipt.projected, receipt.outcome()), (false, Outcome::Pending), "{name}");
                assert_eq!(sequences.entry(name).or_insert(receipt.sequence.clone()), &receipt.sequence, "{name}");
            }
            for (name, answer) in may_be_rejected(&mut client, &there).await {
                let status = answer.err().with_context(|| format!("{name} is acknowledged in round {round}"))?;
                let found = (status.code(), reason_of(&status));
                assert_eq!(found, (Code::Unavailable, "outcome_pending".to_owned()), "{name}");
                let details = status.get_details_error_info().with_context(|| format!("{name}: no details"))?;
                let sequence = details.metadata["sequence"].clone();
                assert_eq!(sequences.entry(name).or_insert(sequence.clone()), &sequence, "{name}");
            }
        }
        assert_eq!(sequences.values().collect::<BTreeSet<_>>().len(), 11, "{sequences:?}");
        cluster.stack.start("projector").await?;
        cluster.settle().await;
        let mut answers = never_rejected(&mut client).await;
        answers.extend(may_be_rejected(&mut client, &there).await);
        for (name, answer) in answers {
            let receipt = answer.with_context(|| format!("{name} when the projector is back"))?;
            let outcome = if name == "keep both" { Outcome::ConflictedCopy } else { Outcome::Applied };
            assert_eq!((receipt.projected, receipt.outcome()), (true, outcome), "{name}");
            assert_eq!(receipt.sequence, sequences[name], "{name}");
        }
        cluster.verify().await
    });
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
