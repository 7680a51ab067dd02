//! The lines to the journal and to the catalog are slow, narrow, cut or dead for some services: what they missed is caught
//! up once they are well.

use std::time::Duration;

use anyhow::ensure;
use tests::{Cluster, Content, Link, eventually, run};

/// Uploads while the line is bad, heals it, and waits until nothing is left to do.
async fn goes_on(cluster: &Cluster, what: &str, line: &Link, spoil: impl Fn(&Link)) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    client.put(&format!("{what}/before"), Content::new(1, 5000)).await?;
    cluster.settle().await;
    spoil(line);
    for n in 0..10 {
        client.put(&format!("{what}/{n}"), Content::new(n, 5000)).await?;
    }
    line.heal();
    cluster.settle().await;
    for n in 0..10 {
        cluster.replicated(&format!("{what}/{n}"), 3).await;
    }
    Ok(())
}

fn slow(line: &Link) {
    line.delay(Duration::from_millis(100));
    line.rate(256 * 1024);
}

#[test]
fn replicators_whose_line_to_the_journal_is_bad() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let line = Link::to_nats(cluster, "replicator").await?;
            cluster.stack.scale(2).await?;
            goes_on(cluster, "slow", &line, slow).await?;
            goes_on(cluster, "reset", &line, Link::reset).await?;
            goes_on(cluster, "cut", &line, Link::blackhole).await?;
            cluster.verify().await
        },
    );
}

#[test]
fn a_projector_whose_line_to_the_catalog_is_bad() {
    let patient = |b: compose::Builder| {
        // A connection that is dead and does not say so is given up after this.
        let b = b.env("projector", "HIGHWATER_DATABASE__READ_TIMEOUT", "3s");
        b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "100ms")
    };
    run(patient, async |cluster| {
        let line = Link::to_postgres(cluster, "projector").await?;
        cluster.stack.restart("projector").await?;
        eventually("the projector uses the line", async || {
            ensure!(line.carried() > 0, "nothing was carried");
            Ok(())
        })
        .await;
        goes_on(cluster, "slow", &line, slow).await?;
        goes_on(cluster, "reset", &line, Link::reset).await?;
        goes_on(cluster, "cut", &line, Link::blackhole).await?;
        goes_on(cluster, "dead", &line, Link::half_open).await?;
        cluster.verify().await
    });
}

#[test]
fn replicators_whose_connection_to_the_journal_dies_unnoticed() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let line = Link::to_nats(cluster, "replicator").await?;
            cluster.stack.scale(2).await?;
            goes_on(cluster, "dead", &line, Link::half_open).await?;
            cluster.verify().await
        },
    );
}

#[test]
fn a_blob_that_takes_long_on_a_narrow_line_arrives() {
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2s"),
        async |cluster| {
            let links = Link::to_nodes(cluster, "replicator").await?;
            let receipt = cluster.client().await?.put("long", Content::new(1, 1024 * 1024)).await?;
            let targets = cluster.stack.nodes().iter().zip(&links).filter(|(node, _)| node.id != receipt.node);
            for (_, line) in targets {
                line.delay(Duration::from_millis(200));
                line.rate(64 * 1024);
            }
            cluster.stack.scale(1).await?;
            cluster.replicated("long", 3).await;
            let carried: u64 = links.iter().map(Link::carried).max().unwrap_or_default();
            assert!(carried < 3 * 1024 * 1024, "it was sent again and again: {carried} bytes");
            cluster.verify().await
        },
    );
}
