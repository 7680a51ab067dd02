//! Reading in order, across everything.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use journal::{Error, Journal, Replay};
use proto::{Event, Kind};

use crate::bench::{Bench, everything};
use crate::server::{Sync, eventually};

const WAIT: Duration = Duration::from_secs(20);
const NO_WAIT: Duration = Duration::from_millis(50);

async fn publish(bench: &Bench, journal: &Journal, count: u64) -> Result<()> {
    let events: Vec<Event> = (0..count).map(|n| bench.upload(n)).collect();
    try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    Ok(())
}

/// Reads until event `to`, and checks that the numbers are consecutive.
async fn read_to(replay: &mut Replay, to: u64) -> Result<(), Error> {
    while replay.next_n() <= to {
        let expected = replay.next_n();
        for (n, recorded) in (expected..).zip(replay.next_batch(7, WAIT).await?) {
            assert_eq!(recorded.n, n);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_journal() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.replay_batch = 8;
    let journal = bench.open().await?;
    publish(&bench, &journal, 100).await?;
    let all = everything(&journal).await?;
    assert_eq!(all.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());

    let mut part = journal.replay(40, Some(60));
    read_to(&mut part, 60).await?;
    assert!(part.is_finished());
    assert_eq!(part.next_batch(10, WAIT).await?, []);
    assert_eq!(part.next_n(), 61);
    Ok(())
}

/// The numbers of all events that a replay still gives, in small batches.
async fn rest(replay: &mut Replay) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    while !replay.is_finished() {
        all.extend(replay.next_batch(7, WAIT).await?.into_iter().map(|recorded| recorded.n));
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_kind() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.replay_batch = 8;
    let journal = bench.open().await?;
    let nothing: Vec<u64> = Vec::new();
    assert_eq!(rest(&mut journal.replay_of(Kind::FileUploaded, 1, 0)).await?, nothing);
    // Of three events the first is small, the second large, and the third of another kind.
    for n in 1..=60 {
        let event = match n % 3 {
            1 => bench.upload(5),
            2 => bench.upload(100 << 20),
            _ => bench.order(),
        };
        assert_eq!(journal.publish(&event).await?.n, n);
    }
    let uploads = |from: u64, to: u64| (from..=to).filter(|n| n % 3 != 0).collect::<Vec<_>>();
    assert_eq!(rest(&mut journal.replay_of(Kind::FileUploaded, 1, 60)).await?, uploads(1, 60));
    assert_eq!(rest(&mut journal.replay_of(Kind::FileUploaded, 20, 40)).await?, uploads(20, 40));
    assert_eq!(rest(&mut journal.replay_of(Kind::FileUploaded, 60, 60)).await?, nothing);
    let orders: Vec<u64> = (1..=20).map(|n| n * 3).collect();
    assert_eq!(rest(&mut journal.replay_of(Kind::BlobErasureOrdered, 1, 60)).await?, orders);
    assert_eq!(rest(&mut journal.replay_of(Kind::BlobErasureOrdered, 1, 59)).await?, orders[..19]);
    assert_eq!(rest(&mut journal.replay_of(Kind::NodeWiped, 1, 60)).await?, nothing);

    // A server that goes away in the middle is waited for, and nothing is missing then or comes twice.
    let mut replay = journal.replay_of(Kind::FileUploaded, 1, 60);
    let mut seen: Vec<u64> = replay.next_batch(7, WAIT).await?.into_iter().map(|recorded| recorded.n).collect();
    bench.server.kill()?;
    bench.server.restart(Sync::Always).await?;
    seen.extend(rest(&mut replay).await?);
    assert_eq!(seen, uploads(1, 60));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_head() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let mut replay = journal.replay(1, None);
    assert_eq!(replay.next_batch(10, NO_WAIT).await?, []);
    publish(&bench, &journal, 3).await?;
    read_to(&mut replay, 3).await?;
    // Longer than a request stands.
    let event = bench.upload(9);
    let later = async {
        let started = tokio::time::Instant::now();
        let expired = bench.config.pull_expires * 2;
        eventually("requests expire", async || (started.elapsed() > expired).then_some(())).await;
        journal.publish(&event).await
    };
    let (batch, published) = futures::future::join(replay.next_batch(10, WAIT), later).await;
    assert_eq!(batch?.iter().map(|recorded| recorded.n).collect::<Vec<_>>(), [published?.n]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn across_restarts_of_the_server() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.replay_batch = 16;
    let journal = bench.open().await?;
    publish(&bench, &journal, 200).await?;
    let mut replay = journal.replay(1, None);
    read_to(&mut replay, 20).await?;
    for round in 1..=3 {
        bench.server.kill()?;
        // What has arrived may still be read; then nothing comes, and that is no error.
        while !replay.next_batch(7, NO_WAIT).await?.is_empty() {}
        bench.server.restart(Sync::Always).await?;
        publish(&bench, &journal, 10).await?;
        read_to(&mut replay, 200 + round * 10).await?;
    }
    assert_eq!(replay.next_batch(7, NO_WAIT).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_futures_lose_nothing() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.replay_batch = 16;
    let journal = bench.open().await?;
    publish(&bench, &journal, 300).await?;
    let mut replay = journal.replay(1, Some(300));
    let mut expected = 1;
    while !replay.is_finished() {
        for _ in 0..3 {
            let mut dropped = Box::pin(replay.next_batch(5, WAIT));
            if let std::task::Poll::Ready(batch) = futures::poll!(&mut dropped) {
                for recorded in batch? {
                    assert_eq!(recorded.n, expected);
                    expected += 1;
                }
            }
        }
        for recorded in replay.next_batch(5, WAIT).await? {
            assert_eq!(recorded.n, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, 301);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_an_error() -> Result<()> {
    let bench = Bench::empty().await?;
    bench.init().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 10).await?;
    // Sequences that the server skips are a hole too, and need no right to delete.
    let mut replay = journal.replay(1, None);
    read_to(&mut replay, 10).await?;
    let jetstream = bench.jetstream().await?;
    let config = jetstream.get_stream(&bench.config.stream).await?.cached_info().config.clone();
    let smaller = async_nats::jetstream::stream::Config {
        discard: async_nats::jetstream::stream::DiscardPolicy::Old,
        max_messages: 4,
        ..config
    };
    jetstream.update_stream(smaller).await?;
    let mut late = journal.replay(1, None);
    match late.next_batch(10, WAIT).await {
        Err(Error::Gap { expected: 1, found: 7 }) => {}
        other => panic!("not a gap: {other:?}"),
    }
    // Who is past the hole does not see it.
    assert_eq!(replay.next_batch(10, NO_WAIT).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_is_another_journal() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 10).await?;
    let mut replay = journal.replay(1, None);
    read_to(&mut replay, 10).await?;
    bench.jetstream().await?.delete_stream(&bench.config.stream).await?;
    bench.init().await?;
    let error = eventually("it is seen", async || replay.next_batch(10, NO_WAIT).await.err()).await;
    assert!(matches!(&error, Error::Diverged(reason) if reason.contains("made again")), "{error:?}");
    Ok(())
}

/// The server comes back with an older state of the same journal, and goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_tail() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.check_interval = Duration::from_hours(1);
    let journal = bench.open().await?;
    publish(&bench, &journal, 5).await?;
    bench.server.kill()?;
    let backup = bench.server.back_up()?;
    bench.server.restart(Sync::Always).await?;
    publish(&bench, &journal, 5).await?;
    let mut replay = journal.replay(1, None);
    read_to(&mut replay, 10).await?;
    bench.server.kill()?;
    bench.server.restore(&backup)?;
    bench.server.restart(Sync::Always).await?;
    // By then other events are where those were that the reader has seen.
    let other = bench.open().await?;
    publish(&bench, &other, 7).await?;
    let error = eventually("it is seen", async || replay.next_batch(10, NO_WAIT).await.err()).await;
    assert!(matches!(&error, Error::Diverged(reason) if reason.contains("event 10 of the stream")), "{error:?}");
    assert_eq!(journal.publish(&bench.upload(0)).await.unwrap_err().reason(), "journal_diverged");
    Ok(())
}
