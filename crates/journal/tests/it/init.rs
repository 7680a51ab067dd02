//! Making the stream, the buckets and the consumers.

use anyhow::Result;
use async_nats::jetstream::consumer::pull;
use futures::StreamExt as _;
use futures::future::join_all;
use journal::{Change, Error, Lane, Plan, consumer_name};

use crate::bench::{Bench, node};

#[tokio::test(flavor = "multi_thread")]
async fn twice_changes_nothing_and_at_once_makes_one_journal() -> Result<()> {
    let bench = Bench::empty().await?;
    let reports = join_all((0..8).map(|_| bench.init())).await;
    let mut identities: Vec<_> = Vec::new();
    for report in reports {
        identities.push(report?.identity);
    }
    identities.dedup();
    assert_eq!(identities.len(), 1);
    let again = bench.init().await?;
    assert_eq!(again.identity, identities[0]);
    assert_eq!(again.stream, Change::Unchanged);
    assert!(again.buckets.iter().all(|(_, change)| *change == Change::Unchanged), "{again:?}");
    let names: Vec<String> = again.consumers.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["replicator-a", "replicator-a-large"]);
    assert!(again.consumers.iter().all(|(_, change)| *change == Change::Unchanged), "{again:?}");
    assert_eq!(bench.open().await?.identity(), again.identity);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_of_a_cluster_with_markers_is_a_lost_one() -> Result<()> {
    let bench = Bench::empty().await?;
    let plan = Plan { nodes: &[node()], marked: &[node()], ids: &bench.ids };
    let error = journal::init(&bench.config, plan, &bench.shutdown).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }));
    let sentence = error.to_string();
    assert!(
        sentence.contains("these nodes already belong to a cluster: a. The journal is lost: restore it"),
        "{sentence}"
    );
    // With the stream there, markers are as they should be.
    bench.init().await?;
    journal::init(&bench.config, plan, &bench.shutdown).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_change_is_set_right() -> Result<()> {
    let mut bench = Bench::start().await?;
    let jetstream = bench.jetstream().await?;
    let name = consumer_name(&node(), Lane::Small);
    let stream = jetstream.get_stream(&bench.config.stream).await?;
    let mut consumer: async_nats::jetstream::consumer::Consumer<pull::Config> =
        stream.get_consumer(name.as_str()).await.unwrap();
    let config = consumer.info().await?.config.clone();
    stream.update_consumer(async_nats::jetstream::consumer::Config { max_deliver: 3, ..config }).await?;
    bench.config.max_bytes *= 2;
    bench.config.lease_ttl *= 2;
    let report = bench.init().await?;
    let Change::Updated(drift) = &report.stream else { panic!("{report:?}") };
    assert_eq!(drift, &["max_bytes is 67108864 instead of at least 134217728"]);
    assert_eq!(report.consumers[0].1, Change::Updated(vec!["max_deliver is 3 instead of -1".to_owned()]));
    assert_eq!(report.consumers[1].1, Change::Unchanged);
    assert!(matches!(report.buckets[0].1, Change::Updated(_)));
    assert_eq!(bench.init().await?.stream, Change::Unchanged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_said() -> Result<()> {
    let bench = Bench::start().await?;
    let stream = bench.jetstream().await?.get_stream(&bench.config.stream).await?;
    let name = consumer_name(&node(), Lane::Small);
    stream.delete_consumer(name.as_str()).await?;
    let config = pull::Config {
        durable_name: Some(name.to_string()),
        filter_subjects: Lane::Small.subjects(),
        deliver_policy: async_nats::jetstream::consumer::DeliverPolicy::New,
        ack_policy: async_nats::jetstream::consumer::AckPolicy::Explicit,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await?;
    let sentence = bench.init().await.unwrap_err().to_string();
    assert!(sentence.contains("deliver_policy is New instead of All"), "{sentence}");
    assert!(sentence.contains("delete the consumer and run `gateway init` again"), "{sentence}");
    Ok(())
}

/// Puts the small lane's consumer back to what it was before erasures were ordered.
async fn narrow(bench: &Bench) -> Result<()> {
    let stream = bench.jetstream().await?.get_stream(&bench.config.stream).await?;
    let name = consumer_name(&node(), Lane::Small);
    stream.delete_consumer(name.as_str()).await?;
    let config = pull::Config {
        durable_name: Some(name.to_string()),
        filter_subject: "hw.v1.file_uploaded".to_owned(),
        ack_policy: async_nats::jetstream::consumer::AckPolicy::Explicit,
        ack_wait: bench.config.ack_wait,
        max_ack_pending: bench.config.max_ack_pending.into(),
        ..pull::Config::default()
    };
    stream.create_consumer(config).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_an_earlier_version_gets_more_subjects_and_keeps_its_position() -> Result<()> {
    let bench = Bench::start().await?;
    narrow(&bench).await?;
    let journal = bench.open().await?;
    for _ in 0..4 {
        journal.publish(&bench.upload(1)).await?;
    }
    let stream = bench.jetstream().await?.get_stream(&bench.config.stream).await?;
    let name = consumer_name(&node(), Lane::Small);
    let mut consumer: async_nats::jetstream::consumer::Consumer<pull::Config> =
        stream.get_consumer(name.as_str()).await.unwrap();
    // One is done, and one is still worked on.
    let mut taken = consumer.fetch().max_messages(2).messages().await?;
    taken.next().await.unwrap().unwrap().double_ack().await.unwrap();
    taken.next().await.unwrap().unwrap();
    let order = journal.publish(&bench.order()).await?.n;

    let Change::Updated(drift) = &bench.init().await?.consumers[0].1 else { panic!("it is as it was") };
    assert!(drift.iter().any(|field| field.starts_with("filter_subjects is []")), "{drift:?}");
    let info = consumer.info().await?.clone();
    assert_eq!((info.delivered.stream_sequence, info.ack_floor.stream_sequence), (2, 1));
    assert_eq!((info.num_pending, info.num_ack_pending), (3, 1));
    assert_eq!(bench.init().await?.consumers[0].1, Change::Unchanged);

    let mut work = journal.work(&name, &bench.shutdown).await?;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let delivery = work.next(1).await?;
        seen.push((delivery.recorded.n, delivery.delivered));
        let _ended = delivery.ack().await;
    }
    seen.sort_unstable();
    assert_eq!(seen, [(2, 2), (3, 1), (4, 1), (order, 1)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_a_consumer_that_lacks_a_subject() -> Result<()> {
    let bench = Bench::start().await?;
    narrow(&bench).await?;
    let journal = bench.open().await?;
    let name = consumer_name(&node(), Lane::Small);
    // The consumer would pass over the order, and never come back to it.
    let order = journal.publish(&bench.order()).await?.n;
    let upload = journal.publish(&bench.upload(1)).await?.n;
    let take = async {
        let mut work = journal.work(&name, &bench.shutdown).await?;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let delivery = work.next(2).await?;
            seen.push(delivery.recorded.n);
            let _ended = delivery.ack().await;
        }
        anyhow::Ok(seen)
    };
    let init = async {
        assert_eq!(journal.lag(&name).await?.waiting, 1);
        bench.init().await?;
        anyhow::Ok(())
    };
    let (seen, init) = tokio::join!(take, init);
    init?;
    assert_eq!(seen?, [order, upload]);
    Ok(())
}
