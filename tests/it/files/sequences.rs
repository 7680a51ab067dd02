//! Reading at least what was written: every read can ask for a sequence.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1::{self, Receipt};
use tests::{Client, Content, reason_of, run};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Far more than the gateway waits.
const BOUND: Duration = Duration::from_secs(30);

/// Takes what is read out of a call, so that all have one type.
macro_rules! read {
    ($reads:ident, $name:literal, $call:expr) => {{
        let answer = tokio::time::timeout(BOUND, $call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::internal("it waits without a bound")));
        $reads.push(($name, answer.map(drop)));
    }};
}

/// Every read there is, of a file that `file` made at a path, at least at `min_sequence`.
async fn files(client: &mut Client, file: &Receipt, min: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let (mut reads, files, min_sequence) = (Vec::new(), &mut client.files, min.to_owned());
    let (path, version_id, file_id) = (file.path.clone(), file.version_id.clone(), file.file_id.clone());
    let request = v1::DownloadRequest { path: path.clone(), min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "Download", files.download(request));
    let request = v1::GetFileRequest { path: path.clone(), min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "GetFile", files.get_file(request));
    let request = v1::ListFilesRequest { min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListFiles", files.list_files(request));
    let request = v1::ListFolderRequest { min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListFolder", files.list_folder(request));
    let request = v1::GetUsageRequest { min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "GetUsage", files.get_usage(request));
    let request = v1::ListTrashRequest { min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListTrash", files.list_trash(request));
    let request = v1::ListVersionsRequest { path, min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListVersions of a path", files.list_versions(request));
    let request = v1::ListVersionsRequest { file_id, min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListVersions of a file", files.list_versions(request));
    let replicas = 1;
    let request = v1::WaitReplicatedRequest { version_id, replicas, min_sequence: min.to_owned(), timeout_ms: 0 };
    read!(reads, "WaitReplicated", files.wait_replicated(request));
    let request = v1::GetReceiptRequest { event_id: file.event_id.clone(), min_sequence: min.to_owned() };
    read!(reads, "GetReceipt", files.get_receipt(request));
    read!(
        reads,
        "ListSpaces",
        files.list_spaces(v1::ListSpacesRequest { min_sequence: min.to_owned(), include_deleted: true })
    );
    let request = v1::WatchRequest { from_sequence: min.to_owned(), once: true, ..Default::default() };
    read!(reads, "Watch", files.watch(request));
    let retention = Some(v1::Retention { keep_versions: Some(1), keep_days: None });
    let request = v1::PruneRequest { dry_run: true, retention, min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "Prune, dry", files.prune(request));
    let request = v1::UndoRequest {
        of_actor: "nobody".to_owned(),
        from_sequence: file.sequence.clone(),
        to_sequence: file.sequence.clone(),
        dry_run: true,
        min_sequence,
        ..Default::default()
    };
    read!(reads, "Undo, dry", files.undo(request));
    reads
}

async fn operations(client: &mut Client, file: &Receipt, min: &str) -> Vec<(&'static str, Result<(), Status>)> {
    use v1::explain_request::What;
    let (mut reads, operations) = (Vec::new(), &mut client.operations);
    let request = v1::ListEventsRequest { path: file.path.clone(), min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListEvents", operations.list_events(request));
    let request = v1::ListParkedRequest { min_sequence: min.to_owned(), ..Default::default() };
    read!(reads, "ListParked", operations.list_parked(request));
    read!(reads, "GetPlacement", operations.get_placement(v1::GetPlacementRequest { min_sequence: min.to_owned() }));
    for what in [
        What::BlobId(file.blob_id.clone()),
        What::File(v1::FilePlace { path: file.path.clone(), ..Default::default() }),
    ] {
        let request = v1::ExplainRequest { what: Some(what), min_sequence: min.to_owned() };
        read!(reads, "Explain", operations.explain(request));
    }
    reads
}

#[test]
fn every_read_waits_for_a_sequence_but_not_for_ever() {
    let soon = |b: Builder| {
        b.env("gateway", "HIGHWATER_LIMITS__MIN_SEQUENCE_WAIT", "100ms").env(
            "gateway",
            "HIGHWATER_LIMITS__PROJECTION_WAIT",
            "100ms",
        )
    };
    run(soon, async |cluster| {
        let mut client = cluster.client().await?;
        let event_id = client.put("f", Content::new(1, 10)).await?.event_id;
        cluster.settle().await;
        // The answer to the upload may have come before the catalog knew the file.
        let request = v1::GetReceiptRequest { event_id, ..Default::default() };
        let file = client.files.get_receipt(request).await?.into_inner().receipt.context("no receipt")?;
        cluster.stack.stop("projector").await?;
        let late = client.put("late", Content::new(2, 10)).await?;
        ensure!(!late.projected, "{late:?}");
        let mut reads = files(&mut client, &file, &late.sequence).await;
        reads.extend(operations(&mut client, &file, &late.sequence).await);
        for (name, answer) in reads {
            let status = answer.err().with_context(|| format!("{name} does not wait"))?;
            ensure!(
                (status.code(), reason_of(&status).as_str()) == (Code::Unavailable, "catalog_behind"),
                "{name}: {status}"
            );
            let details = status.get_details_error_info().context("no details")?.metadata;
            let behind: u64 = details.get("events_behind").with_context(|| format!("{name}: {details:?}"))?.parse()?;
            ensure!(behind > 0, "{name} is behind by nothing");
        }
        cluster.stack.start("projector").await?;
        cluster.settle().await;
        let mut reads = files(&mut client, &file, &late.sequence).await;
        reads.extend(operations(&mut client, &file, &late.sequence).await);
        for (name, answer) in reads {
            answer.with_context(|| format!("{name} when the projector is back"))?;
        }
        Ok(())
    });
}
