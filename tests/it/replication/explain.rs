//! Each blob on each node is in a state that can be explained.

use anyhow::{Context as _, ensure};
use proto::v1::{ExplainResponse, ExplainedReplica, ReplicaState};
use tests::{Cluster, Content, eventually, reason_of, run};

/// The one about a node.
fn of<'a>(explained: &'a ExplainResponse, node: &str) -> anyhow::Result<&'a ExplainedReplica> {
    let is = |one: &&ExplainedReplica| one.replica.as_ref().is_some_and(|replica| replica.node == node);
    explained.replicas.iter().find(is).with_context(|| format!("nothing about {node}: {explained:?}"))
}

fn number(sequence: &str) -> &str {
    sequence.rsplit_once('-').map_or(sequence, |(_, number)| number)
}

async fn until(cluster: &Cluster, path: &str, node: &str, words: &str) -> ExplainResponse {
    eventually(&format!("{node} is explained by {words:?}"), async || {
        let explained = cluster.client().await?.explain(path).await?;
        let said = &of(&explained, node)?.explanation;
        ensure!(said.contains(words), "{said}");
        anyhow::Ok(explained)
    })
    .await
}

#[test]
fn a_node_that_is_down_is_named_as_the_cause_until_it_is_back() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            cluster.stack.stop("node-b").await?;
            let receipt = client.put("docs/a", Content::new(1, 5000)).await?;
            cluster.replicated("docs/a", 2).await;
            let explained = until(cluster, "docs/a", "node-b", "node-b is unavailable: it ").await;
            let waiting = of(&explained, "node-b")?;
            let since = format!("pending since event {}: ", number(&receipt.sequence));
            assert!(waiting.explanation.starts_with(&since), "{}", waiting.explanation);
            assert!(waiting.explanation.ends_with("replicators go on by themselves when it is well"));
            assert_eq!(waiting.replica.as_ref().context("no replica")?.state(), ReplicaState::Pending);
            assert_eq!((explained.state.as_str(), explained.references, explained.size_bytes), ("live", 1, 5000));
            let origin = &of(&explained, &receipt.node)?.explanation;
            assert!(origin.ends_with(&format!("{} took the upload", receipt.node)), "{origin}");
            let kinds: Vec<&str> = explained.events.iter().map(|event| event.r#type.as_str()).collect();
            assert_eq!(kinds, ["highwater.file.uploaded.v1", "highwater.replica.stored.v1"]);
            assert!(!explained.events_cut);

            let status = client.status().await?;
            let node = status.nodes.iter().find(|node| node.node == "node-b").context("no node-b")?;
            assert_eq!((node.blobs_pending, node.bytes_pending), (1, 5000));

            cluster.stack.start("node-b").await?;
            cluster.settle().await;
            let explained = client.explain_blob(&receipt.blob_id).await?;
            let there = &of(&explained, "node-b")?.explanation;
            assert!(there.starts_with("stored since event ") && there.ends_with("copied and verified"), "{there}");

            let said = cluster.highwater(&["explain", "docs/a"]).await?;
            let said = String::from_utf8(said.stdout)?;
            assert!(said.contains(&receipt.blob_id) && said.contains("replica.stored"), "{said}");
            let same = cluster.highwater(&["ops", "explain", &receipt.blob_id]).await?;
            assert_eq!(said, String::from_utf8(same.stdout)?);
            cluster.verify().await
        },
    );
}

#[test]
fn a_node_that_alone_has_a_blob_and_is_down_is_named_as_the_cause() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let receipt = cluster.client().await?.put("docs/a", Content::new(1, 5000)).await?;
            cluster.settle_catalog().await;
            let other = cluster.stack.nodes().iter().find(|node| node.id != receipt.node).context("one node only")?;
            until(cluster, "docs/a", &other.id, "and its replicators come to it by themselves").await;
            cluster.stack.stop(&receipt.node).await?;
            cluster.stack.scale(1).await?;
            let cause =
                format!("{} is healthy, but {}, which has the blob, is unavailable: it ", other.id, receipt.node);
            until(cluster, "docs/a", &other.id, &cause).await;
            cluster.stack.start(&receipt.node).await?;
            cluster.settle().await;
            until(cluster, "docs/a", &other.id, "copied and verified").await;
            cluster.verify().await
        },
    );
}

#[test]
fn what_is_not_there_has_no_explanation() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let status = client.explain("nothing").await.expect_err("no file");
            assert_eq!(reason_of(&status), "file_not_found");
            let blob = "01978d2c-5a01-7000-8000-00000000002a";
            let status = client.explain_blob(blob).await.expect_err("no blob");
            assert_eq!(reason_of(&status), "blob_not_found");
            let output = cluster.highwater(&["explain", "nothing"]).await?;
            assert_eq!(output.status.code(), Some(4), "{output:?}");
            Ok(())
        },
    );
}
