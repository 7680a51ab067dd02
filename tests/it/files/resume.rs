//! Uploads that are resumed: over broken streams, a restart, and by the command line.

use std::process::Output;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use proto::v1::{self, Outcome, UploadMetadata, start_upload_response, upload_part_request::Payload};
use tests::{Client, Content, reason_of, run};
use tonic::Status;

const MIB: u64 = 1024 * 1024;
const CONTENT: Content = Content::new(7, 20 * MIB + 5);

async fn start(client: &mut Client, about: UploadMetadata) -> Result<start_upload_response::Outcome, Status> {
    let answer = client.files.start_upload(v1::StartUploadRequest { metadata: Some(about) }).await?.into_inner();
    answer.outcome.ok_or_else(|| Status::internal("no outcome"))
}

/// Sends `range` of the content at `offset`; with `cut`, the stream ends in an error after it.
async fn part(client: &mut Client, id: &str, offset: u64, length: u64) -> Result<v1::UploadSession, Status> {
    let header = v1::PartHeader { upload_id: id.to_owned(), offset };
    let chunks: Vec<Bytes> =
        (0..length.div_ceil(MIB)).map(|i| CONTENT.range(offset + i * MIB, MIB.min(length - i * MIB))).collect();
    let messages = std::iter::once(Payload::Header(header)).chain(chunks.into_iter().map(Payload::Chunk));
    let messages = messages.map(|payload| v1::UploadPartRequest { payload: Some(payload) }).collect::<Vec<_>>();
    let answer = client.files.upload_part(futures::stream::iter(messages)).await?.into_inner();
    answer.session.ok_or_else(|| Status::internal("no session"))
}

async fn session(client: &mut Client, id: &str) -> Result<v1::UploadSession, Status> {
    let request = v1::GetUploadRequest { upload_id: id.to_owned() };
    Ok(client.files.get_upload(request).await?.into_inner().session.unwrap_or_default())
}

async fn finish(client: &mut Client, id: &str) -> Result<v1::Receipt, Status> {
    let request = v1::FinishUploadRequest { upload_id: id.to_owned() };
    Ok(client.files.finish_upload(request).await?.into_inner().receipt.unwrap_or_default())
}

fn about(path: &str) -> UploadMetadata {
    UploadMetadata {
        path: path.to_owned(),
        size_bytes: Some(CONTENT.size),
        sha256: Some(CONTENT.sha256().as_bytes().to_vec().into()),
        ..Default::default()
    }
}

#[test]
fn an_upload_goes_on_where_it_was_safe_also_after_a_restart_and_finishes_once() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let start_upload_response::Outcome::Session(begun) = start(&mut client, about("big")).await? else {
                anyhow::bail!("no session");
            };
            let id = begun.upload_id;
            ensure!(begun.offset == 0 && begun.part_bytes == 8 * MIB && begun.expires_at.is_some());
            // Two slices and a half: what is no whole slice is not kept.
            assert_eq!(part(&mut client, &id, 0, 19 * MIB).await?.offset, 16 * MIB);
            assert_eq!(session(&mut client, &id).await?.offset, 16 * MIB);
            let wrong = part(&mut client, &id, 19 * MIB, 1).await.unwrap_err();
            assert_eq!(reason_of(&wrong), "offset_wrong");
            assert_eq!(reason_of(&finish(&mut client, &id).await.unwrap_err()), "size_mismatch");
            cluster.stack.kill("gateway").await?;
            cluster.stack.start("gateway").await?;
            let mut client = cluster.client().await?;
            assert_eq!(session(&mut client, &id).await?.offset, 16 * MIB);
            assert_eq!(part(&mut client, &id, 16 * MIB, 4 * MIB + 5).await?.offset, CONTENT.size);
            let receipt = finish(&mut client, &id).await?;
            assert_eq!((receipt.outcome(), receipt.size_bytes), (Outcome::Applied, CONTENT.size));
            assert_eq!(finish(&mut client, &id).await?, receipt, "finished once");
            assert_eq!(client.get("big").await?, CONTENT.bytes());
            assert_eq!(client.versions("big").await?.len(), 1);
            // The space has the content now: the next one needs no bytes.
            let start_upload_response::Outcome::Receipt(instant) = start(&mut client, about("again")).await? else {
                anyhow::bail!("it asks for bytes");
            };
            assert_eq!(instant.outcome(), Outcome::Applied);
            cluster.replicated("big", 3).await;
            cluster.verify().await
        },
    );
}

#[test]
fn an_upload_that_is_aborted_or_wrong_leaves_nothing() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let start_upload_response::Outcome::Session(begun) = start(&mut client, about("a")).await? else {
                anyhow::bail!("no session");
            };
            part(&mut client, &begun.upload_id, 0, 9 * MIB).await?;
            let abort = v1::AbortUploadRequest { upload_id: begun.upload_id.clone() };
            client.files.abort_upload(abort.clone()).await?;
            assert_eq!(reason_of(&session(&mut client, &begun.upload_id).await.unwrap_err()), "upload_not_found");
            assert_eq!(reason_of(&client.files.abort_upload(abort).await.unwrap_err()), "upload_not_found");
            let mut wrong = about("b");
            wrong.sha256 = Some(vec![7; 32].into());
            let start_upload_response::Outcome::Session(begun) = start(&mut client, wrong).await? else {
                anyhow::bail!("no session");
            };
            part(&mut client, &begun.upload_id, 0, CONTENT.size).await?;
            assert_eq!(reason_of(&finish(&mut client, &begun.upload_id).await.unwrap_err()), "digest_mismatch");
            assert_eq!(client.ls("").await?, Vec::<String>::new());
            let unsized_upload = UploadMetadata { path: "c".to_owned(), ..Default::default() };
            assert_eq!(reason_of(&start(&mut client, unsized_upload).await.err().unwrap()), "metadata_missing");
            Ok(())
        },
    );
}

#[test]
fn the_command_line_puts_large_files_in_parts() {
    run(
        |b| b,
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let source = folder.path().join("large.bin");
            std::fs::write(&source, CONTENT.bytes())?;
            let put = cluster.highwater(&["put", source.to_str().context("a path")?, "large.bin", "--json"]).await?;
            let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(put.status.success(), "{}", told(&put));
            let mut client = cluster.client().await?;
            assert_eq!(client.get("large.bin").await?, CONTENT.bytes());
            cluster.verify().await
        },
    );
}
