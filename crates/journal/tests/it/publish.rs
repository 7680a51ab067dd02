//! Publishing: one place for an id, batches, and what the server refuses.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use futures::future::{join_all, maybe_done, try_join_all};
use journal::{Config, Journal, PublishError, Published};
use proto::Event;
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;

use crate::bench::{Bench, everything};
use crate::server::{Server, Sync, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_one_place() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let (a, b) = (bench.upload(1), bench.upload(2));
    assert_eq!(journal.publish(&a).await?, Published { n: 1, duplicate: false });
    assert_eq!(journal.publish(&b).await?, Published { n: 2, duplicate: false });
    assert_eq!(journal.publish(&a).await?, Published { n: 1, duplicate: true });
    let read = journal.read(2).await?.unwrap();
    assert_eq!(read.decode()?, b);
    assert_eq!((read.subject.as_str(), read.message_id), ("hw.v1.file_uploaded", b.id.to_string()));
    assert_eq!(journal.read(3).await?, None);
    assert_eq!(journal.head().await?.n, 2);
    Ok(())
}

/// How many of the first `count` messages were stored by a batch.
pub(crate) async fn batched(bench: &Bench, count: u64) -> Result<usize> {
    let stream = bench.jetstream().await?.get_stream_no_info(&bench.config.stream).await?;
    let mut batched = 0;
    for n in 1..=count {
        let message = stream.get_raw_message(n).await?;
        batched += usize::from(message.headers.get("Nats-Batch-Id").is_some());
    }
    Ok(batched)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_events_go_in_batches_and_each_learns_its_own_place() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let events: Vec<Event> = (0..550).map(|n| bench.upload(n)).collect();
    let published = try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    let all = everything(&journal).await?;
    assert_eq!(all.len(), events.len());
    for (event, published) in events.iter().zip(&published) {
        assert!(!published.duplicate);
        assert!(all.contains(&(published.n, event.id.to_string())));
    }
    let batched = batched(&bench, 550).await?;
    assert!(batched > 500, "{batched} of 550 events went in batches");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_among_concurrent_events_are_stored_once() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let known = bench.upload(0);
    journal.publish(&known).await?;
    // An id that the stream knows already, and each new one three times, all at once and in one group with each other.
    let mut events: Vec<Event> = (0..30).map(|n| bench.upload(n)).flat_map(|event| vec![event; 3]).collect();
    events.insert(45, known.clone());
    let published = try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    let all = everything(&journal).await?;
    assert_eq!(all.len(), 31);
    assert_eq!(all.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 31);
    for (event, published) in events.iter().zip(&published) {
        assert_eq!(all[usize::try_from(published.n)? - 1].1, event.id.to_string());
    }
    assert_eq!(published.iter().filter(|published| !published.duplicate).count(), 30);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_does_not_take_its_batch_with_it() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let mut events: Vec<Event> = (0..20).map(|n| bench.upload(n)).collect();
    events.insert(10, bench.stored(2000));
    let published = join_all(events.iter().map(|event| journal.publish(event))).await;
    for (index, outcome) in published.iter().enumerate() {
        match outcome {
            Err(PublishError::Rejected { reason }) if index == 10 => {
                assert!(reason.contains("message size"), "{reason}");
            }
            outcome => assert!(outcome.is_ok() && index != 10, "{index}: {outcome:?}"),
        }
    }
    assert_eq!(journal.head().await?.n, 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_for_the_server_goes_one_by_one() -> Result<()> {
    let bench = Bench::on(Server::start_with(Sync::AlwaysSmallBatches).await?);
    bench.init().await?;
    let journal = bench.open().await?;
    let events: Vec<Event> = (0..120).map(|n| bench.upload(n)).collect();
    let published = try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    assert!(published.iter().all(|published| !published.duplicate));
    assert_eq!(everything(&journal).await?.len(), 120);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_says_so_and_keeps_what_it_has() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.max_bytes = 1 << 20;
    bench.init().await?;
    let journal = bench.open().await?;
    let events: Vec<Event> = (0..60).map(|_| bench.stored(400)).collect();
    let published = join_all(events.iter().map(|event| journal.publish(event))).await;
    let stored = published.iter().filter(|outcome| outcome.is_ok()).count();
    let full = published.iter().filter(|outcome| matches!(outcome, Err(PublishError::Full { .. }))).count();
    assert!(stored > 0 && full > 0 && stored + full == 60, "{stored} stored, {full} refused");
    assert_eq!(everything(&journal).await?.len(), stored);
    assert!(journal.head().await?.fullness() > 0.9);
    let error = journal.publish(&events[59]).await.unwrap_err();
    assert_eq!(error.reason(), "journal_full");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_outcome_is_unknown_and_a_server_that_returns_in_time_is_used() -> Result<()> {
    let mut bench = Bench::start().await?;
    let patient = bench.open().await?;
    let (shutdown, config) =
        (Shutdown::new(), Config { publish_max_elapsed: Duration::from_secs(2), ..bench.config.clone() });
    let hasty = Journal::open(&config, &shutdown, &Tasks::new(shutdown.clone())).await?;
    patient.publish(&bench.upload(0)).await?;
    bench.server.kill()?;
    let (early, late) = (bench.upload(1), bench.upload(2));
    let waiting = patient.publish(&late);
    tokio::pin!(waiting);
    let gave_up = tokio::select! {
        biased;
        done = &mut waiting => panic!("published without a server: {done:?}"),
        outcome = hasty.publish(&early) => outcome,
    };
    assert_eq!(gave_up.unwrap_err().reason(), "journal_unavailable");
    bench.server.restart(Sync::Always).await?;
    assert_eq!(waiting.await?.n, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_publish_leaves_no_half_of_it() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let events: Vec<Event> = (0..200).map(|n| bench.upload(n)).collect();
    let mut kept = Vec::new();
    for (index, event) in events.iter().enumerate() {
        // `maybe_done`, since the answer may be there at the first poll already when this thread is held up within it.
        let mut publishing = Box::pin(maybe_done(journal.publish(event)));
        let _begun = futures::poll!(&mut publishing);
        if index % 2 == 0 {
            kept.push((event, publishing));
        }
    }
    for (event, mut publishing) in kept {
        publishing.as_mut().await;
        let published = publishing.as_mut().take_output().unwrap()?;
        assert_eq!(journal.read(published.n).await?.unwrap().message_id, event.id.to_string());
    }
    // Those whose callers are gone are there once or not at all, and asking for them again says so.
    let published = try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    assert_eq!(published.iter().map(|published| published.n).collect::<HashSet<_>>().len(), 200);
    assert_eq!(everything(&journal).await?.len(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_waits_for_the_stream_and_a_shutdown_ends_the_wait() -> Result<()> {
    let bench = Bench::on(Server::start().await?);
    let opening = bench.open();
    tokio::pin!(opening);
    assert!(futures::poll!(&mut opening).is_pending());
    let (opened, made) = futures::future::join(opening, bench.init()).await;
    assert_eq!(opened?.identity(), made?.identity);

    let empty = Bench::empty().await?;
    let opening = empty.open();
    tokio::pin!(opening);
    assert!(futures::poll!(&mut opening).is_pending());
    empty.shutdown.trigger_soft();
    assert_eq!(opening.await.unwrap_err().to_string(), "gave up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_end_with_the_last_clone() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let clone = journal.clone();
    drop(journal);
    clone.publish(&bench.upload(0)).await?;
    assert_eq!(bench.tasks.running().len(), 2);
    drop(clone);
    let tasks = bench.tasks.clone();
    eventually("the journal's tasks end", async || tasks.running().is_empty().then_some(())).await;
    assert!(bench.tasks.died().is_empty());
    Ok(())
}
