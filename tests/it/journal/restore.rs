//! A journal that has lost events that were acknowledged, or everything, is made again from what nodes, catalog and the journal
//! itself have left, and nothing that was acknowledged is missing then.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use proto::v1::{self, OnConflict};
use serde_json::Value;
use tempfile::TempDir;
use tests::{Client, Cluster, Content, eventually, reason_of, run};

use super::archive::{NODES, archived, archiving, head, verify};
use super::lost::{back_up, overwrite, restore as put_back};
use super::{refuses, said};
use crate::s3;

/// In the order in which they are stopped.
pub(super) const SERVICES: [&str; 3] = ["gateway", "replicator-1", "projector"];

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    files: BTreeMap<String, Content>,
    receipts: Vec<v1::Receipt>,
}

impl Acknowledged {
    /// Uploads, moves and deletes: so many changes, of `name`s that no other call uses.
    async fn change(&mut self, client: &mut Client, name: &str, changes: u64) -> anyhow::Result<()> {
        for n in 0..changes {
            let path = format!("{name}/{}", n / 5);
            let receipt = match n % 5 {
                0 | 1 => {
                    let content = Content::new(n, 200 + n);
                    let receipt = client.put(&path, content).await?;
                    self.files.insert(path, content);
                    receipt
                }
                2 => {
                    let to = format!("{name}/moved/{}", n / 5);
                    let receipt = client.mv(&path, &to, OnConflict::Fail).await?;
                    let content = self.files.remove(&path).context("a file that was moved")?;
                    self.files.insert(to, content);
                    receipt
                }
                3 => client.mkdir(&format!("{path} folder")).await?,
                _ if n % 2 == 0 => {
                    let gone = format!("{name}/moved/{}", n / 5);
                    self.files.remove(&gone);
                    client.delete(&gone).await?
                }
                _ => client.cp(&format!("{name}/moved/{}", n / 5), &format!("{path} copy"), OnConflict::Fail).await?,
            };
            self.receipts.push(receipt);
        }
        Ok(())
    }

    /// Everything is as it was acknowledged.
    async fn is_there(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let mut client = cluster.client().await?;
        for receipt in &self.receipts {
            // A sequence that was given out before is one to wait for, as long as it means the same.
            let (event_id, min_sequence) = (receipt.event_id.clone(), receipt.sequence.clone());
            let request = v1::GetReceiptRequest { event_id, min_sequence };
            let now = client.files.get_receipt(request).await?.into_inner().receipt.context("no receipt")?;
            ensure!(
                (now.outcome, &now.path, &now.version_id) == (receipt.outcome, &receipt.path, &receipt.version_id),
                "{now:?} was {receipt:?}"
            );
            let n = |sequence: &str| sequence.rsplit_once('-').map(|(_, n)| n.to_owned());
            ensure!(n(&now.sequence) == n(&receipt.sequence), "{now:?} was {receipt:?}");
        }
        for (path, content) in &self.files {
            ensure!(client.get(path).await? == content.bytes(), "{path} has other bytes");
        }
        Ok(())
    }
}

pub(super) async fn stop(cluster: &Cluster, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        cluster.stack.stop(name).await?;
    }
    Ok(())
}

pub(super) async fn start(cluster: &Cluster, names: &[&str]) -> anyhow::Result<()> {
    for name in names.iter().rev() {
        cluster.stack.start(name).await?;
    }
    Ok(())
}

/// What `gateway journal restore` says.
pub(super) async fn restore(cluster: &Cluster, folder: &Path, flags: &[&str]) -> anyhow::Result<Value> {
    let file = folder.join("journal.jsonl");
    let file = file.to_str().context("a path that is no text")?;
    let args = ["journal", "restore", "--json", "--file", file];
    let output = cluster.output("gateway", &[&args, flags].concat()).await?;
    ensure!(output.status.success(), "{}: {}", output.status, said(&output));
    serde_json::from_slice(&output.stdout).with_context(|| said(&output))
}

pub(super) async fn rebuild(cluster: &Cluster) -> anyhow::Result<()> {
    let output = cluster.projector(&["rebuild", "--switch"]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// Takes the journal's tail: what came after `backup` is gone. NATS runs then.
async fn lose(cluster: &Cluster, backup: &TempDir) -> anyhow::Result<()> {
    cluster.stack.stop("nats").await?;
    put_back(cluster, backup)?;
    cluster.stack.start("nats").await
}

async fn back_up_running(cluster: &Cluster) -> anyhow::Result<TempDir> {
    cluster.stack.stop("nats").await?;
    let backup = back_up(cluster)?;
    cluster.stack.start("nats").await?;
    let mut client = cluster.client().await?;
    eventually("changes are taken again", async || client.mkdir("after the copy").await).await;
    Ok(backup)
}

/// The stream as it is when making it was cut short at its beginning.
async fn make_half(cluster: &Cluster) -> anyhow::Result<()> {
    let jetstream = super::jetstream(cluster).await?;
    let mut config = jetstream.get_stream(super::STREAM).await?.cached_info().config.clone();
    config.metadata.insert("highwater_restoring".to_owned(), true.to_string());
    jetstream.delete_stream(super::STREAM).await?;
    jetstream.create_stream(config).await?;
    Ok(())
}

/// Sequences that an earlier life has given out are good up to the last event that this one has from it.
async fn sequences(cluster: &Cluster, life: &str, last_common: u64) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    let mut list = async |n: u64| {
        let min_sequence = format!("{life}-{n}");
        client.files.list_files(v1::ListFilesRequest { min_sequence, ..Default::default() }).await
    };
    for n in [1, last_common] {
        list(n).await?;
    }
    ensure!(reason_of(&list(last_common + 1).await.unwrap_err()) == "journal_restored");
    Ok(())
}

/// Everything is well: services, catalog, archive.
async fn is_whole(cluster: &Cluster, acknowledged: &Acknowledged) -> anyhow::Result<()> {
    cluster.settle().await;
    acknowledged.is_there(cluster).await?;
    cluster.verify().await?;
    archived(cluster, &NODES).await;
    cluster.client().await?.put("life goes on", Content::new(9, 900)).await?;
    Ok(())
}

#[test]
fn a_tail_that_was_lost_under_stopped_services_is_restored() {
    run(
        |b| archiving(b).replicators(1),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let mut acknowledged = Acknowledged::default();
            let mut client = cluster.client().await?;
            acknowledged.change(&mut client, "before", 25).await?;
            let backup = back_up_running(cluster).await?;
            acknowledged.change(&mut cluster.client().await?, "after", 500).await?;
            cluster.settle().await;
            let whole = archived(cluster, &NODES).await;
            let head = whole["archives"][0]["archived"].as_u64().context("no number")?;

            let refused = cluster.output("gateway", &["journal", "restore", "--dry-run"]).await?;
            let words = said(&refused);
            assert!(refused.status.code() == Some(2) && words.contains("stop all services"), "{words}");
            stop(cluster, &SERVICES).await?;
            let nothing = restore(cluster, folder.path(), &[]).await?;
            assert_eq!((&nothing["incarnation"], &nothing["last_common"]), (&Value::Null, &head.into()), "{nothing}");

            lose(cluster, &backup).await?;
            // One node may be away for good, and a segment of another one broken.
            cluster.stack.stop("node-b").await?;
            let planned = restore(cluster, folder.path(), &["--dry-run", "--without", "node-b"]).await?;
            let (_, report) = verify(cluster).await?;
            assert_eq!(report["equal"], false, "a dry run changes nothing: {report}");
            let restored = restore(cluster, folder.path(), &["--without", "node-b"]).await?;
            assert_eq!((&restored["last_common"], &restored["moved"]), (&head.into(), &0.into()), "{restored}");
            assert_eq!(planned["last_common"], restored["last_common"]);
            assert!(restored["survived"].as_u64() < Some(head), "{restored}");
            cluster.stack.start("node-b").await?;
            // The catalog is of these events: it is taken over.
            assert_eq!(restored["keeps_catalog"], true, "{restored}");
            start(cluster, &SERVICES).await?;
            is_whole(cluster, &acknowledged).await?;
            let old = restored["old_incarnation"].as_str().context("no incarnation")?;
            sequences(cluster, old, head).await
        },
    );
}

#[test]
fn a_tail_that_was_lost_under_running_services_is_restored() {
    run(
        |b| archiving(b).replicators(1),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let mut acknowledged = Acknowledged::default();
            acknowledged.change(&mut cluster.client().await?, "before", 10).await?;
            let backup = back_up_running(cluster).await?;
            acknowledged.change(&mut cluster.client().await?, "after", 50).await?;
            cluster.settle().await;
            lose(cluster, &backup).await?;
            let mut client = cluster.client().await?;
            eventually("changes are refused", async || {
                let status = match client.put("lost", Content::new(2, 500)).await {
                    Ok(receipt) => panic!("acknowledged in a journal that has lost its tail: {receipt:?}"),
                    Err(status) => status,
                };
                ensure!(reason_of(&status) == "journal_diverged", "{status:?}");
                anyhow::Ok(())
            })
            .await;
            stop(cluster, &["gateway", "replicator-1"]).await?;
            cluster.stack.wait_exit("projector").await?;
            // What was written in the meantime by somebody who did not look is not thrown away.
            let (_, report) = verify(cluster).await?;
            let short = report["sequence"].as_str().and_then(|text| text.rsplit_once('-')).context("no sequence")?.1;
            overwrite(cluster, short.parse::<u64>()? + 3).await?;

            eventually("leases have ended", async || restore(cluster, folder.path(), &["--dry-run"]).await).await;
            let restored = restore(cluster, folder.path(), &[]).await?;
            assert_eq!(restored["moved"], 3, "{restored}");
            // Cut short, it is begun again with the file.
            make_half(cluster).await?;
            refuses(cluster, "gateway", &[], 70, &["is not whole", "`gateway journal restore --file`"]).await?;
            let planned = restore(cluster, folder.path(), &["--dry-run"]).await?;
            assert_eq!(
                (&planned["incarnation"], head(cluster).await?),
                (&restored["incarnation"], 0),
                "nothing was changed"
            );
            let again = restore(cluster, folder.path(), &[]).await?;
            assert_eq!(again["incarnation"], restored["incarnation"]);
            start(cluster, &SERVICES).await?;
            is_whole(cluster, &acknowledged).await?;
            // Once more by mistake: what has come to it since is not taken away.
            let before = head(cluster).await?;
            restore(cluster, folder.path(), &[]).await?;
            assert!(head(cluster).await? >= before);
            acknowledged.is_there(cluster).await
        },
    );
}

#[test]
fn a_journal_that_is_gone_is_restored_from_archive_and_catalog_and_without_a_catalog_from_the_archive() {
    run(
        |b| archiving(b).replicators(1),
        async |cluster| {
            let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
            let mut acknowledged = Acknowledged::default();
            acknowledged.change(&mut cluster.client().await?, "archived", 25).await?;
            cluster.settle().await;
            let report = archived(cluster, &NODES).await;
            let on_nodes = report["archives"][0]["archived"].as_u64().context("no number")?;
            // The catalog alone has the rest.
            cluster.stack.stop("replicator-1").await?;
            acknowledged.change(&mut cluster.client().await?, "in the catalog", 20).await?;
            cluster.settle_catalog().await;
            stop(cluster, &["gateway", "projector"]).await?;
            super::jetstream(cluster).await?.delete_stream(super::STREAM).await?;
            let refused = cluster.output("gateway", &["init"]).await?;
            assert!(!refused.status.success() && said(&refused).contains("The journal is lost"), "{}", said(&refused));

            let less = restore(cluster, folders[0].path(), &["--dry-run", "--without-catalog"]).await?;
            assert_eq!((&less["last_common"], &less["archived"]), (&on_nodes.into(), &on_nodes.into()), "{less}");
            let restored = restore(cluster, folders[0].path(), &[]).await?;
            assert_eq!(restored["archived"], on_nodes, "{restored}");
            assert!(restored["last_common"].as_u64() >= Some(on_nodes + 20), "{restored}");
            // A journal that has the event at the catalog's checkpoint, but another one before, is not taken for the same.
            let file = folders[0].path().join("journal.jsonl");
            let right = std::fs::read_to_string(&file)?;
            for (text, is_same) in [(right.replacen("archived/1", "archivod/1", 1), false), (right.clone(), true)] {
                std::fs::write(&file, text)?;
                super::jetstream(cluster).await?.delete_stream(super::STREAM).await?;
                restore(cluster, folders[0].path(), &[]).await?;
                if !is_same {
                    refuses(cluster, "projector", &[], 70, &["has other events up to there"]).await?;
                }
            }
            start(cluster, &SERVICES).await?;
            is_whole(cluster, &acknowledged).await?;

            // Both lost: what the archive holds is back, of the life that is the present one.
            cluster.stack.stop("replicator-1").await?;
            cluster.client().await?.mkdir("not archived").await?;
            cluster.settle_catalog().await;
            stop(cluster, &["gateway", "projector"]).await?;
            super::jetstream(cluster).await?.delete_stream(super::STREAM).await?;
            let (_, report) = verify(cluster).await?;
            let on_nodes = report["archives"].as_array().context("no archives")?.iter();
            let on_nodes = on_nodes.filter_map(|archive| archive["archived"].as_u64()).max();
            // A hole on the only node that is left is no end.
            let life = restored["incarnation"].as_str().context("no incarnation")?;
            let first = restored["old_incarnation"].as_str().context("no incarnation")?;
            let first_common = restored["last_common"].as_u64().context("no number")?;
            let (a, bucket) = s3::client(cluster, "node-a");
            let segments = s3::keys(cluster, "node-a", &format!("journal/{life}/")).await?;
            a.delete_object().bucket(bucket).key(&segments[1]).send().await?;
            let alone = ["--dry-run", "--without", "node-b", "--without", "node-c"];
            let filled = restore(cluster, folders[1].path(), &alone).await?;
            assert!(filled["last_common"].as_u64() >= on_nodes && filled["archived"] == 8, "{filled}");
            let refused = restore(cluster, folders[1].path(), &[&alone[..], &["--without-catalog"]].concat()).await;
            let words = refused.unwrap_err().to_string();
            assert!(words.contains("event 9 is nowhere, but the archive goes on"), "{words}");
            let less = [&alone[..], &["--without-catalog", "--accept-loss"]].concat();
            assert_eq!(restore(cluster, folders[1].path(), &less).await?["last_common"], 8);

            let restored = restore(cluster, folders[1].path(), &["--without-catalog"]).await?;
            assert_eq!(restored["last_common"].as_u64(), on_nodes, "{restored}");
            // The catalog has events that are lost.
            assert_eq!(restored["keeps_catalog"], false, "{restored}");
            refuses(cluster, "projector", &[], 70, &["was folded from the journal", "`projector rebuild --switch`"])
                .await?;
            rebuild(cluster).await?;
            start(cluster, &SERVICES).await?;
            is_whole(cluster, &acknowledged).await?;
            sequences(cluster, first, first_common).await?;
            sequences(cluster, life, on_nodes.context("no number")?).await
        },
    );
}
