//! What happens in the demo, in order.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::files::{Content, Sample, digest};
use super::teller::Teller;

const GREETING: &str = "Every file is on three nodes, every change is an event in a journal,\n\
                        and everything the service knows can be rebuilt from it.\n";

/// How long the gateway may take to notice a rebuilt catalog.
const CATALOG_WITHIN: Duration = Duration::from_mins(1);

/// How long the gateway may take to see that a node is back.
const HEALTHY_WITHIN: Duration = Duration::from_mins(1);

pub(super) async fn tell(teller: &Teller<'_>, large_mb: u64) -> anyhow::Result<()> {
    let mut samples = upload(teller, large_mb).await?;
    let away = lose_a_node(teller, &samples).await?;
    samples.extend(upload_meanwhile(teller, &away).await?);
    come_back(teller, &away, &samples).await?;
    show_events(teller, &samples).await?;
    rebuild(teller, &samples).await
}

async fn upload(teller: &Teller<'_>, large_mb: u64) -> anyhow::Result<Vec<Sample>> {
    teller.chapter("Uploading an empty file, a small text and a large file");
    teller.say("The replicators are frozen meanwhile, so that the first state of each file can be seen:");
    teller.say("the bytes are on one node, the event is in the journal, and the upload is acknowledged.");
    let large = Content::Noise { bytes: large_mb * 1_000_000 };
    let samples = vec![
        Sample::make(&teller.work, "empty", "demo/empty", &Content::Text(""))?,
        Sample::make(&teller.work, "hello.txt", "demo/hello.txt", &Content::Text(GREETING))?,
        Sample::make(&teller.work, "large.bin", "demo/large.bin", &large)?,
    ];
    let replicators: Vec<String> =
        teller.stack.ps().into_iter().map(|row| row.name).filter(|name| name.starts_with("replicator-")).collect();
    for name in &replicators {
        teller.verb("pause", name).await?;
    }
    for sample in &samples {
        teller.run("highwater", &["put", &sample.name, &sample.path]).await?;
    }
    for sample in &samples {
        teller.run("highwater", &["stat", &sample.path]).await?;
    }
    teller.chapter("Replication: from one node to three");
    for name in &replicators {
        teller.verb("resume", name).await?;
    }
    for sample in &samples {
        replicated(teller, sample).await?;
    }
    Ok(samples)
}

/// Stops the node that took the first copy of the large file, and reads everything from the others.
async fn lose_a_node(teller: &Teller<'_>, samples: &[Sample]) -> anyhow::Result<String> {
    teller.chapter("A node goes away; every file is still there");
    let last = samples.last().context("there are files")?;
    let events = teller.ask("highwater", &["events", &last.path]).await?;
    let node = events.first().and_then(|event| event["data"]["node"].as_str()).unwrap_or("node-a").to_owned();
    teller.say(&format!("{node} took the first copy of {}: that one.", last.path));
    teller.verb("stop", &node).await?;
    for sample in samples {
        download(teller, sample).await?;
    }
    Ok(node)
}

async fn upload_meanwhile(teller: &Teller<'_>, away: &str) -> anyhow::Result<Vec<Sample>> {
    teller.chapter(&format!("Uploading more while {away} is away"));
    let samples = vec![
        Sample::make(&teller.work, "note.txt", "demo/note.txt", &Content::Text("written while a node was away\n"))?,
        Sample::make(&teller.work, "photo.raw", "demo/photo.raw", &Content::Noise { bytes: 5_000_000 })?,
    ];
    for sample in &samples {
        teller.run("highwater", &["put", &sample.name, &sample.path]).await?;
        teller.run("highwater", &["stat", &sample.path, "--wait", "2", "--timeout", "2m"]).await?;
    }
    teller.run("highwater", &["status"]).await?;
    Ok(samples)
}

async fn come_back(teller: &Teller<'_>, away: &str, samples: &[Sample]) -> anyhow::Result<()> {
    teller.chapter(&format!("{away} comes back and catches up"));
    teller.verb("start", away).await?;
    for sample in samples.iter().rev().take(2) {
        replicated(teller, sample).await?;
    }
    tokio::time::timeout(HEALTHY_WITHIN, healthy(teller, away))
        .await
        .with_context(|| format!("the gateway did not notice that {away} is back"))?;
    teller.run("highwater", &["status"]).await?;
    Ok(())
}

/// Waits until the gateway's own look at the node says so too.
async fn healthy(teller: &Teller<'_>, node: &str) {
    let is_healthy = |status: &Value| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.iter().any(|entry| entry["node"] == node && entry["health"] == "healthy"))
    };
    while !teller.ask("highwater", &["status"]).await.is_ok_and(|answer| answer.iter().any(is_healthy)) {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn show_events(teller: &Teller<'_>, samples: &[Sample]) -> anyhow::Result<()> {
    teller.chapter("Everything that ever happened to one file");
    let large = samples.get(2).context("there is a large file")?;
    teller.run("highwater", &["events", &large.path]).await?;
    Ok(())
}

/// Drops the database and makes it again from the journal.
async fn rebuild(teller: &Teller<'_>, samples: &[Sample]) -> anyhow::Result<()> {
    teller.chapter("The catalog is dropped and rebuilt from the journal");
    let before = catalog(teller, samples).await?;
    teller.verb("stop", "projector").await?;
    let digest = verify(teller).await?;
    teller.run_postgres("dropdb", &["--force", "highwater"]).await?;
    teller.run_postgres("createdb", &["highwater"]).await?;
    teller.say("The database is gone. The journal is not:");
    teller.run("projector", &["migrate"]).await?;
    teller.run("projector", &["rebuild", "--switch"]).await?;
    let digest_again = verify(teller).await?;
    teller.verb("start", "projector").await?;

    ensure!(digest == digest_again, "the rebuilt catalog has digest {digest_again}, not {digest}");
    teller.say(&format!("The digest over all rows is the same as before: {digest}"));
    let after = tokio::time::timeout(CATALOG_WITHIN, catalog_again(teller, samples));
    let after = after.await.context("the gateway did not come back to the rebuilt catalog")?;
    ensure!(before == after, "files differ after the rebuild:\nbefore {before:?}\nafter  {after:?}");
    teller.say("And every file has the same version, digest, sequence and nodes. A last look, through the gateway:");
    teller.run("highwater", &["ls", "--recursive"]).await?;
    for sample in samples.iter().take(2) {
        download(teller, sample).await?;
    }
    Ok(())
}

async fn replicated(teller: &Teller<'_>, sample: &Sample) -> anyhow::Result<()> {
    teller.run("highwater", &["stat", &sample.path, "--wait-replicated", "--timeout", "5m"]).await?;
    Ok(())
}

/// Reads a file back and compares its digest with the original's.
async fn download(teller: &Teller<'_>, sample: &Sample) -> anyhow::Result<()> {
    let copy = format!("copy-of-{}", sample.name);
    teller.run("highwater", &["get", &sample.path, &copy, "--force"]).await?;
    let found = digest(&teller.work.join(&copy))?;
    if found != sample.sha256 {
        bail!("{copy} has SHA-256 {found}, but {} has {}", sample.file.display(), sample.sha256);
    }
    teller.say(&format!("sha256 {found}: the same as the original"));
    std::fs::remove_file(teller.work.join(&copy)).with_context(|| format!("delete {copy}"))
}

/// What the gateway says about every file.
async fn catalog(teller: &Teller<'_>, samples: &[Sample]) -> anyhow::Result<Vec<Value>> {
    let mut files = Vec::new();
    for sample in samples {
        files.extend(teller.ask("highwater", &["stat", &sample.path]).await?);
    }
    Ok(files)
}

/// The same, as soon as the gateway can tell.
async fn catalog_again(teller: &Teller<'_>, samples: &[Sample]) -> Vec<Value> {
    loop {
        if let Ok(files) = catalog(teller, samples).await {
            return files;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Shows that the catalog is what the journal makes of it, and answers the digest over all its rows.
async fn verify(teller: &Teller<'_>) -> anyhow::Result<String> {
    teller.run("projector", &["verify"]).await?;
    let report = teller.ask("projector", &["verify"]).await?;
    let digest = report.first().and_then(|report| report["digest_live"].as_str());
    Ok(digest.context("`projector verify --json` told no digest")?.to_owned())
}
