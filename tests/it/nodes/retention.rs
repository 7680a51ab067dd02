//! The end of content: pruned by retention, condemned when nothing names it, erased on every node, and never too early.

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::BlobId;
use proto::v1::{self, OnConflict, Outcome, UploadMetadata};
use tests::{Client, Content, chunks, eventually, metadata, reason_of, run};
use tonic::Status;

use super::under_fire::End;
use crate::s3;

/// A cluster that erases at once what nothing names.
pub fn hasty(builder: Builder) -> Builder {
    builder
        .env("gateway", "HIGHWATER_LIMITS__ERASE_GRACE", "1ms")
        .env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms")
        .env("replicator", "HIGHWATER_REPLICATOR__ERASE_GRACE", "1ms")
}

pub const fn keep(versions: Option<u32>, days: Option<u32>) -> v1::Retention {
    v1::Retention { keep_versions: versions, keep_days: days }
}

pub async fn set(client: &mut Client, retention: v1::Retention) -> Result<(), Status> {
    let retention = Some(retention);
    client.files.set_retention(v1::SetRetentionRequest { retention, ..Default::default() }).await.map(drop)
}

pub async fn prune(client: &mut Client, dry_run: bool) -> Result<v1::PruneResponse, Status> {
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
            let end = End::read(cluster).await?;
            ensure!(end.erased().len() == 2 && end.open() == 0, "{end:?}");
            anyhow::Ok(())
        })
        .await;
        cluster.verify().await
    });
}

/// Nobody asks for it: it is a duty of the gateway.
#[test]
fn what_retention_gives_up_is_pruned_without_anybody_asking() {
    let pruning = |b: Builder| b.env("gateway", "HIGHWATER_DUTIES__PRUNE_INTERVAL", "50ms");
    run(pruning, async |cluster| {
        let mut client = cluster.client().await?;
        client.create_space("other").await?;
        for (seed, space) in (1..).zip(["main", "main", "other", "other"]) {
            let about = UploadMetadata { space: space.to_owned(), ..metadata("f") };
            client.upload(about, chunks(Content::new(seed, 1000))).await?;
        }
        set(&mut client, keep(Some(1), None)).await?;
        only_the_newest_is_kept(&mut client, 2).await;
        // It goes on: what is replaced later is given up later.
        client.put("f", Content::new(5, 1000)).await?;
        only_the_newest_is_kept(&mut client, 3).await;
        assert_eq!(client.get("f").await?, Content::new(5, 1000).bytes());
        let other = v1::ListVersionsRequest { space: "other".to_owned(), path: "f".to_owned(), ..Default::default() };
        let kept = client.files.list_versions(other).await?.into_inner().versions;
        ensure!(kept.len() == 2 && kept.iter().all(|version| !version.pruned), "no retention is set: {kept:?}");
        cluster.verify().await
    });
}

/// Waits until, of so many versions of the file `f`, all but the newest are pruned.
async fn only_the_newest_is_kept(client: &mut Client, versions: usize) {
    let mut expected = vec![true; versions];
    expected[0] = false;
    eventually("all versions but the newest are pruned", async || {
        let pruned: Vec<bool> = client.versions("f").await?.iter().map(|version| version.pruned).collect();
        ensure!(pruned == expected, "{pruned:?}");
        anyhow::Ok(())
    })
    .await;
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
