//! The end of content: pruned by retention, condemned when nothing names it, erased on every node, and never too early.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::BlobId;
use proto::v1::{self, OnConflict, Outcome, UploadMetadata};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtime::config::Environment;
use tests::{Client, Cluster, Content, chunks, eventually, metadata, reason_of, run};
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

/// It has no retention, and nobody can give it one any more.
#[test]
fn a_deleted_space_leaves_nothing_for_ever() {
    let pruning = |b: Builder| {
        hasty(b).env("gateway", "HIGHWATER_LIMITS__DELETED_SPACE_DAYS", "0").env(
            "gateway",
            "HIGHWATER_DUTIES__PRUNE_INTERVAL",
            "50ms",
        )
    };
    run(pruning, async |cluster| {
        let mut client = cluster.client().await?;
        client.put("stays", Content::new(1, 1000)).await?;
        client.create_space("team").await?;
        for seed in 2..=3 {
            let about = UploadMetadata { space: "team".to_owned(), ..metadata("docs/f") };
            client.upload(about, chunks(Content::new(seed, 1000))).await?;
        }
        let delete = v1::DeleteSpaceRequest { space: "team".to_owned(), force: true, ..Default::default() };
        let receipt = client.files.delete_space(delete).await?.into_inner().receipt.context("a receipt")?;
        assert_eq!(receipt.outcome(), Outcome::Applied);
        eventually("only what is in the other space is left", async || {
            let left = s3::blobs(cluster).await?;
            ensure!(left.len() == 3, "{left:?}");
            anyhow::Ok(())
        })
        .await;
        assert_eq!(client.get("stays").await?, Content::new(1, 1000).bytes());
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

/// How often the gateway is killed.
const KILLS: usize = 5;

/// What else happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// The gateway is killed in the middle of its answers, so that changes are asked for again; and a node does not
    /// answer, so that copies and erasures wait between attempts.
    Faults,
}

#[test]
fn erasure_under_fire_takes_nothing_that_is_named() {
    under_fire(Meanwhile::Nothing);
}

#[test]
fn erasure_under_fire_with_lost_answers_and_copies_in_backoff() {
    under_fire(Meanwhile::Faults);
}

fn under_fire(meanwhile: Meanwhile) {
    run(hasty, async |cluster| {
        let seed = Environment::process().var("HIGHWATER_TEST_SEED").map_or(Ok(rand::random::<u64>()), str::parse)?;
        println!("seed {seed}");
        set(&mut cluster.client().await?, keep(Some(1), None)).await?;
        let gateway = cluster.stack.gateway_addr()?;
        let fires = futures::future::try_join_all((0..4).map(|n| fire(gateway, seed.wrapping_add(n))));
        let faults = async {
            if meanwhile == Meanwhile::Faults {
                // Bounded, so that a slow machine is not busy with starting alone.
                for _ in 0..KILLS {
                    cluster.stack.pause("node-c").await?;
                    cluster.stack.kill("gateway").await?;
                    cluster.stack.start("gateway").await?;
                    cluster.stack.resume("node-c").await?;
                    answered(gateway, async |mut client: Client| client.status().await).await??;
                }
            }
            std::future::pending::<anyhow::Result<()>>().await
        };
        let janitor = async {
            loop {
                answered(gateway, async |mut janitor: Client| prune(&mut janitor, false).await).await??;
            }
        };
        let ended: anyhow::Result<()> = tokio::select! {
            ended = fires => ended.map(drop),
            failed = janitor => failed,
            failed = faults => failed,
        };
        ended?;
        // Whatever the faults were in the middle of.
        if meanwhile == Meanwhile::Faults {
            cluster.stack.resume("node-c").await.ok();
            cluster.stack.start("gateway").await.ok();
        }
        let mut client = eventually("the gateway answers", async || cluster.client().await).await;
        answered(gateway, async |mut janitor: Client| prune(&mut janitor, false).await).await??;
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

/// Asks until there is an answer: a gateway that is away, or went away before it answered, is asked again.
async fn answered<T>(
    gateway: SocketAddr,
    ask: impl AsyncFn(Client) -> Result<T, Status>,
) -> anyhow::Result<Result<T, Status>> {
    let answer = eventually("the gateway answers", async || {
        let outcome = ask(Client::connect(gateway).await?).await;
        match outcome {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled) => {
                Err(anyhow::Error::new(status))
            }
            outcome => anyhow::Ok(outcome),
        }
    });
    Ok(answer.await)
}

async fn fire(gateway: SocketAddr, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        let (kind, version) = (random.random_range(0..8), random.random_range(0..usize::MAX));
        let [path, to] = [0, 1].map(|_| format!("f{}", random.random_range(0..3)));
        let content = Content::new(random.random_range(0..CONTENTS), 20_000);
        let declared = kind >= 2;
        let about = UploadMetadata {
            path: path.clone(),
            request_id: format!("{seed}-{round}"),
            size_bytes: declared.then_some(content.size),
            sha256: declared.then(|| content.sha256().as_bytes().to_vec().into()),
            ..Default::default()
        };
        let outcome = answered(gateway, async |mut client: Client| match kind {
            0..=4 => client.upload(about.clone(), chunks(content)).await.map(drop),
            5 => {
                let versions = client.versions(&path).await?;
                client.restore(&path, &versions[version % versions.len()].version_id).await.map(drop)
            }
            6 => client.cp(&path, &to, OnConflict::Overwrite).await.map(drop),
            _ => match client.delete(&path).await? {
                // The path names another file by now.
                receipt if receipt.outcome() == Outcome::Rejected => Ok(()),
                receipt => client.undelete_file(&receipt.file_id).await.map(drop),
            },
        });
        if let Err(status) = outcome.await? {
            ensure!(status.code() == Code::NotFound, "{}: {status:?}", reason_of(&status));
        }
    }
    Ok(())
}
