//! A journal that has lost events, or has other ones where those were that the catalog was folded from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::stream;
use compose::Builder;
use runtime::clock::Ids;
use tempfile::TempDir;
use tests::{Cluster, Content, eventually, reason_of, run};
use tokio::time::timeout;

use super::{STREAM, jetstream, patient, refuses};

/// The programs that hold the journal against the catalog.
const READERS: [&str; 2] = ["gateway", "projector"];

/// With nothing in the journal but what the test writes.
fn alone(builder: Builder) -> Builder {
    patient(builder).replicators(0)
}

async fn stop_all(cluster: &Cluster) -> anyhow::Result<()> {
    for name in READERS.into_iter().chain(["nats"]) {
        cluster.stack.stop(name).await?;
    }
    Ok(())
}

fn journal_dir(cluster: &Cluster) -> anyhow::Result<PathBuf> {
    cluster.stack.data_of("nats").context("nats has no data")
}

/// A copy of all that nats-server keeps, made while it is stopped.
pub(super) fn back_up(cluster: &Cluster) -> anyhow::Result<TempDir> {
    let copy_dir = tempfile::tempdir()?;
    copy(&journal_dir(cluster)?, copy_dir.path())?;
    Ok(copy_dir)
}

/// Puts a copy back, while nats-server is stopped.
pub(super) fn restore(cluster: &Cluster, backup: &TempDir) -> anyhow::Result<()> {
    let dir = journal_dir(cluster)?;
    fs::remove_dir_all(&dir)?;
    copy(backup.path(), &dir)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Uploads some files and answers how far the catalog is then.
async fn upload(cluster: &Cluster, names: &[&str]) -> anyhow::Result<u64> {
    let mut client = cluster.client().await?;
    for name in names {
        // A gateway whose NATS was away may still find out that it was.
        eventually("an upload is taken", async || client.put(name, Content::new(1, 5000)).await).await;
    }
    cluster.settle_catalog().await;
    let checkpoint = client.status().await?.catalog.context("no catalog in the status")?.checkpoint;
    let (_, n) = checkpoint.rsplit_once('-').context("no sequence")?;
    Ok(n.parse()?)
}

/// Events that nobody of ours wrote, until there are so many in the journal.
pub(super) async fn overwrite(cluster: &Cluster, until: u64) -> anyhow::Result<()> {
    let jetstream = jetstream(cluster).await?;
    loop {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", Ids::system().v7().to_string());
        let sent = jetstream.publish_with_headers("hw.v1.file_uploaded", headers, "garbage".into()).await?;
        if sent.await?.sequence >= until {
            return Ok(());
        }
    }
}

#[test]
fn a_journal_that_has_lost_its_tail_is_refused_and_so_is_one_that_was_written_on() {
    run(alone, async |cluster| {
        upload(cluster, &["a"]).await?;
        stop_all(cluster).await?;
        let backup = back_up(cluster)?;
        for name in ["nats", "projector", "gateway"] {
            cluster.stack.start(name).await?;
        }
        let n = upload(cluster, &["b", "c"]).await?;
        stop_all(cluster).await?;
        restore(cluster, &backup)?;
        cluster.stack.start("nats").await?;

        let read = format!("event {n} had been read: its tail is lost");
        refuses(cluster, "gateway", &[], 70, &["journal has diverged", &read]).await?;
        let folded = format!("the catalog is folded up to event {n}, but the journal ends with event");
        let words = [folded.as_str(), "it has lost events that were acknowledged", "`projector rebuild --switch`"];
        refuses(cluster, "projector", &[], 70, &words).await?;
        refuses(cluster, "projector", &["verify"], 2, &words).await?;

        overwrite(cluster, n + 3).await?;
        let read = format!("event {n} of the stream {STREAM} is ");
        refuses(cluster, "gateway", &[], 70, &[&read, "its tail was lost and written anew"]).await?;
        let found = format!("but event {n} of the journal is undecodable: the journal was changed after it was read");
        refuses(cluster, "projector", &[], 70, &[&found, "Restore it"]).await?;
        refuses(cluster, "projector", &["verify"], 2, &[&found]).await
    });
}

#[test]
fn a_journal_without_the_event_at_the_checkpoint_halts_the_projector() {
    run(alone, async |cluster| {
        let n = upload(cluster, &["a"]).await?;
        for name in READERS {
            cluster.stack.stop(name).await?;
        }
        // The same stream by all that it says of itself, but it begins later.
        let jetstream = jetstream(cluster).await?;
        let config = jetstream.get_stream(STREAM).await?.cached_info().config.clone();
        jetstream.delete_stream(STREAM).await?;
        jetstream.create_stream(stream::Config { first_sequence: Some(n + 1), ..config }).await?;
        overwrite(cluster, n + 1).await?;
        let words = format!("the journal has no event {n} any more, only later ones");
        refuses(cluster, "projector", &[], 70, &[&words, "Restore the journal"]).await
    });
}

#[test]
fn a_tail_that_is_lost_while_the_services_run_stops_writes_and_the_projector() {
    run(alone, async |cluster| {
        upload(cluster, &["a"]).await?;
        cluster.stack.stop("nats").await?;
        let backup = back_up(cluster)?;
        cluster.stack.start("nats").await?;
        let mut client = cluster.client().await?;
        eventually("uploads work again", async || client.put("b", Content::new(1, 5000)).await).await;
        upload(cluster, &["c"]).await?;
        cluster.stack.stop("nats").await?;
        restore(cluster, &backup)?;
        cluster.stack.start("nats").await?;

        eventually("uploads are refused", async || {
            let status = match client.put("d", Content::new(2, 5000)).await {
                Ok(receipt) => panic!("acknowledged in a journal that has lost its tail: {receipt:?}"),
                Err(status) => status,
            };
            ensure!(reason_of(&status) == "journal_diverged", "{status:?}");
            Ok(())
        })
        .await;
        assert_eq!(client.get("c").await?, Content::new(1, 5000).bytes(), "reads go on");
        let exit = timeout(Duration::from_mins(1), cluster.stack.wait_exit("projector")).await??;
        let log = cluster.stack.log_tail("projector", 50);
        assert_eq!(exit.code, Some(70), "{log}");
        ensure!(log.contains("the projector halts") && log.contains("ends with event"), "{log}");
        Ok(())
    });
}
