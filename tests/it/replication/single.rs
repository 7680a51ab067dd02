//! A node that fails at one object and serves all others: that object is given up, told and repaired, and holds up nothing.

use anyhow::{Context as _, ensure};
use http::Method;
use proto::Fact;
use proto::v1::audit_response::Message;
use proto::v1::{AuditKind, AuditRequest, RedriveRequest, ReplicaState};
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, run};

use super::world::{Log, attentive, has};

/// More than the failures in a row that make a copy count as lost.
const DOWNLOADS: usize = 10;

/// It never comes to a blob's own attempts twice as fast as it comes to its third failure.
fn impatient(builder: compose::Builder) -> compose::Builder {
    attentive(builder)
        .replicators(0)
        .env("replicator", "HIGHWATER_REPLICATOR__PARK_AFTER", "2")
        .env("replicator", "HIGHWATER_REPLICATOR__GIVE_BACK__FIRST_DELAY", "100ms")
        .env("replicator", "HIGHWATER_REPLICATOR__GIVE_BACK__MAX_DELAY", "500ms")
        .env("replicator", "HIGHWATER_REPLICATOR__SOURCE_WAIT__FIRST_DELAY", "100ms")
        .env("replicator", "HIGHWATER_REPLICATOR__SOURCE_WAIT__MAX_DELAY", "500ms")
        .env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "0s")
}

async fn state_on(cluster: &Cluster, path: &str, node: &str) -> anyhow::Result<ReplicaState> {
    let file = cluster.client().await?.file(path).await?;
    let replica = file.replicas.iter().find(|replica| replica.node == node);
    Ok(replica.with_context(|| format!("no row for {node}"))?.state())
}

/// The copy from or to a node that fails like this is given up, while others are made; and made once the node is well.
async fn given_up_and_made(cluster: &Cluster, path: &str, is_source: bool, act: Act) -> anyhow::Result<()> {
    let proxies = Proxy::between(cluster, "replicator").await?;
    let mut client = cluster.client().await?;
    let receipt = client.put(path, Content::new(1, 5000)).await?;
    let key = receipt.blob_id.parse::<proto::BlobId>()?.key();
    let other = proxies.iter().find(|proxy| proxy.id() != receipt.node).context("no other node")?.id().to_owned();
    let failing = if is_source { receipt.node.clone() } else { other.clone() };
    let proxy = proxies.iter().find(|proxy| proxy.id() == failing).context("no such node")?;
    proxy.add(Rule::new(&[Method::GET, Method::PUT], key, act));
    cluster.stack.scale(1).await?;
    for n in 0..10 {
        client.put(&format!("{path}-{n}"), Content::new(100 + n, 5000)).await?;
    }
    eventually("the copy is given up", async || {
        let state = state_on(cluster, path, &other).await?;
        ensure!(state == ReplicaState::Parked, "{state:?} after {} failures", proxy.hits());
        Ok(())
    })
    .await;
    for n in 0..10 {
        cluster.replicated(&format!("{path}-{n}"), 2).await;
    }
    proxy.clear();
    client.redrive(RedriveRequest::default()).await?;
    cluster.replicated(path, 2).await;
    cluster.stack.scale(0).await
}

#[test]
fn a_key_at_which_a_node_always_fails_is_parked() {
    run(
        |b| impatient(b).node_count(2),
        async |cluster| {
            let answer = || Act::Answer { status: 500, code: "InternalError" };
            given_up_and_made(cluster, "to", false, answer()).await?;
            given_up_and_made(cluster, "cut", false, Act::CutRequest { after: 100 }).await?;
            given_up_and_made(cluster, "from", true, answer()).await?;
            given_up_and_made(cluster, "denied", true, Act::Answer { status: 403, code: "AccessDenied" }).await?;
            cluster.verify().await
        },
    );
}

#[test]
fn an_object_that_a_node_never_gives_is_found_by_audits_and_downloads() {
    run(
        |b| attentive(b).env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "0s"),
        async |cluster| {
            let log = Log::open(cluster).await?;
            let proxies = Proxy::between(cluster, "gateway").await?;
            cluster.stack.restart("gateway").await?;
            let mut client = cluster.client().await?;
            for n in 0..5 {
                client.put(&format!("{n}"), Content::new(n, 5000)).await?;
                cluster.replicated(&format!("{n}"), 3).await;
            }
            cluster.settle().await;
            let uploads = log.uploads().await?;
            let (_, audited) = &uploads[0];
            let node_b = proxies.iter().find(|proxy| proxy.id() == "node-b").context("no node-b")?;
            let fails = |blob: proto::BlobId| {
                Rule::new(&[Method::GET, Method::HEAD], blob.key(), Act::Answer { status: 500, code: "InternalError" })
            };
            node_b.add(fails(audited.blob_id));
            let request = AuditRequest { nodes: vec!["node-b".to_owned()], deep: true, repair: true };
            let mut stream = client.operations.audit(request).await?.into_inner();
            let (mut found, mut summary) = (Vec::new(), None);
            while let Some(answer) = stream.message().await? {
                match answer.message {
                    Some(Message::Finding(finding)) => found.push(finding),
                    Some(Message::Summary(last)) => summary = Some(last),
                    _ => {}
                }
            }
            let nodes = summary.context("no summary")?.nodes;
            assert!(nodes.iter().all(|node| node.error.is_empty() && node.objects >= 5), "{nodes:?}");
            let found: Vec<_> = found.iter().map(|one| (one.kind(), one.key.as_str(), one.detail.as_str())).collect();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].0, found[0].1), (AuditKind::Corrupt, audited.blob_id.key().as_str()));
            assert!(found[0].2.contains("cannot be read"), "{found:?}");

            // A download comes from elsewhere, and tells of it. Which node is asked first is not known: if that is the one
            // that gives the object, nothing is seen, and another one has its turn.
            let (_, read) = &uploads[1];
            let mut downloads = 0;
            eventually("the copies are reported as lost", async || {
                if downloads % DOWNLOADS == 0 {
                    let whole = downloads / DOWNLOADS % proxies.len();
                    for (n, proxy) in proxies.iter().enumerate() {
                        proxy.clear();
                        if n != whole {
                            proxy.add(fails(read.blob_id));
                        }
                    }
                }
                downloads += 1;
                cluster.client().await?.get("1").await?;
                let lost = log.facts().await?.into_iter().filter_map(|(_, _, fact)| match fact {
                    Fact::ReplicaLost(lost) => Some(lost),
                    _ => None,
                });
                let lost: Vec<_> =
                    lost.filter(|lost| lost.replicas.iter().any(|one| one.blob_id == read.blob_id)).collect();
                ensure!(!lost.is_empty(), "nobody said so");
                ensure!(lost.iter().all(|lost| lost.reason.contains("gives others")), "{lost:?}");
                anyhow::Ok(())
            })
            .await;
            proxies.iter().for_each(Proxy::clear);
            cluster.settle().await;
            for node in ["node-a", "node-b", "node-c"] {
                has(cluster, node, audited).await?;
                has(cluster, node, read).await?;
            }
            cluster.verify().await
        },
    );
}
