//! Scrubbing: what is wrong on a node is found without being asked for, no faster than allowed, and repaired.

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1::{AuditKind, Outcome};
use proto::{BlobId, SLICE_BYTES};
use tests::{Content, eventually, run};

use super::audit::{audit, flip, read, set, without_settling};
use super::world::Log;

#[test]
fn scrubbing_finds_and_heals_by_itself() {
    let scrubbed =
        |b: Builder| without_settling(b).replicators(1).env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "200ms");
    run(scrubbed, async |cluster| {
        let mut client = cluster.client().await?;
        let content = Content::new(1, SLICE_BYTES + 1);
        let receipt = client.put("a", content).await?;
        assert_eq!(receipt.outcome(), Outcome::Applied, "{receipt:?}");
        let key = receipt.blob_id.parse::<BlobId>()?.key();
        cluster.settle().await;
        for node in ["node-a", "node-b", "node-c"] {
            flip(cluster, node, &key).await?;
            eventually("the scrub has the copy repaired", async || {
                ensure!(read(cluster, node, &key).await? == content.bytes(), "{node} still has other bytes");
                anyhow::Ok(())
            })
            .await;
            cluster.settle().await;
        }
        cluster.verify().await
    });
}

#[test]
fn scrubbing_is_no_faster_than_allowed() {
    // At this rate it reads one node after the other for half a minute.
    let rate = "HIGHWATER_DUTIES__SCRUB_BYTES_PER_SECOND";
    run(
        |b| without_settling(b).replicators(1).env("gateway", rate, "64KiB"),
        async |cluster| {
            let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
            let mut keys = Vec::new();
            for n in 0..8 {
                let receipt = client.put(&format!("{n}"), Content::new(n, 96 * 1024)).await?;
                keys.push((receipt.blob_id.parse::<BlobId>()?.key(), Content::new(n, 96 * 1024)));
            }
            cluster.settle().await;
            // What is looked at last.
            let (key, content) = keys.into_iter().max_by(|(a, _), (b, _)| a.cmp(b)).context("no blob")?;
            flip(cluster, "node-c", &key).await?;
            cluster.stack.set_env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "1s")?;
            cluster.stack.restart("gateway").await?;
            let far = async |node: &str| log.entry("highwater_scrub", node).await;
            eventually("the scrub has begun", async || {
                let begun = far("node-a").await?;
                ensure!(!begun.is_null(), "nothing is written down");
                anyhow::Ok(())
            })
            .await;

            // An audit reads all that, too, and as fast as it can: it ends first.
            let found = audit(&mut cluster.client().await?, true, false).await?.found();
            assert_eq!(found, set([(AuditKind::Corrupt, "node-c", &key)]));
            assert_eq!(far("node-c").await?, serde_json::Value::Null, "the scrub was there before the audit ended");

            eventually("the scrub has the copy repaired", async || {
                ensure!(read(cluster, "node-c", &key).await? == content.bytes(), "it still has other bytes");
                anyhow::Ok(())
            })
            .await;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}
