//! Making the stream, the buckets and the consumers.

use anyhow::Result;
use async_nats::jetstream::consumer::pull;
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
        filter_subject: Lane::Small.subject(),
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
