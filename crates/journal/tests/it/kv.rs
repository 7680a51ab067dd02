//! Leases and entries with a time limit.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use journal::{BucketName, Error};
use tokio::time::Instant;

use crate::bench::Bench;
use crate::server::{Sync, eventually};

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

/// Through an outage that is shorter than it holds, and not through one that is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_kept_while_it_can_be() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.lease_ttl = Duration::from_secs(9);
    bench.init().await?;
    let (journal, ttl) = (bench.open().await?, bench.config.lease_ttl);
    let mut lease = journal.acquire("join_nodes", "gateway-1").await?.unwrap();
    let (began, server) = (Instant::now(), &mut bench.server);
    let after = async |time| eventually("time passes", async || (began.elapsed() > time).then_some(())).await;
    let down_at = tokio::select! {
        () = lease.keep() => panic!("it is lost after {:?}", began.elapsed()),
        down_at = async {
            server.kill()?;
            // More than one renewal has failed by then.
            after(ttl * 2 / 5).await;
            server.restart(Sync::Always).await?;
            after(ttl * 5 / 4).await;
            let others = eventually("the journal answers", async || {
                journal.acquire("join_nodes", "gateway-2").await.ok()
            });
            assert!(others.await.is_none(), "somebody else has it too");
            server.kill()?;
            anyhow::Ok(Instant::now())
        } => down_at?,
    };
    lease.keep().await;
    assert!(down_at.elapsed() < ttl, "it was not kept longer than it holds: {:?}", down_at.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_given_back_also_when_its_last_renewal_got_no_answer() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let lease = journal.acquire("join_nodes", "gateway-1").await?.unwrap();
    let bucket = journal.bucket(BucketName::Leases).await?;
    // What a renewal does whose answer nobody waits for.
    bucket.put("join_nodes", "gateway-1".into()).await?;
    lease.release().await?;
    assert!(bucket.keys().await?.is_empty());
    let other = journal.acquire("join_nodes", "gateway-2").await?.unwrap();
    bucket.put("join_nodes", "gateway-3".into()).await?;
    other.release().await.unwrap_err();
    assert_eq!(bucket.keys().await?, ["join_nodes"], "it is somebody else's");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_else_has_is_not_kept() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let mut lease = journal.acquire("join_nodes", "gateway-1").await?.unwrap();
    journal.bucket(BucketName::Leases).await?.put("join_nodes", "gateway-2".into()).await?;
    lease.keep().await;
    assert!(!lease.renew().await?);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_uploads_is_made_with_its_time_limit() -> Result<()> {
    let mut bench = Bench::start().await?;
    let config = async |bench: &Bench| -> Result<_> {
        let mut bucket = bench.jetstream().await?.get_stream("KV_highwater_uploads").await?;
        Ok(bucket.info().await?.config.clone())
    };
    let made = config(&bench).await?;
    assert_eq!(made.max_age, Duration::from_hours(8 * 24));
    assert_eq!(made.storage, async_nats::jetstream::stream::StorageType::File);
    assert_eq!(made.max_message_size, 16 * 1024);
    bench.config.upload_ttl = Duration::from_hours(1);
    bench.init().await?;
    assert_eq!(config(&bench).await?.max_age, Duration::from_hours(1));
    let uploads = bench.open().await?.bucket(BucketName::Uploads).await?;
    assert!(uploads.put("large", vec![0; 16 * 1024].into()).await.is_ok());
    assert!(uploads.put("larger", vec![0; 16 * 1024 + 1].into()).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_end_by_themselves() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.upload_ttl = Duration::from_secs(1);
    bench.init().await?;
    let uploads = bench.open().await?.bucket(BucketName::Uploads).await?;
    uploads.put("part.a.1", "1".into()).await?;
    eventually("the entry ends", async || uploads.list("part").await.ok().filter(Vec::is_empty)).await;
    assert_eq!(uploads.entry("part.a.1").await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_changed_only_by_who_saw_it_last() -> Result<()> {
    let bench = Bench::start().await?;
    let uploads = bench.open().await?.bucket(BucketName::Uploads).await?;
    assert_eq!(uploads.entry("session.a").await?, None);
    let first = uploads.create("session.a", "0".into()).await?.unwrap();
    assert_eq!(uploads.create("session.a", "other".into()).await?, None);
    // The same again, as after an answer that was lost.
    assert_eq!(uploads.create("session.a", "0".into()).await?, Some(first));
    let entry = uploads.entry("session.a").await?.unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from("0"), first));
    let second = uploads.update("session.a", "1".into(), first).await?.unwrap();
    assert_eq!(uploads.update("session.a", "1".into(), first).await?, Some(second));
    assert_eq!(uploads.update("session.a", "2".into(), first).await?, None);
    assert_eq!(uploads.get("session.a").await?.unwrap(), "1");
    uploads.delete("session.a").await?;
    assert_eq!(uploads.update("session.a", "2".into(), second).await?, None);
    assert_eq!(uploads.entry("session.a").await?, None);
    let anew = uploads.create("session.a", "3".into()).await?.unwrap();
    assert!(anew > second);
    // One of many wins.
    let bids = (0..8).map(|n| uploads.update("session.a", format!("bid {n}").into(), anew));
    let won = futures::future::try_join_all(bids).await?.into_iter().flatten().count();
    assert_eq!(won, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_has_everything_under_its_prefix_and_nothing_else() -> Result<()> {
    let bench = Bench::start().await?;
    let uploads = bench.open().await?.bucket(BucketName::Uploads).await?;
    assert_eq!(uploads.list("part.a").await?, []);
    // More than one batch of the listing.
    let keys: Vec<String> = (1..=1100).map(|n| format!("part.a.{n:05}")).collect();
    for some in keys.chunks(100) {
        let puts = some.iter().map(|key| uploads.put(key, key.clone().into()));
        futures::future::try_join_all(puts).await?;
    }
    for key in ["part.ab.00001", "part.b.00001", "session.a", "session.b"] {
        uploads.put(key, "other".into()).await?;
    }
    uploads.put(&keys[7], "newer".into()).await?;
    uploads.delete(&keys[8]).await?;
    let listed = uploads.list("part.a").await?;
    let expected: Vec<&String> = keys.iter().filter(|key| **key != keys[8]).collect();
    assert_eq!(listed.iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
    assert_eq!(listed[7].1, uploads.entry(&keys[7]).await?.unwrap());
    assert_eq!(listed[7].1.value, "newer");
    assert!(listed.iter().all(|(key, entry)| entry.value == key.as_bytes() || entry.value == "newer"));
    let sessions: Vec<String> = uploads.list("session").await?.into_iter().map(|(key, _)| key).collect();
    assert_eq!(sessions, ["session.a", "session.b"]);

    assert_eq!(uploads.delete_under("part.a").await?, 1100);
    assert_eq!(uploads.list("part.a").await?, []);
    let rest: Vec<String> = uploads.list("part").await?.into_iter().map(|(key, _)| key).collect();
    assert_eq!(rest, ["part.ab.00001", "part.b.00001"]);
    assert_eq!(uploads.delete_under("part.a").await?, 0);
    // Nothing of the listings stays on the server.
    let mut bucket = bench.jetstream().await?.get_stream("KV_highwater_uploads").await?;
    assert_eq!(bucket.info().await?.state.consumer_count, 0);
    Ok(())
}
