//! Copies that fail for their own reason are given up with it, listed, and made when they are asked for again.

use anyhow::{Context as _, ensure};
use proto::v1::{ParkedReplica, RedriveRequest, ReplicaState};
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, reason_of, run};
use tonic::Code;

/// What was given up, once it is so much.
async fn given_up(cluster: &Cluster, count: usize) -> Vec<ParkedReplica> {
    eventually(&format!("{count} copies are given up"), async || {
        let parked = cluster.client().await?.parked().await?;
        ensure!(parked.len() == count, "{parked:?}");
        anyhow::Ok(parked)
    })
    .await
}

/// What `highwater ops redrive` says.
async fn redriven(cluster: &Cluster, flags: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = cluster.highwater(&[&["ops", "redrive", "--json"], flags].concat()).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn what_was_given_up_is_told_and_made_when_it_is_asked_for_again() {
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2"),
        async |cluster| {
            let proxies = Proxy::between(cluster, "replicator").await?;
            let mut client = cluster.client().await?;
            // Each is refused by the two nodes that do not have it.
            let mut blobs = Vec::new();
            for path in ["a", "b", "c"] {
                let receipt = client.put(path, Content::new(path.len() as u64, 5000)).await?;
                blobs.push((path, receipt.blob_id.clone(), receipt.node));
            }
            for (_, blob, _) in &blobs {
                let key = blob.parse::<proto::BlobId>()?.key();
                for proxy in &proxies {
                    proxy.add(Rule::writes(&key, Act::Answer { status: 403, code: "AccessDenied" }));
                }
            }
            cluster.stack.scale(1).await?;
            let parked = given_up(cluster, 6).await;
            for (path, blob, origin) in &blobs {
                let of_blob: Vec<_> = parked.iter().filter(|one| one.blob_id == *blob).collect();
                assert_eq!(of_blob.len(), 2, "{parked:?}");
                for one in of_blob {
                    assert_ne!(one.node, *origin);
                    assert_eq!((one.state(), one.attempts, one.size_bytes), (ReplicaState::Parked, 2, 5000));
                    assert!(one.reason.contains("AccessDenied"), "{one:?}");
                    assert_eq!(one.path, format!("main/{path}"));
                }
            }
            let said = cluster.highwater(&["ops", "parked"]).await?;
            let said = String::from_utf8(said.stdout)?;
            assert!(said.contains("AccessDenied") && said.contains("main/a"), "{said}");

            // While the cause is there, asking again ends in the same.
            let answer = client.redrive(RedriveRequest { blob_id: blobs[0].1.clone(), ..Default::default() }).await?;
            assert_eq!(answer.replicas, 2);
            let before: Vec<&str> = parked.iter().map(|one| one.sequence.as_str()).collect();
            eventually("the same copies are given up again", async || {
                let again = cluster.client().await?.parked().await?;
                let newer = again.iter().filter(|one| !before.contains(&one.sequence.as_str())).count();
                ensure!(again.len() == 6 && newer == 2, "{again:?}");
                Ok(())
            })
            .await;

            proxies.iter().for_each(Proxy::clear);
            // By blob, by node, and all that is left.
            let (_, blob, origin) = &blobs[0];
            let said = redriven(cluster, &["--blob", blob]).await?;
            assert_eq!(said["replicas"], 2);
            assert!(said["sequence"].as_str().is_some_and(|sequence| !sequence.is_empty()), "{said}");
            cluster.replicated("a", 3).await;
            let left = given_up(cluster, 4).await;
            assert!(left.iter().all(|one| one.blob_id != *blob), "{left:?}");
            // The first copy was never given up.
            assert_eq!(redriven(cluster, &["--blob", blob, "--node", origin]).await?["replicas"], 0);
            let node = left.first().context("none is left")?.node.clone();
            let of_node = left.iter().filter(|one| one.node == node).count();
            assert_eq!(redriven(cluster, &["--node", &node]).await?["replicas"], of_node);
            let left = given_up(cluster, 4 - of_node).await;
            assert!(left.iter().all(|one| one.node != node), "{left:?}");
            let said = cluster.highwater(&["ops", "redrive", "--all"]).await?;
            ensure!(said.status.success(), "{said:?}");
            for (path, _, _) in &blobs {
                cluster.replicated(path, 3).await;
            }
            given_up(cluster, 0).await;
            let nothing = client.redrive(RedriveRequest::default()).await?;
            assert_eq!((nothing.replicas, nothing.sequence.as_str()), (0, ""));
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn what_is_not_there_cannot_be_asked_for_again() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let blob_id = "01978d2c-5a01-7000-8000-00000000002a".to_owned();
            let status = client.redrive(RedriveRequest { blob_id, ..Default::default() }).await.expect_err("no blob");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "blob_not_found"));
            let node = "node-x".to_owned();
            let status = client.redrive(RedriveRequest { node, ..Default::default() }).await.expect_err("no node");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "node_not_found"));
            let status = client.redrive(RedriveRequest { blob_id: "x".to_owned(), ..Default::default() }).await;
            assert_eq!(status.expect_err("no id").code(), Code::InvalidArgument);

            // What nobody works on: the replicators are not there. Asking is harmless.
            client.put("a", Content::new(1, 10)).await?;
            let nothing = client.redrive(RedriveRequest::default()).await?;
            assert_eq!(nothing.replicas, 0);
            let pending = client.redrive(RedriveRequest { pending: true, ..Default::default() }).await?;
            assert_eq!(pending.replicas, 2);
            cluster.stack.scale(1).await?;
            cluster.replicated("a", 3).await;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}
