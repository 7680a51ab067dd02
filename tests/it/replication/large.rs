//! Large blobs have a lane of their own: one that is stuck holds up no small one, whichever line is to blame.

use anyhow::ensure;
use proto::LARGE_BLOB_BYTES;
use proto::v1::ReplicaState;
use tests::{Cluster, Content, Link, eventually, run};

/// So slow that a large blob takes an hour.
const NARROW: u64 = 16 * 1024;
const FILES: u64 = 6;

/// The nodes that have the file.
async fn stored(cluster: &Cluster, path: &str) -> anyhow::Result<usize> {
    let file = cluster.client().await?.file(path).await?;
    Ok(file.replicas.iter().filter(|replica| replica.state() == ReplicaState::Stored).count())
}

/// Small files that `node` takes, or that it does not: they come to so many nodes, and the large one to none.
async fn small_ones_arrive(cluster: &Cluster, node: &str, is_taken: bool, nodes: usize) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    let (mut paths, mut seed) = (Vec::new(), 100);
    while (paths.len() as u64) < FILES {
        let path = format!("small/{node}/{is_taken}/{seed}");
        if (client.put(&path, Content::new(seed, 300)).await?.node == node) == is_taken {
            paths.push(path);
        }
        seed += 1;
    }
    for path in &paths {
        eventually(&format!("{path} arrives"), async || {
            let stored = stored(cluster, path).await?;
            ensure!(stored >= nodes, "it is on {stored}");
            anyhow::Ok(())
        })
        .await;
    }
    ensure!(stored(cluster, "large").await? == 1, "it is not stuck");
    Ok(())
}

#[test]
fn a_large_copy_that_is_stuck_holds_up_no_small_one() {
    let one_each = |b: compose::Builder| {
        b.replicators(0).env("replicator", "HIGHWATER_REPLICATOR__CONCURRENCY", "1").env(
            "replicator",
            "HIGHWATER_REPLICATOR__LARGE_CONCURRENCY",
            "1",
        )
    };
    run(one_each, async |cluster| {
        let links = Link::to_nodes(cluster, "replicator").await?;
        let origin = cluster.client().await?.put("large", Content::new(1, LARGE_BLOB_BYTES)).await?.node;
        let (source, targets): (Vec<_>, Vec<_>) =
            cluster.stack.nodes().iter().zip(&links).partition(|(node, _)| node.id == origin);
        let (_, source) = source[0];

        // The source's line: what the others took is copied between them.
        source.rate(NARROW);
        cluster.stack.scale(1).await?;
        eventually("the large copies have begun", async || {
            let carried = source.carried();
            ensure!(carried > 3 * NARROW, "{carried} bytes");
            anyhow::Ok(())
        })
        .await;
        small_ones_arrive(cluster, &origin, false, 2).await?;

        // The targets' lines: what its origin took, too, comes to both.
        for (_, target) in &targets {
            target.rate(NARROW);
        }
        source.heal();
        small_ones_arrive(cluster, &origin, true, 3).await?;

        links.iter().for_each(Link::heal);
        cluster.replicated("large", 3).await;
        cluster.settle().await;
        cluster.verify().await
    });
}
