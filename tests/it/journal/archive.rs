//! The journal is on every node once more, in segments, and what is there is held against it.

use anyhow::{Context as _, ensure};
use compose::Builder;
use serde_json::Value;
use tests::{Cluster, Content, eventually, run};

use super::lost::{back_up, restore};
use super::said;
use crate::s3;

/// Segments have a few events, and all goes fast.
pub(super) fn archiving(builder: Builder) -> Builder {
    let replicator = [
        ("REPLICATOR__ARCHIVE_INTERVAL", "100ms"),
        ("REPLICATOR__ARCHIVE_WITHIN", "50ms"),
        ("REPLICATOR__ARCHIVE_SEGMENT_EVENTS", "8"),
        ("REPLICATOR__ARCHIVE_SAVE_WITHIN", "100ms"),
    ];
    let builder = replicator
        .into_iter()
        .fold(builder, |b, (key, value)| b.env("replicator", &format!("HIGHWATER_{key}"), value))
        .env("gateway", "HIGHWATER_DUTIES__NODES_INTERVAL", "200ms");
    ["gateway", "replicator"].into_iter().fold(builder, |b, service| {
        b.env(service, "HIGHWATER_BLOBS__HEALTH_INTERVAL", "200ms")
            .env(service, "HIGHWATER_BLOBS__BREAKER__FIRST_DELAY", "50ms")
            .env(service, "HIGHWATER_BLOBS__BREAKER__MAX_DELAY", "500ms")
            .env(service, "HIGHWATER_NATS__LEASE_TTL", "3s")
    })
}

/// What `gateway journal verify` ends with and says.
pub(super) async fn verify(cluster: &Cluster) -> anyhow::Result<(i32, Value)> {
    let output = cluster.output("gateway", &["journal", "verify", "--json"]).await?;
    let code = output.status.code().context("no exit code")?;
    let report = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    Ok((code, report))
}

/// A node's archive of the journal that there is; when there is none, of any.
fn of<'a>(report: &'a Value, node: &str) -> anyhow::Result<&'a Value> {
    let present = report["sequence"].as_str().and_then(|text| text.split_once('-')).map(|(life, _)| life);
    let is_meant = |archive: &Value| present.is_none_or(|life| archive["incarnation"] == life);
    let archives = report["archives"].as_array().context("no archives")?;
    let found = archives.iter().find(|archive| archive["node"] == node && is_meant(archive));
    found.with_context(|| format!("no {node} in {report}"))
}

/// What is said to differ on a node, in one text.
fn differences(report: &Value, node: &str) -> anyhow::Result<String> {
    let sentences = of(report, node)?["differences"].as_array().context("no differences")?;
    Ok(sentences.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
}

/// The number of the journal's last event.
pub(super) async fn head(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut stream = super::jetstream(cluster).await?.get_stream(super::STREAM).await?;
    Ok(stream.info().await?.state.last_sequence)
}

/// Waits until these nodes have the whole journal, and answers the report.
pub(super) async fn archived(cluster: &Cluster, nodes: &[&str]) -> Value {
    eventually("the journal is archived", async || {
        let head = head(cluster).await?;
        let (code, report) = verify(cluster).await?;
        ensure!(code != 1, "it differs: {report}");
        for node in nodes {
            ensure!(of(&report, node)?["archived"] == head, "{head} events: {report}");
        }
        anyhow::Ok(report)
    })
    .await
}

/// The segments on a node, as keys.
async fn segments(cluster: &Cluster, node: &str) -> anyhow::Result<Vec<String>> {
    s3::keys(cluster, node, "journal/").await
}

async fn overwrite(cluster: &Cluster, node: &str, key: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.put_object().bucket(bucket).key(key).body(bytes.into()).send().await?;
    Ok(())
}

pub(super) const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

#[test]
fn every_node_has_the_whole_journal_and_gets_it_again_when_it_is_lost_there() {
    run(archiving, async |cluster| {
        let mut client = cluster.client().await?;
        for n in 0..12 {
            client.put(&format!("{n}"), Content::new(n, 100)).await?;
        }
        cluster.settle().await;
        let report = archived(cluster, &NODES).await;
        assert_eq!((&report["equal"], of(&report, "node-a")?["differing"].as_u64()), (&true.into(), Some(0)));
        let chains: Vec<_> =
            NODES.iter().map(|node| of(&report, node).map(|one| &one["chain"])).collect::<Result<_, _>>()?;
        assert!(chains.windows(2).all(|pair| pair[0] == pair[1]), "{report}");
        let listed = cluster.highwater(&["ops", "audit", "--json"]).await?;
        assert!(listed.status.success(), "segments are nothing foreign: {}", said(&listed));

        // Killed, it leaves nothing behind that the next one does not go on from.
        cluster.stack.kill("replicator-1").await?;
        cluster.stack.stop("node-b").await?;
        client.put("while one is away", Content::new(50, 100)).await?;
        cluster.stack.start("replicator-1").await?;
        let report = archived(cluster, &["node-a", "node-c"]).await;
        assert_eq!(report["unread"][0]["node"], "node-b");
        cluster.stack.start("node-b").await?;
        cluster.settle().await;
        archived(cluster, &NODES).await;
        eventually("only the last segment of those that grow is kept", async || {
            let last: Vec<u64> = segments(cluster, "node-a")
                .await?
                .iter()
                .filter_map(|key| key.rsplit_once('/')?.1.split_once('-')?.0.parse().ok())
                .collect();
            ensure!(last.windows(2).all(|pair| pair[0] + 8 == pair[1]), "{last:?}");
            anyhow::Ok(())
        })
        .await;

        // A node that lost everything is written anew, as its blobs are.
        cluster.stack.stop("node-c").await?;
        std::fs::remove_dir_all(cluster.stack.data_of("node-c").context("node-c has no data")?)?;
        cluster.stack.start("node-c").await?;
        let emptied = cluster.output("gateway", &["init"]).await?;
        ensure!(emptied.status.success(), "{}", said(&emptied));
        cluster.settle().await;
        archived(cluster, &NODES).await;
        Ok(())
    });
}

#[test]
fn what_is_wrong_in_the_archive_is_told_and_written_anew() {
    let checking =
        |b| archiving(b).replicators(1).env("replicator", "HIGHWATER_REPLICATOR__ARCHIVE_CHECK_INTERVAL", "300ms");
    run(checking, async |cluster| {
        let mut client = cluster.client().await?;
        for n in 0..12 {
            client.put(&format!("{n}"), Content::new(n, 100)).await?;
        }
        cluster.settle().await;
        archived(cluster, &NODES).await;
        cluster.stack.stop("replicator-1").await?;
        let (on_a, on_b) = (segments(cluster, "node-a").await?, segments(cluster, "node-b").await?);

        // The first is another node's last; the last is cut; one in the middle is not there.
        let (a, bucket) = s3::client(cluster, "node-a");
        let first = a.get_object().bucket(&bucket).key(&on_a[0]).send().await?.body.collect().await?.to_vec();
        let (middle, last) = (&on_a[1], on_b.last().context("no segment")?);
        overwrite(cluster, "node-b", last, first[..first.len() / 2].to_vec()).await?;
        overwrite(cluster, "node-c", &on_b[0], b"garbage".to_vec()).await?;
        a.delete_object().bucket(bucket).key(middle).send().await?;
        let (code, report) = verify(cluster).await?;
        assert_eq!((code, &report["equal"]), (1, &false.into()), "{report}");
        let found = differences(&report, "node-a")?;
        assert!(found.contains("events 9 to 16 are in no segment, but later ones are"), "{found}");
        let found = differences(&report, "node-b")?;
        assert!(found.contains(last) && found.contains("cannot be") || found.contains("incomplete"), "{found}");
        let found = differences(&report, "node-c")?;
        assert!(found.contains(&on_b[0]), "{found}");
        assert_eq!(of(&report, "node-c")?["differing"], 1, "what follows is judged by itself: {report}");
        let told = cluster.output("gateway", &["journal", "verify"]).await?;
        let words = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(words.contains("different: see the lines above") && words.contains("node-a: events 1 to 8"), "{words}");

        // Holes, the last segment, and in the end all of them are looked at.
        cluster.stack.start("replicator-1").await?;
        eventually("all of it is right again", async || {
            let (code, report) = verify(cluster).await?;
            ensure!(code == 0, "{report}");
            anyhow::Ok(())
        })
        .await;
        Ok(())
    });
}

#[test]
fn a_journal_that_is_shorter_than_its_archive_is_told() {
    let alone = |b| archiving(b).replicators(1);
    run(alone, async |cluster| {
        let mut client = cluster.client().await?;
        client.put("a", Content::new(1, 100)).await?;
        cluster.settle().await;
        archived(cluster, &NODES).await;
        let everything = ["gateway", "replicator-1", "projector", "nats"];
        for name in everything {
            cluster.stack.stop(name).await?;
        }
        let kept = back_up(cluster)?;
        for name in everything.into_iter().rev() {
            cluster.stack.start(name).await?;
        }
        let mut client = cluster.client().await?;
        eventually("an upload is taken", async || client.put("b", Content::new(2, 100)).await).await;
        cluster.settle().await;
        archived(cluster, &NODES).await;
        for name in everything {
            cluster.stack.stop(name).await?;
        }
        restore(cluster, &kept)?;
        cluster.stack.start("nats").await?;

        let (code, report) = verify(cluster).await?;
        assert_eq!(code, 1, "{report}");
        for node in NODES {
            let found = differences(&report, node)?;
            assert!(found.contains("events are lost there"), "{found}");
        }
        // The catalog is not asked here: nodes alone tell it, too.
        cluster.stack.start("replicator-1").await?;
        eventually("the replicator says it", async || {
            let log = cluster.stack.log_tail("replicator-1", 50);
            ensure!(
                log.contains("is not archived on node") && log.contains("but a reader wants to go on after"),
                "{log}"
            );
            anyhow::Ok(())
        })
        .await;
        cluster.stack.stop("replicator-1").await?;

        super::jetstream(cluster).await?.delete_stream(super::STREAM).await?;
        let (code, report) = verify(cluster).await?;
        assert_eq!((code, &report["sequence"]), (1, &Value::Null), "{report}");
        assert!(of(&report, "node-a")?["archived"].as_u64() > Some(0), "{report}");
        Ok(())
    });
}
