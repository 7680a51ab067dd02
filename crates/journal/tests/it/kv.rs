//! Leases and entries with a time limit.

use anyhow::Result;
use journal::{BucketName, Error};

use crate::bench::Bench;
use crate::server::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn one_holder_at_a_time() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let mut first = journal.acquire("join_nodes", "gateway-1").await?.unwrap();
    assert!(journal.acquire("join_nodes", "gateway-2").await?.is_none());
    assert!(journal.acquire("other_duty", "gateway-2").await?.is_some());
    // The same holder again, as after an answer that was lost.
    assert!(journal.acquire("join_nodes", "gateway-1").await?.is_some());
    assert!(first.renew().await?);
    assert!(first.renew().await?);
    first.release().await?;
    assert!(journal.acquire("join_nodes", "gateway-2").await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_renewed_passes_on() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let mut first = journal.acquire("join_nodes", "gateway-1").await?.unwrap();
    let take = async || journal.acquire("join_nodes", "gateway-2").await.ok().flatten();
    let second = eventually("the lease ends", take).await;
    assert!(!first.renew().await?);
    assert_eq!(second.ttl(), bench.config.lease_ttl);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_written_read_and_removed() -> Result<()> {
    let bench = Bench::empty().await?;
    let journal = {
        bench.init().await?;
        bench.open().await?
    };
    let nodes = journal.bucket(BucketName::Nodes).await?;
    assert_eq!(nodes.get("a").await?, None);
    nodes.put("a", "up".into()).await?;
    nodes.put("b", "down".into()).await?;
    assert_eq!(nodes.get("a").await?.unwrap(), "up");
    assert_eq!(nodes.keys().await?, ["a", "b"]);
    nodes.delete("a").await?;
    assert_eq!(nodes.get("a").await?, None);
    assert_eq!(nodes.keys().await?, ["b"]);
    bench.jetstream().await?.delete_key_value(BucketName::Nodes.as_str()).await?;
    assert!(matches!(journal.bucket(BucketName::Nodes).await, Err(Error::Missing { .. })));
    Ok(())
}
