//! Uploads that are resumed: over broken streams, a restart, and by the command line.

use std::io::Write as _;
use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use bytes::Bytes;
use compose::Builder;
use futures::TryStreamExt as _;
use proto::v1::{self, Outcome, UploadMetadata, start_upload_response, upload_part_request::Payload};
use rustix::process::{Pid, Signal};
use tests::{Client, Cluster, Content, eventually, reason_of, run};
use tonic::{Code, Status};

use crate::s3;

const MIB: u64 = 1024 * 1024;
const CONTENT: Content = Content::new(7, 20 * MIB + 5);

pub(super) async fn start(
    client: &mut Client,
    about: UploadMetadata,
) -> Result<start_upload_response::Outcome, Status> {
    let answer = client.files.start_upload(v1::StartUploadRequest { metadata: Some(about) }).await?.into_inner();
    answer.outcome.ok_or_else(|| Status::internal("no outcome"))
}

/// Sends `range` of the content at `offset`; with `cut`, the stream ends in an error after it.
pub(super) async fn part(client: &mut Client, id: &str, offset: u64, length: u64) -> Result<v1::UploadSession, Status> {
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

pub(super) async fn finish(client: &mut Client, id: &str) -> Result<v1::Receipt, Status> {
    let request = v1::FinishUploadRequest { upload_id: id.to_owned() };
    Ok(client.files.finish_upload(request).await?.into_inner().receipt.unwrap_or_default())
}

/// How many entries the bucket of uploads has.
async fn entries(cluster: &Cluster) -> anyhow::Result<usize> {
    let jetstream = jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
    let uploads = jetstream.get_key_value("highwater_uploads").await?;
    Ok(uploads.keys().await?.try_collect::<Vec<_>>().await?.len())
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
            assert_eq!(entries(cluster).await?, 4, "the session and its three parts");
            let receipt = finish(&mut client, &id).await?;
            assert_eq!((receipt.outcome(), receipt.size_bytes), (Outcome::Applied, CONTENT.size));
            assert_eq!(entries(cluster).await?, 1, "a finished upload takes no room for its parts");
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
fn an_upload_that_is_finished_cannot_be_thrown_away() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            // The one node that took the bytes must keep them.
            for replicator in ["replicator-1", "replicator-2"] {
                cluster.stack.stop(replicator).await?;
            }
            let contents =
                [CONTENT, Content::new(7, 1000), Content::new(7, 0)].map(|one| (format!("of {}", one.size), one));
            for (path, content) in &contents {
                let (size_bytes, sha256) = (Some(content.size), Some(content.sha256().as_bytes().to_vec().into()));
                let declared = UploadMetadata { size_bytes, sha256, ..about(path) };
                let start_upload_response::Outcome::Session(begun) = start(&mut client, declared).await? else {
                    anyhow::bail!("no session");
                };
                if content.size > 0 {
                    part(&mut client, &begun.upload_id, 0, content.size).await?;
                }
                let receipt = finish(&mut client, &begun.upload_id).await?;
                let abort = v1::AbortUploadRequest { upload_id: begun.upload_id.clone() };
                client.files.abort_upload(abort).await?;
                assert_eq!(reason_of(&session(&mut client, &begun.upload_id).await.unwrap_err()), "upload_not_found");
                ensure!(client.get(path).await? == content.bytes(), "{path} has other bytes");
                assert_eq!(client.versions(path).await?[0].version_id, receipt.version_id);
            }
            assert_eq!(entries(cluster).await?, 0);
            for replicator in ["replicator-1", "replicator-2"] {
                cluster.stack.start(replicator).await?;
            }
            for (path, _) in &contents {
                cluster.replicated(path, 3).await;
            }
            cluster.verify().await
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

#[test]
fn another_gateway_takes_an_upload_over() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let (mut second, other) = cluster.second_gateway().await?;
            let mut other = Client::connect(other).await?;
            let start_upload_response::Outcome::Session(begun) = start(&mut client, about("big")).await? else {
                anyhow::bail!("no session");
            };
            let id = begun.upload_id;
            part(&mut client, &id, 0, 8 * MIB).await?;
            // Both are there: each goes on where the other one stopped, and neither where it was itself.
            let offset =
                eventually("the second one serves", async || part(&mut other, &id, 8 * MIB, 8 * MIB).await).await;
            assert_eq!(offset.offset, 16 * MIB);
            assert_eq!(reason_of(&part(&mut client, &id, 8 * MIB, 8 * MIB).await.unwrap_err()), "offset_wrong");
            cluster.stack.kill("gateway").await?;
            assert_eq!(part(&mut other, &id, 16 * MIB, 4 * MIB + 5).await?.offset, CONTENT.size);
            let receipt = finish(&mut other, &id).await?;
            assert_eq!(receipt.outcome(), Outcome::Applied);
            assert_eq!(other.get("big").await?, CONTENT.bytes());
            cluster.stack.start("gateway").await?;
            let mut client = eventually("the first one is back", async || cluster.client().await).await;
            assert_eq!(finish(&mut client, &id).await?, receipt, "finished once");
            second.kill().await?;
            cluster.verify().await
        },
    );
}

#[test]
fn an_upload_that_is_not_finished_ends_by_itself() {
    let short = |b: Builder| {
        [
            // Longer than one part takes on a busy machine.
            ("HIGHWATER_NATS__UPLOAD_TTL", "15s"),
            ("HIGHWATER_LIMITS__UPLOAD_TIMEOUT", "15s"),
            ("HIGHWATER_WATCH__SWEEP_AGE", "16s"),
            ("HIGHWATER_WATCH__SWEEP_INTERVAL", "200ms"),
        ]
        .into_iter()
        .fold(b, |b, (key, value)| b.env("gateway", key, value))
    };
    run(short, async |cluster| {
        let mut client = cluster.client().await?;
        let start_upload_response::Outcome::Session(begun) = start(&mut client, about("big")).await? else {
            anyhow::bail!("no session");
        };
        let id = begun.upload_id;
        part(&mut client, &id, 0, 8 * MIB).await?;
        ensure!(!s3::unfinished(cluster).await?.is_empty(), "no part is on any node");
        eventually("the upload has expired", async || {
            let outcome = session(&mut client, &id).await;
            ensure!(outcome.as_ref().is_err_and(|status| reason_of(status) == "upload_not_found"), "{outcome:?}");
            anyhow::Ok(())
        })
        .await;
        assert_eq!(reason_of(&part(&mut client, &id, 8 * MIB, 1).await.unwrap_err()), "upload_not_found");
        assert_eq!(reason_of(&finish(&mut client, &id).await.unwrap_err()), "upload_not_found");
        assert_eq!(client.ls("").await?, Vec::<String>::new());
        eventually("its parts have left the node", async || {
            let left = s3::unfinished(cluster).await?;
            ensure!(left.is_empty(), "{left:?}");
            anyhow::Ok(())
        })
        .await;
        Ok(())
    });
}

#[test]
fn a_request_id_that_was_used_for_other_bytes_is_refused_at_the_end() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let undeclared = |path: &str| UploadMetadata {
                path: path.to_owned(),
                request_id: "once".to_owned(),
                size_bytes: Some(CONTENT.size),
                ..Default::default()
            };
            let other = Content::new(8, CONTENT.size);
            let first = client.upload(undeclared("big"), tests::chunks(other)).await?;
            let start_upload_response::Outcome::Session(begun) = start(&mut client, undeclared("big")).await? else {
                anyhow::bail!("no session");
            };
            part(&mut client, &begun.upload_id, 0, CONTENT.size).await?;
            let refused = finish(&mut client, &begun.upload_id).await.unwrap_err();
            assert_eq!((refused.code(), reason_of(&refused).as_str()), (Code::AlreadyExists, "request_id_reused"));
            assert_eq!(client.get("big").await?, other.bytes());
            assert_eq!(client.versions("big").await?[0].version_id, first.version_id);
            cluster.verify().await
        },
    );
}

#[test]
fn the_command_line_goes_on_after_an_interruption() {
    run(
        |b| b,
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let (source, states) = (folder.path().join("huge.bin"), folder.path().join("state"));
            let content = Content::new(9, 120 * MIB);
            let mut file = std::fs::File::create(&source)?;
            for chunk in content.chunks(MIB) {
                file.write_all(&chunk)?;
            }
            let put = || {
                let args = ["put", source.to_str().context("a path")?, "huge.bin", "--json"];
                let mut command = cluster.stack.command("highwater", args)?;
                command.env("XDG_STATE_HOME", &states);
                anyhow::Ok(command)
            };
            let mut first = put()?.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
            // Before that the command knows of nothing to go on with, and what it began ends by itself.
            eventually("the command has written down what it began", async || {
                let mut files = std::fs::read_dir(states.join("highwater/uploads"))?;
                let is_state = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".json");
                ensure!(files.any(|file| file.is_ok_and(|file| is_state(file.file_name()))), "nothing yet");
                anyhow::Ok(())
            })
            .await;
            let pid = first.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it has ended")?;
            rustix::process::kill_process(pid, Signal::INT)?;
            let ended = first.wait().await?;
            ensure!(!ended.success(), "it was done before it was interrupted");
            let second = put()?.output().await?;
            let told = String::from_utf8_lossy(&second.stderr);
            ensure!(second.status.success(), "{told}");
            let mut client = cluster.client().await?;
            let tail = client.get_range("huge.bin", 119 * MIB, None).await?;
            ensure!(tail == content.range(119 * MIB, MIB), "other bytes");
            cluster.replicated("huge.bin", 3).await;
            ensure!(s3::unfinished(cluster).await?.is_empty(), "one upload went on, and no other was begun");
            assert_eq!(client.versions("huge.bin").await?.len(), 1);
            cluster.verify().await
        },
    );
}
