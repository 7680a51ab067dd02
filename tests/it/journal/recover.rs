//! Events that are lost for good leave objects behind that no event names: nothing erases them, and they become files again,
//! never in the place of another one.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use proto::v1::{self, AuditKind, UploadMetadata};
use proto::{BlobId, SLICE_BYTES};
use runtime::clock::{Clock, Ids};
use serde_json::Value;
use tests::{Client, Cluster, Content, chunks, eventually, metadata, run};
use uuid::{NoContext, Timestamp, Uuid};

use super::archive::{NODES, archived, archiving};
use super::restore::{SERVICES, rebuild, restore, start, stop};
use super::said;
use crate::s3;

/// What was uploaded and whose event is lost.
struct Lost {
    /// In the main space.
    small: BlobId,
    /// Of several slices.
    large: BlobId,
    /// In a space that is there.
    team: BlobId,
    /// In a space whose event is lost, too.
    late: BlobId,
    late_space: String,
    /// Its node has the object, and another one says that it was erased.
    erased: BlobId,
}

const SMALL: Content = Content::new(1, 1000);
const LARGE: Content = Content::new(2, SLICE_BYTES + 7);
const TEAM: Content = Content::new(3, 3000);
const LATE: Content = Content::new(4, 4000);

async fn put(cluster: &Cluster, node: &str, key: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    client.put_object().bucket(bucket).key(key).body(bytes.into()).send().await?;
    Ok(())
}

async fn upload(client: &mut Client, space: &str, content: Content) -> anyhow::Result<BlobId> {
    let file = UploadMetadata { space: space.to_owned(), ..metadata("lost") };
    Ok(client.upload(file, chunks(content)).await?.blob_id.parse()?)
}

/// A cluster that has lost the events of some uploads, with the catalog that had them. Everything runs again.
async fn lose(cluster: &Cluster) -> anyhow::Result<Lost> {
    let mut client = cluster.client().await?;
    client.create_space("team").await?;
    client.put("kept", Content::new(9, 900)).await?;
    cluster.settle().await;
    archived(cluster, &NODES).await;
    // Blobs are copied from here on, and the journal is not.
    cluster.stack.stop("replicator-1").await?;
    cluster.stack.set_env("replicator", "HIGHWATER_REPLICATOR__LANES", r#"["small", "large"]"#)?;
    cluster.stack.start("replicator-1").await?;
    let mut client = cluster.client().await?;
    let small = upload(&mut client, "", SMALL).await?;
    let large = upload(&mut client, "", LARGE).await?;
    let team = upload(&mut client, "team", TEAM).await?;
    client.create_space("late").await?;
    let late = upload(&mut client, "late", LATE).await?;
    let spaces = client.files.list_spaces(v1::ListSpacesRequest::default()).await?.into_inner().spaces;
    let late_space = spaces.into_iter().find(|space| space.name == "late").context("no space")?.space_id;
    let erased = BlobId::new(Ids::system().v7());
    put(cluster, "node-a", &erased.key(), vec![5; 500]).await?;
    put(cluster, "node-b", &erased.erased_key(), Vec::new()).await?;
    cluster.settle().await;

    stop(cluster, &SERVICES).await?;
    super::jetstream(cluster).await?.delete_stream(super::STREAM).await?;
    let folder = tempfile::tempdir()?;
    restore(cluster, folder.path(), &["--without-catalog"]).await?;
    rebuild(cluster).await?;
    cluster.stack.set_env("replicator", "HIGHWATER_REPLICATOR__LANES", r#"["small", "large", "archive"]"#)?;
    start(cluster, &SERVICES).await?;
    cluster.settle().await;
    Ok(Lost { small, large, team, late, late_space, erased })
}

/// What `highwater ops recover` ends with, says of each blob, and says at its end.
async fn recover(cluster: &Cluster, args: &[&str]) -> anyhow::Result<(i32, BTreeMap<String, Value>, Value)> {
    let output = cluster.highwater(&[&["ops", "recover", "--json"], args].concat()).await?;
    let lines = String::from_utf8(output.stdout.clone())?;
    let mut lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let summary = lines.pop().with_context(|| said(&output))?;
    let blobs = lines.into_iter().map(|line| (line["blob_id"].as_str().unwrap_or_default().to_owned(), line));
    Ok((output.status.code().context("no exit code")?, blobs.collect(), summary))
}

/// What is said of each blob: its state, and why.
type States = BTreeMap<String, (String, Option<String>)>;

fn states(blobs: &BTreeMap<String, Value>) -> States {
    let word = |blob: &Value, field: &str| blob[field].as_str().map(str::to_owned);
    let state =
        |(id, blob): (&String, &Value)| (id.clone(), (word(blob, "state").unwrap_or_default(), word(blob, "reason")));
    blobs.iter().map(state).collect()
}

fn expected<const N: usize>(states: [(BlobId, &str, Option<&str>); N]) -> States {
    let state = |(blob, state, reason): (BlobId, &str, Option<&str>)| {
        (blob.to_string(), (state.to_owned(), reason.map(str::to_owned)))
    };
    states.into_iter().map(state).collect()
}

async fn read(client: &mut Client, blob: &Value) -> anyhow::Result<Vec<u8>> {
    let text = |field: &str| blob[field].as_str().unwrap_or_default().to_owned();
    let request = v1::DownloadRequest { space: text("space"), path: text("path"), ..Default::default() };
    Ok(client.download(request).await?.1.to_vec())
}

/// Audits and scrubs leave alone what may be all that is left of a file.
async fn is_not_erased(cluster: &Cluster, lost: &Lost) -> anyhow::Result<()> {
    let request = v1::AuditRequest { repair: true, ..Default::default() };
    let mut stream = cluster.client().await?.operations.audit(request).await?.into_inner();
    let mut found = BTreeMap::new();
    while let Some(answer) = stream.message().await? {
        if let Some(v1::audit_response::Message::Finding(finding)) = answer.message {
            ensure!(finding.kind() == AuditKind::Recoverable && finding.repaired_by.is_empty(), "{finding:?}");
            *found.entry(finding.blob_id).or_insert(0) += 1;
        }
    }
    let everywhere = [lost.small, lost.large, lost.team, lost.late].map(|blob| (blob.to_string(), 3));
    let expected: BTreeMap<String, i32> = everywhere.into_iter().chain([(lost.erased.to_string(), 1)]).collect();
    assert_eq!(found, expected);
    Ok(())
}

/// Only shown, everything stays as it is.
async fn is_offered(cluster: &Cluster, lost: &Lost) -> anyhow::Result<()> {
    let before = super::archive::head(cluster).await?;
    let (code, offered, summary) = recover(cluster, &[]).await?;
    let expected = expected([
        (lost.small, "offered", None),
        (lost.large, "offered", None),
        (lost.team, "offered", None),
        (lost.late, "offered", None),
        (lost.erased, "refused", Some("blob_erased")),
    ]);
    assert_eq!((code, states(&offered)), (0, expected), "{offered:?}");
    assert_eq!((&summary["offered"], &summary["refused"]), (&4.into(), &1.into()), "{summary}");
    assert_eq!(offered[&lost.team.to_string()]["space"], "team");
    assert_eq!(offered[&lost.small.to_string()]["nodes"], Value::from(NODES.map(Value::from).to_vec()));
    assert_eq!(super::archive::head(cluster).await?, before);
    Ok(())
}

/// What had been erased is, and all else is as the journal says.
async fn nothing_is_left(cluster: &Cluster, lost: &Lost) -> anyhow::Result<()> {
    eventually("what had been erased is gone", async || {
        let keys = s3::keys(cluster, "node-a", "").await?;
        ensure!(!keys.contains(&lost.erased.key()) && keys.contains(&lost.erased.erased_key()), "{keys:?}");
        anyhow::Ok(())
    })
    .await;
    let (code, left, _) = recover(cluster, &[]).await?;
    assert_eq!((code, left.len()), (0, 0), "{left:?}");
    let told = cluster.highwater(&["ops", "audit", "--deep"]).await?;
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    cluster.verify().await
}

/// One that was erased is erased again, whichever node knows it.
async fn is_erased_again(cluster: &Cluster, erased: BlobId) -> anyhow::Result<()> {
    let (code, told, _) = recover(cluster, &[&erased.to_string(), "--node", "node-a"]).await?;
    assert_eq!((code, states(&told)), (0, expected([(erased, "erased", None)])), "{told:?}");
    Ok(())
}

/// Bytes that are not those of which the digests lie beside them are not made a file of.
async fn is_refused_when_it_is_wrong(cluster: &Cluster, large: BlobId) -> anyhow::Result<()> {
    let (mut wrong, mut short) = (LARGE.bytes().to_vec(), LARGE.bytes().to_vec());
    wrong[5] ^= 1;
    // Less than a slice, of which no digests would be kept.
    short.truncate(1000);
    for (bytes, args) in [(wrong, vec![]), (short, vec!["--node", "node-c"])] {
        put(cluster, "node-c", &large.key(), bytes).await?;
        let (code, told, _) = recover(cluster, &[&[large.to_string().as_str()], &args[..]].concat()).await?;
        let expected = expected([(large, "refused", Some("copy_unreadable"))]);
        assert_eq!((code, states(&told)), (1, expected), "{told:?}");
    }
    put(cluster, "node-c", &large.key(), LARGE.bytes().to_vec()).await
}

/// A blob whose upload began long after the journal was restored.
fn young() -> anyhow::Result<BlobId> {
    let now: u64 = Clock::system().now().unix_timestamp().try_into()?;
    let later = Timestamp::from_unix(NoContext, now + 10_000, 0);
    Ok(BlobId::new(Uuid::new_v7(later)))
}

/// Everything is there, with the bytes that it had, and on every node.
async fn is_back(cluster: &Cluster, back: &[(BlobId, &Value, Content)]) -> anyhow::Result<()> {
    cluster.settle().await;
    let mut client = cluster.client().await?;
    for (blob, told, content) in back {
        ensure!(read(&mut client, told).await? == content.bytes(), "{told}");
        for node in NODES {
            let (client, bucket) = s3::client(cluster, node);
            let object = client.get_object().bucket(bucket).key(blob.key()).send().await?;
            ensure!(object.body.collect().await?.to_vec() == content.bytes(), "{blob} on {node}");
        }
    }
    Ok(())
}

#[test]
fn what_only_lost_events_named_is_kept_and_becomes_files_again() {
    run(
        |b| {
            let b = archiving(b).replicators(1).env("gateway", "HIGHWATER_DUTIES__ERASE_INTERVAL", "50ms");
            b.env("gateway", "HIGHWATER_LIMITS__AUDIT_SETTLE", "1ms")
        },
        async |cluster| {
            let lost = lose(cluster).await?;
            is_not_erased(cluster, &lost).await?;
            is_offered(cluster, &lost).await?;

            is_erased_again(cluster, lost.erased).await?;
            is_refused_when_it_is_wrong(cluster, lost.large).await?;

            // Copies that are not the same; slices without their digests; a file in the way; a young object.
            put(cluster, "node-b", &lost.small.key(), vec![0; 999]).await?;
            for node in NODES {
                let (client, bucket) = s3::client(cluster, node);
                client.delete_object().bucket(bucket).key(lost.large.parts_key()).send().await?;
            }
            let mut client = cluster.client().await?;
            let in_the_way = format!("recovered/{}", lost.small);
            client.put(&in_the_way, Content::new(8, 80)).await?;
            let young = young()?;
            put(cluster, "node-c", &young.key(), vec![6; 60]).await?;

            let (code, all, summary) = recover(cluster, &["--all"]).await?;
            let expected_of_all = expected([
                (lost.small, "refused", Some("copies_differ")),
                (lost.large, "recovered", None),
                (lost.team, "recovered", None),
                (lost.late, "recovered", None),
            ]);
            assert_eq!((code, states(&all)), (1, expected_of_all), "{all:?}");
            assert_eq!((&summary["recovered"], &summary["left_out"]), (&3.into(), &1.into()), "{summary}");
            let (unknown, kept) = (BlobId::new(Ids::system().v7()), client.file("kept").await?);
            let kept: BlobId = kept.version.context("no version")?.blob_id.parse()?;
            let blobs = [lost.small, lost.large, kept, unknown, young].map(|blob| blob.to_string());
            let mut args: Vec<&str> = blobs.iter().map(String::as_str).collect();
            args.extend(["--node", "node-a", "--node", "node-c"]);
            let (code, named, _) = recover(cluster, &args).await?;
            let expected_of_named = expected([
                (lost.small, "recovered", None),
                (lost.large, "recovered", None),
                (kept, "refused", Some("blob_known")),
                (unknown, "refused", Some("blob_not_found")),
                (young, "refused", Some("blob_young")),
            ]);
            assert_eq!((code, states(&named)), (1, expected_of_named), "{named:?}");

            let told = |of: &BTreeMap<String, Value>, blob: BlobId| of[&blob.to_string()].clone();
            let [small, large] = [told(&named, lost.small), told(&all, lost.large)];
            let again = told(&named, lost.large);
            assert_eq!(
                (&again["path"], &again["sequence"]),
                (&large["path"], &large["sequence"]),
                "there is one event"
            );
            let [team, late] = [lost.team, lost.late].map(|blob| told(&all, blob));
            assert_eq!(client.get(&in_the_way).await?, Content::new(8, 80).bytes(), "it is not written over");
            assert_ne!(small["path"], in_the_way);
            assert_eq!(large["path"], format!("recovered/{}", lost.large));
            assert_eq!(late["space"], "recovered");
            assert_eq!(late["path"], format!("{}/recovered/{}", lost.late_space, lost.late));
            let back = [
                (lost.small, &small, SMALL),
                (lost.large, &large, LARGE),
                (lost.team, &team, TEAM),
                (lost.late, &late, LATE),
            ];
            is_back(cluster, &back).await?;
            nothing_is_left(cluster, &lost).await
        },
    );
}

#[test]
fn a_node_that_does_not_answer_is_not_passed_over_unless_the_others_are_named() {
    run(
        |b| archiving(b).replicators(1),
        async |cluster| {
            cluster.client().await?.put("a", Content::new(1, 100)).await?;
            cluster.settle().await;
            cluster.stack.stop("node-b").await?;
            let output = cluster.highwater(&["ops", "recover", "--json"]).await?;
            let words = said(&output);
            assert!(output.status.code() == Some(5) && words.contains("node_unavailable"), "{words}");
            let (code, found, _) = recover(cluster, &["--node", "node-a", "--node", "node-c"]).await?;
            assert_eq!((code, found.len()), (0, 0), "{found:?}");
            let output = cluster.highwater(&["ops", "recover", "--node", "node-x"]).await?;
            assert!(said(&output).contains("the node node-x has not joined"), "{}", said(&output));
            Ok(())
        },
    );
}
