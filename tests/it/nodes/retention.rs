//! The end of content: pruned by retention, condemned when nothing names it, erased on every node, and never too early.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::BlobId;
use proto::v1::{self, OnConflict, Outcome, UploadMetadata};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtime::config::Environment;
use tests::{Client, Cluster, Content, chunks, eventually, metadata, reason_of, run};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::s3;

/// A cluster that erases at once what nothing names.
fn hasty(builder: Builder) -> Builder {
    builder
        .env("gateway", "HIGHWATER_LIMITS__ERASE_GRACE", "1ms")
        .env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms")
        .env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms")
}

const fn keep(versions: Option<u32>, days: Option<u32>) -> v1::Retention {
    v1::Retention { keep_versions: versions, keep_days: days }
}

async fn set(client: &mut Client, retention: v1::Retention) -> Result<(), Status> {
    let retention = Some(retention);
    client.files.set_retention(v1::SetRetentionRequest { retention, ..Default::default() }).await.map(drop)
}

async fn prune(client: &mut Client, dry_run: bool) -> Result<v1::PruneResponse, Status> {
    let request = v1::PruneRequest { dry_run, ..Default::default() };
    Ok(client.files.prune(request).await?.into_inner())
}

fn key(blob_id: &str) -> anyhow::Result<String> {
    Ok(blob_id.parse::<BlobId>()?.key())
}

#[test]
fn what_retention_gives_up_is_named_first_then_pruned_then_erased_everywhere() {
    run(hasty, async |cluster| {
        let mut client = cluster.client().await?;
        let old = client.put("f", Content::new(1, 9 * 1024 * 1024)).await?;
        let new = client.put("f", Content::new(2, 1000)).await?;
        let gone = client.put("g", Content::new(3, 1000)).await?;
        client.delete("g").await?;
        cluster.settle().await;
        assert_eq!(reason_of(&prune(&mut client, true).await.unwrap_err()), "retention_needed");
        set(&mut client, keep(Some(1), None)).await?;
        let plan = prune(&mut client, true).await?;
        let named: Vec<_> = plan.pruned.iter().map(|p| (p.path.as_str(), p.version_id.clone())).collect();
        assert_eq!((plan.versions, named), (1, vec![("f", old.version_id.clone())]));
        assert_eq!(plan.pruned[0].because, "the file has more than 1 versions");
        assert_eq!(client.versions("f").await?.iter().filter(|v| v.pruned).count(), 0, "a dry run prunes nothing");
        let done = prune(&mut client, false).await?;
        assert_eq!((done.versions, done.bytes), (1, 9 * 1024 * 1024));
        assert_eq!(done.receipts[0].outcome(), Outcome::Applied);
        // The trash too, once it is told to be short.
        set(&mut client, keep(None, Some(0))).await?;
        assert_eq!(prune(&mut client, false).await?.versions, 1);
        for receipt in [&old, &gone] {
            let (key, parts) = (key(&receipt.blob_id)?, format!("{}.parts", key(&receipt.blob_id)?));
            eventually("the blob is on no node", async || {
                let left: Vec<_> = s3::blobs(cluster)
                    .await?
                    .into_iter()
                    .filter(|k| k.ends_with(&key) || k.ends_with(&parts))
                    .collect();
                ensure!(left.is_empty(), "{left:?}");
                anyhow::Ok(())
            })
            .await;
        }
        let read = |version_id: &str| v1::DownloadRequest {
            path: "f".to_owned(),
            version_id: version_id.to_owned(),
            ..Default::default()
        };
        assert_eq!(reason_of(&client.download(read(&old.version_id)).await.unwrap_err()), "version_pruned");
        assert_eq!(reason_of(&client.restore("f", &old.version_id).await.unwrap_err()), "version_pruned");
        assert_eq!(reason_of(&client.undelete_file(&gone.file_id).await.unwrap_err()), "version_pruned");
        assert_eq!(client.download(read(&new.version_id)).await?.1, Content::new(2, 1000).bytes());
        eventually("every erasure is confirmed", async || {
            let states = states(cluster).await?;
            ensure!(states.erased.len() == 2 && states.open == 0, "{states:?}");
            anyhow::Ok(())
        })
        .await;
        cluster.verify().await
    });
}

#[test]
fn an_upload_that_was_rejected_leaves_nothing_for_ever() {
    run(hasty, async |cluster| {
        let mut client = cluster.client().await?;
        client.put("f", Content::new(1, 1000)).await?;
        let mut only_new = metadata("f");
        only_new.on_conflict = OnConflict::Fail.into();
        let rejected = client.upload(only_new, chunks(Content::new(2, 2000))).await?;
        assert_eq!(rejected.outcome(), Outcome::Rejected);
        eventually("its bytes are gone", async || {
            let left = s3::blobs(cluster).await?;
            ensure!(left.len() == 3, "{left:?}");
            anyhow::Ok(())
        })
        .await;
        assert_eq!(client.get("f").await?, Content::new(1, 1000).bytes());
        cluster.verify().await
    });
}

#[test]
fn a_node_that_was_away_erases_when_it_is_back() {
    run(hasty, async |cluster| {
        let mut client = cluster.client().await?;
        client.put("f", Content::new(1, 1000)).await?;
        cluster.replicated("f", 3).await;
        cluster.stack.stop("node-b").await?;
        client.put("f", Content::new(2, 1000)).await?;
        set(&mut client, keep(Some(1), None)).await?;
        assert_eq!(prune(&mut client, false).await?.versions, 1);
        cluster.stack.start("node-b").await?;
        cluster.settle().await;
        eventually("each node holds the one blob that is named", async || {
            let left = s3::blobs(cluster).await?;
            ensure!(left.len() == 3, "{left:?}");
            anyhow::Ok(())
        })
        .await;
        assert_eq!(client.get("f").await?, Content::new(2, 1000).bytes());
        cluster.verify().await
    });
}

/// How far the blobs of the catalog are.
#[derive(Debug, Default)]
struct States {
    live: BTreeSet<String>,
    erased: BTreeSet<String>,
    /// Condemned, or being erased.
    open: u64,
}

async fn states(cluster: &Cluster) -> anyhow::Result<States> {
    let pool = sqlx::PgPool::connect(&cluster.stack.database_url()?).await?;
    let generation: i32 = sqlx::query_scalar("SELECT generation FROM highwater.active").fetch_one(&pool).await?;
    let query = format!("SELECT blob_id, state FROM highwater_g{generation}.blobs");
    let rows: Vec<(uuid::Uuid, String)> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await?;
    pool.close().await;
    let mut states = States::default();
    for (blob_id, state) in rows {
        match state.as_str() {
            "live" => states.live.insert(blob_id.to_string()),
            "erased" => states.erased.insert(blob_id.to_string()),
            _ => {
                states.open += 1;
                true
            }
        };
    }
    Ok(states)
}

/// Rounds of each of the clients; few contents, so that instant uploads meet content that is about to go.
const ROUNDS: u64 = 60;
const CONTENTS: u64 = 6;

#[test]
fn erasure_under_fire_takes_nothing_that_is_named() {
    run(hasty, async |cluster| {
        let seed = Environment::process().var("HIGHWATER_TEST_SEED").map_or(Ok(rand::random::<u64>()), str::parse)?;
        println!("seed {seed}");
        let mut client = cluster.client().await?;
        set(&mut client, keep(Some(1), None)).await?;
        let mut tasks = JoinSet::new();
        for n in 0..4 {
            let client = cluster.client().await?;
            tasks.spawn(fire(client, seed.wrapping_add(n)));
        }
        let mut janitor = cluster.client().await?;
        while !tasks.is_empty() {
            tokio::select! {
                ended = tasks.join_next() => if let Some(ended) = ended { ended?? },
                pruned = prune(&mut janitor, false) => drop(pruned?),
            }
        }
        prune(&mut client, false).await?;
        cluster.settle().await;
        let states = eventually("every erasure is confirmed", async || {
            let states = states(cluster).await?;
            ensure!(states.open == 0, "{} blobs are on their way", states.open);
            anyhow::Ok(states)
        })
        .await;
        cluster.settle().await;
        println!("{} live, {} erased", states.live.len(), states.erased.len());
        named_is_readable(&mut client).await?;
        for blob in s3::blobs(cluster).await? {
            let id = blob.rsplit('/').next().context("no key")?.trim_end_matches(".parts");
            ensure!(states.live.contains(id), "{blob} is not named by anything");
        }
        cluster.verify().await
    });
}

/// Every version that is not pruned has its bytes.
async fn named_is_readable(client: &mut Client) -> anyhow::Result<()> {
    for path in client.ls("").await? {
        for version in client.versions(&path).await? {
            if version.blob_id.is_empty() || version.pruned {
                continue;
            }
            let request = v1::DownloadRequest {
                path: path.clone(),
                version_id: version.version_id.clone(),
                ..Default::default()
            };
            let (_, bytes) = client.download(request).await.with_context(|| format!("{path}: {version:?}"))?;
            ensure!(bytes.len() as u64 == version.size_bytes, "{path}: {version:?}");
        }
    }
    Ok(())
}

async fn fire(mut client: Client, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..ROUNDS {
        let path = format!("f{}", random.random_range(0..3));
        let content = Content::new(random.random_range(0..CONTENTS), 20_000);
        let outcome = match random.random_range(0..8) {
            0 | 1 => client.put(&path, content).await.map(drop),
            2..=4 => {
                let about = UploadMetadata {
                    path,
                    size_bytes: Some(content.size),
                    sha256: Some(content.sha256().as_bytes().to_vec().into()),
                    ..Default::default()
                };
                client.upload(about, chunks(content)).await.map(drop)
            }
            5 => match client.versions(&path).await {
                Ok(versions) => {
                    let version = &versions[random.random_range(0..versions.len())];
                    client.restore(&path, &version.version_id).await.map(drop)
                }
                Err(status) => Err(status),
            },
            6 => client.cp(&path, &format!("f{}", random.random_range(0..3)), OnConflict::Overwrite).await.map(drop),
            _ => match client.delete(&path).await {
                // Rejected: the path names another file by now.
                Ok(receipt) if receipt.outcome() == Outcome::Rejected => Ok(()),
                Ok(receipt) => client.undelete_file(&receipt.file_id).await.map(drop),
                Err(status) => Err(status),
            },
        };
        if let Err(status) = outcome {
            ensure!(status.code() == Code::NotFound, "{}: {status:?}", reason_of(&status));
        }
    }
    Ok(())
}
