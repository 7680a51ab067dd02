//! Many clients at once on the same few names: one winner each, and nothing that was answered is undone or invented.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, ensure};
use proto::Sequence;
use proto::v1::{self, OnConflict, Outcome, Receipt, UploadMetadata};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtime::config::Environment;
use tests::{Client, Cluster, reason_of, run};
use tokio::task::JoinSet;
use tonic::{Code, Status};

const CLIENTS: u64 = 16;
/// Changes in all; `HIGHWATER_TEST_RACES` asks for another number.
const CHANGES: u64 = 20_000;
const NAMES: [&str; 5] = ["f0", "f1", "d0/f", "d1/f", "d0/sub/f"];
const FOLDERS: [&str; 3] = ["d0", "d1", "d0/sub"];

/// What one client did and was told.
#[derive(Debug, Default)]
struct Log {
    /// Receipts, with whether the change was an upload that only makes new files.
    receipts: Vec<(Kind, Receipt)>,
    /// Refused before they became events.
    refused: u64,
    /// What was uploaded, by the versions that the uploads made.
    contents: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    CreateOnly,
    CompareAndSwap,
    Other,
}

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    Environment::process().var(name).map_or(default, |text| text.parse().ok().unwrap())
}

#[test]
fn sixteen_clients_on_the_same_names() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let seed = from_environment("HIGHWATER_TEST_SEED", rand::random::<u64>());
            let changes = from_environment("HIGHWATER_TEST_RACES", CHANGES);
            println!("seed {seed}, {changes} changes");
            let mut tasks = JoinSet::new();
            for n in 0..CLIENTS {
                let client = cluster.client().await?;
                tasks.spawn(play(client, seed.wrapping_add(n), changes / CLIENTS));
            }
            let mut logs = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                logs.push(ended??);
            }
            check(cluster, &logs, changes).await
        },
    );
}

/// One client: reads see at least its own writes, and never go back.
async fn play(mut client: Client, seed: u64, changes: u64) -> anyhow::Result<Log> {
    let (mut random, mut log) = (StdRng::seed_from_u64(seed), Log::default());
    let mut newest = 0;
    for n in 0..changes {
        let (kind, answer) = change(&mut client, &mut random, format!("{seed}-{n}")).await?;
        match answer {
            Ok(receipt) => {
                let sequence: Sequence = receipt.sequence.parse()?;
                ensure!(receipt.projected, "a change of this kind is answered only when it is decided: {receipt:?}");
                newest = newest.max(sequence.n);
                if kind != Kind::Other && receipt.outcome() == Outcome::Applied {
                    log.contents.push((receipt.version_id.clone(), format!("{seed}-{n}")));
                }
                log.receipts.push((kind, receipt));
            }
            Err(status) => {
                let passes = matches!(status.code(), Code::NotFound | Code::FailedPrecondition);
                ensure!(passes, "{}: {status:?}", reason_of(&status));
                log.refused += 1;
            }
        }
        if n % 50 == 0 {
            let status = client.status().await?;
            let checkpoint: Sequence = status.catalog.context("no catalog")?.checkpoint.parse()?;
            ensure!(checkpoint.n >= newest, "the catalog went back from {newest} to {}", checkpoint.n);
            newest = checkpoint.n;
        }
    }
    Ok(log)
}

async fn change(
    client: &mut Client,
    random: &mut StdRng,
    request_id: String,
) -> anyhow::Result<(Kind, Result<Receipt, Status>)> {
    let name = NAMES[random.random_range(0..NAMES.len())].to_owned();
    let folder = FOLDERS[random.random_range(0..FOLDERS.len())];
    Ok(match random.random_range(0..10) {
        0..=2 => {
            let on_conflict = OnConflict::Fail.into();
            let about =
                UploadMetadata { path: name, on_conflict, request_id: request_id.clone(), ..Default::default() };
            (Kind::CreateOnly, put(client, about, request_id).await)
        }
        3 | 4 => {
            let if_version = match client.file(&name).await {
                Ok(file) => file.version.context("no version")?.version_id,
                Err(_) => return Ok((Kind::Other, Err(Status::not_found("nothing to compare with")))),
            };
            let about = UploadMetadata { path: name, if_version, request_id: request_id.clone(), ..Default::default() };
            (Kind::CompareAndSwap, put(client, about, request_id).await)
        }
        5 | 6 => {
            let to = NAMES[random.random_range(0..NAMES.len())].to_owned();
            let on_conflict = [OnConflict::Fail, OnConflict::Overwrite][random.random_range(0..2)].into();
            let request = v1::MoveRequest { from: name, to, on_conflict, request_id, ..Default::default() };
            (Kind::Other, client.files.r#move(request).await.map(|a| a.into_inner().receipt.unwrap()))
        }
        7 | 8 => {
            let request = v1::DeleteRequest { path: name, request_id, ..Default::default() };
            (Kind::Other, client.delete_if(request).await)
        }
        _ => {
            let to = format!("{}{}", ["", "d0/", "d1/"][random.random_range(0..3)], folder.replace('/', "-"));
            let from = folder.to_owned();
            let request = v1::MoveRequest { from, to, request_id, ..Default::default() };
            (Kind::Other, client.files.r#move(request).await.map(|a| a.into_inner().receipt.unwrap()))
        }
    })
}

async fn put(client: &mut Client, about: UploadMetadata, content: String) -> Result<Receipt, Status> {
    client.upload(about, futures::stream::iter([content.into()])).await
}

/// Every answer against the journal as the catalog tells it.
async fn check(cluster: &Cluster, logs: &[Log], changes: u64) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    let incarnation = client.status().await?.journal.context("no journal")?.incarnation;
    let told = client.changes(&format!("{incarnation}-0")).await?;
    let told: HashMap<&str, &v1::Change> = told.iter().map(|change| (change.event_id.as_str(), change)).collect();
    let answered: u64 = logs.iter().map(|log| log.receipts.len() as u64 + log.refused).sum();
    ensure!(answered >= changes / CLIENTS * CLIENTS, "{answered} of {changes} changes were answered");
    let (mut versions, mut counts) = (HashSet::new(), HashMap::<(Outcome, &str), u64>::new());
    for (kind, receipt) in logs.iter().flat_map(|log| &log.receipts) {
        let change = told.get(receipt.event_id.as_str()).with_context(|| format!("not in the journal: {receipt:?}"))?;
        ensure!(change.outcome() == receipt.outcome(), "{receipt:?} against {change:?}");
        ensure!(change.sequence == receipt.sequence, "{receipt:?} against {change:?}");
        *counts.entry((receipt.outcome(), receipt.reason.as_str())).or_default() += 1;
        if receipt.outcome() == Outcome::Applied && *kind != Kind::Other {
            ensure!(versions.insert(&receipt.version_id), "two uploads made one version: {receipt:?}");
        }
    }
    println!("{counts:#?}");
    one_winner(&told)?;
    contents_are_whose_versions_they_are(&mut client, logs).await?;
    cluster.verify().await
}

/// What is there now is what the upload sent that made its version.
async fn contents_are_whose_versions_they_are(client: &mut Client, logs: &[Log]) -> anyhow::Result<()> {
    let sent: HashMap<&str, &str> = logs
        .iter()
        .flat_map(|log| &log.contents)
        .map(|(version, content)| (version.as_str(), content.as_str()))
        .collect();
    for path in NAMES {
        let Ok(versions) = client.versions(path).await else { continue };
        for version in versions {
            let Some(content) = sent.get(version.version_id.as_str()) else { continue };
            let request =
                v1::DownloadRequest { path: path.to_owned(), version_id: version.version_id, ..Default::default() };
            let (_, bytes) = client.download(request).await?;
            ensure!(bytes == content.as_bytes(), "{path} has {bytes:?} instead of {content}");
        }
    }
    Ok(())
}

/// Follows the journal: whoever created a name found it free, and only one swap of each version was applied.
fn one_winner(told: &HashMap<&str, &v1::Change>) -> anyhow::Result<()> {
    let mut changes: Vec<&&v1::Change> = told.values().filter(|change| change.outcome() == Outcome::Applied).collect();
    changes.sort_by_key(|change| change.sequence.parse::<Sequence>().map_or(0, |sequence| sequence.n));
    let mut at: HashMap<&str, &str> = HashMap::new();
    for change in changes {
        match change.r#type.as_str() {
            "highwater.file.uploaded.v1" => {
                let before = at.insert(&change.path, &change.file_id);
                // A name that names a file goes on with the same one; another one only after it was free.
                ensure!(
                    before.is_none_or(|before| before == change.file_id),
                    "{} named two files: {change:?}",
                    change.path
                );
            }
            "highwater.file.deleted.v1" => {
                let before = at.remove(change.path.as_str());
                ensure!(before.is_none_or(|before| before == change.file_id), "deleted another file: {change:?}");
            }
            "highwater.file.moved.v1" if !change.file_id.is_empty() => {
                let before = at.remove(change.from_path.as_str());
                ensure!(before.is_none_or(|before| before == change.file_id), "moved another file: {change:?}");
                at.insert(&change.path, &change.file_id);
            }
            // A folder's move takes all names below it along: they are looked at again when they are used.
            _ => at.clear(),
        }
    }
    Ok(())
}
