//! What goes wrong meanwhile, round by round: copies to one node fail and wait, the replicators that hold them are killed
//! or frozen, so that all is delivered again, and the gateway is killed in the middle of its answers.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::{self, consumer};
use proto::v1::Receipt;
use tests::{Act, Client, Cluster, Content, Proxy, Rule, chunks, eventually, metadata};

use super::{Fire, answered};

/// Bounded, so that a slow machine is not busy with starting alone.
const ROUNDS: usize = 6;
const REPLICATORS: usize = 2;

/// What the sick node answers the replicators in turn: what counts against a blob, which then waits in the replicator for
/// its next attempt; and what counts against the node, whose work is given back and comes again.
const REFUSALS: [(&str, u16, &str); 2] = [("blobs/", 403, "AccessDenied"), ("", 503, "SlowDown")];

/// Replicators that are fast to try again, never give up, and whose unfinished work is soon another's.
pub(super) fn restless(builder: compose::Builder) -> compose::Builder {
    let builder = ["gateway", "replicator", "projector"]
        .into_iter()
        .fold(builder.replicators(0), |b, service| b.env(service, "HIGHWATER_NATS__ACK_WAIT", "1s"))
        .env("gateway", "HIGHWATER_LIMITS__ORPHAN_GRACE", "5s");
    let settings = [
        ("HIGHWATER_REPLICATOR__PARK_AFTER", "10000"),
        ("HIGHWATER_REPLICATOR__RETRY__FIRST_DELAY", "50ms"),
        ("HIGHWATER_REPLICATOR__RETRY__MAX_DELAY", "500ms"),
        ("HIGHWATER_REPLICATOR__GIVE_BACK__FIRST_DELAY", "100ms"),
        ("HIGHWATER_REPLICATOR__GIVE_BACK__MAX_DELAY", "1s"),
        ("HIGHWATER_BLOBS__BREAKER__FIRST_DELAY", "50ms"),
        ("HIGHWATER_BLOBS__BREAKER__MAX_DELAY", "500ms"),
    ];
    settings.into_iter().fold(builder, |b, (key, value)| b.env("replicator", key, value))
}

/// Starts the replicators, each behind proxies of its own; answers these.
pub(super) async fn start_replicators(cluster: &Cluster) -> anyhow::Result<Vec<Vec<Proxy>>> {
    let mut proxies = Vec::new();
    for n in 1..=REPLICATORS {
        proxies.push(Proxy::between(cluster, &format!("replicator-{n}")).await?);
    }
    cluster.stack.scale(REPLICATORS).await?;
    Ok(proxies)
}

/// All rounds, and nothing wrong any more afterwards.
pub(super) async fn happen(fire: &Fire<'_>, proxies: &[Vec<Proxy>]) -> anyhow::Result<()> {
    let stack = &fire.cluster.stack;
    let jetstream = jetstream::new(async_nats::connect(stack.nats_url()?).await?);
    for round in 0..ROUNDS {
        let of_node: Vec<&Proxy> = proxies.iter().filter_map(|all| all.get(round % all.len())).collect();
        let node = of_node.first().context("no proxy")?.id();
        let (prefix, status, code) = REFUSALS[round % REFUSALS.len()];
        for proxy in &of_node {
            proxy.clear();
            proxy.add(Rule::writes(prefix, Act::Answer { status, code }));
        }
        owe(fire, round, node).await?;
        eventually("copies to the node are refused and wait", async || {
            let (hits, info) = (of_node.iter().map(|proxy| proxy.hits()).sum::<usize>(), lane(&jetstream, node).await?);
            ensure!(hits > 0 && info.num_ack_pending > 0, "{hits} refused, {} wait", info.num_ack_pending);
            anyhow::Ok(())
        })
        .await;
        let is_frozen = round % 2 == 1;
        stack.kill("gateway").await?;
        stack.kill("replicator-2").await?;
        if is_frozen {
            stack.pause("replicator-1").await?;
        } else {
            stack.kill("replicator-1").await?;
        }
        stack.start("gateway").await?;
        stack.start("replicator-2").await?;
        if !is_frozen {
            stack.start("replicator-1").await?;
        }
        let again = eventually("what was held is delivered again", async || {
            let info = lane(&jetstream, node).await?;
            ensure!(info.num_redelivered > 0, "nothing of {}", info.num_ack_pending);
            anyhow::Ok(info.num_redelivered as u64)
        })
        .await;
        fire.redelivered.fetch_add(again, Ordering::Relaxed);
        // It goes on with what others have done, or undone, in the meantime.
        stack.resume("replicator-1").await?;
        let refused: usize = of_node.iter().map(|proxy| proxy.hits()).sum();
        fire.refused.fetch_add(refused as u64, Ordering::Relaxed);
        for proxy in &of_node {
            proxy.clear();
        }
        answered(fire, async |mut client: Client| client.status().await).await??;
    }
    Ok(())
}

/// Uploads content that stays, until some of it must be copied to the node.
async fn owe(fire: &Fire<'_>, round: usize, node: &str) -> anyhow::Result<()> {
    for n in 0.. {
        let content = Content::new(1_000_000 + 1000 * round as u64 + n, 20_000);
        let mut about = metadata(&format!("kept/{round}-{n}"));
        about.request_id = about.path.clone();
        let receipt = answered(fire, async |mut client: Client| client.upload(about.clone(), chunks(content)).await);
        let receipt: Receipt = receipt.await??;
        if receipt.node != node {
            break;
        }
    }
    Ok(())
}

/// Where the consumer of small blobs for a node stands.
async fn lane(jetstream: &jetstream::Context, node: &str) -> anyhow::Result<consumer::Info> {
    let stream = jetstream.get_stream("HIGHWATER").await?;
    stream.consumer_info(format!("replicator-{node}")).await.map_err(anyhow::Error::new)
}
