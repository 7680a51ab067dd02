//! Deliveries: only what can start, ended once, drained at the end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use journal::{ConsumerName, Delivery, Ended, Error, Journal, Lag, Lane, Slot, Slots, consume, consumer_name};
use proto::Event;
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bench::{Bench, node};
use crate::server::{Sync, eventually};

pub(crate) fn small() -> ConsumerName {
    consumer_name(&node(), Lane::Small)
}

pub(crate) async fn publish(bench: &Bench, journal: &Journal, count: u64) -> Result<()> {
    let events: Vec<Event> = (0..count).map(|n| bench.upload(n)).collect();
    try_join_all(events.iter().map(|event| journal.publish(event))).await?;
    Ok(())
}

/// A handler that keeps its slot until the end.
fn keeping<H, Done>(handler: H) -> impl Fn(Delivery, Slot) -> Pin<Box<dyn Future<Output = Ended> + Send>>
where
    H: Fn(Delivery) -> Done,
    Done: Future<Output = Ended> + Send + 'static,
{
    move |delivery, slot| {
        let work = handler(delivery);
        Box::pin(async move {
            let ended = work.await;
            drop(slot);
            ended
        })
    }
}

/// Runs the loop in the background with an open gate.
pub(crate) async fn consuming<H, Done>(
    journal: &Journal,
    concurrency: usize,
    handler: H,
    shutdown: &Shutdown,
) -> Result<JoinHandle<Result<(), Error>>>
where
    H: Fn(Delivery) -> Done + Send + std::marker::Sync + 'static,
    Done: Future<Output = Ended> + Send + 'static,
{
    consuming_behind(|| std::future::ready(()), journal, concurrency, handler, shutdown).await
}

/// The same behind a gate.
pub(crate) async fn consuming_behind<G, Open, H, Done>(
    gate: G,
    journal: &Journal,
    concurrency: usize,
    handler: H,
    shutdown: &Shutdown,
) -> Result<JoinHandle<Result<(), Error>>>
where
    G: Fn() -> Open + Send + std::marker::Sync + 'static,
    Open: Future<Output = ()> + Send + 'static,
    H: Fn(Delivery) -> Done + Send + std::marker::Sync + 'static,
    Done: Future<Output = Ended> + Send + 'static,
{
    let (work, shutdown) = (journal.work(&small(), shutdown).await?, shutdown.clone());
    let slots = Slots::until_ended(concurrency);
    let run = async move { consume(work, slots, gate, keeping(handler), &shutdown).await };
    Ok(tokio::runtime::Handle::current().spawn(run))
}

pub(crate) async fn settled(journal: &Journal) {
    let probe = async || {
        let lag = journal.lag(&small()).await.ok()?;
        (lag.waiting == 0 && lag.unacknowledged == 0).then_some(())
    };
    eventually("nothing is waiting or unacknowledged", probe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_lane_is_delivered_once() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let handler = move |delivery: Delivery| {
        note.lock().unwrap().push((delivery.recorded.n, delivery.delivered));
        delivery.ack()
    };
    let running = consuming(&journal, 8, handler, &bench.shutdown).await?;
    journal.publish(&bench.stored(1)).await?;
    publish(&bench, &journal, 50).await?;
    journal.publish(&bench.upload(proto::LARGE_BLOB_BYTES)).await?;
    journal.publish(&bench.order()).await?;
    eventually("all are seen", async || (seen.lock().unwrap().len() >= 51).then_some(())).await;
    settled(&journal).await;
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, (2..=51).chain([53]).map(|n| (n, 1)).collect::<Vec<_>>());
    assert_eq!(journal.lag(&consumer_name(&node(), Lane::Large)).await?.waiting, 1);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_taken_than_can_start() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 20).await?;
    let (slots, most, now) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&slots));
    let handler = move |delivery: Delivery| {
        let (inside, peak, gate) = (Arc::clone(&inside), Arc::clone(&peak), Arc::clone(&gate));
        async move {
            peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            inside.fetch_sub(1, Ordering::SeqCst);
            delivery.ack().await
        }
    };
    let running = consuming(&journal, 3, handler, &bench.shutdown).await?;
    eventually("three are at work", async || (now.load(Ordering::SeqCst) == 3).then_some(())).await;
    let lag = journal.lag(&small()).await?;
    assert_eq!((lag.waiting, lag.unacknowledged), (17, 3));
    slots.add_permits(20);
    settled(&journal).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

/// With one slot: what is finished and waits to be ended makes room, up to the second bound; what is paused goes on
/// although nothing else is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn slots_are_given_up_before_the_end_and_taken_again() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let (ends, seen) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate, noted) = (Arc::clone(&ends), Arc::clone(&seen));
    let handler = move |delivery: Delivery, slot: Slot| {
        let (gate, noted) = (Arc::clone(&gate), Arc::clone(&noted));
        async move {
            noted.fetch_add(1, Ordering::SeqCst);
            let paused = slot.pause();
            gate.acquire().await.unwrap().forget();
            drop(paused.resume().await);
            delivery.ack().await
        }
    };
    let (work, shutdown) = (journal.work(&small(), &bench.shutdown).await?, bench.shutdown.clone());
    let (slots, open) = (Slots { started: 1, unended: 3 }, || std::future::ready(()));
    let run = async move { consume(work, slots, open, handler, &shutdown).await };
    let running = tokio::runtime::Handle::current().spawn(run);
    publish(&bench, &journal, 5).await?;
    eventually("three are held", async || (seen.load(Ordering::SeqCst) == 3).then_some(())).await;
    assert_eq!(journal.lag(&small()).await?, Lag { waiting: 2, unacknowledged: 3 });
    ends.add_permits(5);
    settled(&journal).await;
    assert_eq!(seen.load(Ordering::SeqCst), 5);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_takes_longer_than_ack_wait_is_not_delivered_again() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.ack_wait = Duration::from_secs(1);
    bench.init().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 1).await?;
    let (calls, slots) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (called, gate) = (Arc::clone(&calls), Arc::clone(&slots));
    let handler = move |delivery: Delivery| {
        called.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            delivery.ack().await
        }
    };
    let running = consuming(&journal, 4, handler, &bench.shutdown).await?;
    let started = Instant::now();
    let long = bench.config.ack_wait * 3;
    eventually("it takes long", async || (started.elapsed() > long).then_some(())).await;
    slots.add_permits(1);
    settled(&journal).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_ends_and_what_is_put_off_comes_again() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.ack_wait = Duration::from_secs(1);
    bench.init().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 1).await?;
    let mut work = journal.work(&small(), &bench.shutdown).await?;
    let first = work.next(1).await?;
    assert_eq!((first.recorded.n, first.delivered), (1, 1));
    drop(first);
    let second = work.next(1).await?;
    assert_eq!((second.recorded.n, second.delivered), (1, 2));
    let (put_off, delay) = (Instant::now(), Duration::from_millis(300));
    second.retry_after(delay).await;
    let third = work.next(1).await?;
    assert!(put_off.elapsed() >= delay);
    assert_eq!(third.delivered, 3);
    third.give_back().await;
    let fourth = work.next(1).await?;
    assert_eq!(fourth.delivered, 4);
    fourth.ack().await;
    settled(&journal).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_backoff_leaves_room_for_others_whoever_put_it_off() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.max_ack_pending = 16;
    bench.init().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 32).await?;
    let (mut first, mut second) =
        (journal.work(&small(), &bench.shutdown).await?, journal.work(&small(), &bench.shutdown).await?);
    let (put_off, delay) = (Instant::now(), Duration::from_secs(8));
    for work in [&mut first, &mut second] {
        for _ in 0..6 {
            work.next(1).await?.retry_after(delay).await;
        }
    }
    // Together they have put off three quarters.
    let due = put_off + delay;
    tokio::try_join!(takes_nothing_before(&mut first, due), takes_nothing_before(&mut second, due))?;
    Ok(())
}

/// It may have been told a second before that there is room, and takes some until it asks again; and then it waits.
async fn takes_nothing_before(work: &mut journal::Work, due: Instant) -> Result<()> {
    let asks_again = Instant::now() + Duration::from_secs(3);
    let mut too_early = 0;
    loop {
        let next = work.next(1).await?;
        let now = Instant::now();
        if now >= due {
            next.ack().await;
            return Ok(());
        }
        // Who cannot be asked in time has room for one.
        too_early += u32::from(now > asks_again);
        assert!(too_early <= 1, "too much is put off, and more was taken");
        next.give_back().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_shutdown_ends_what_was_started_and_gives_back_the_rest() -> Result<()> {
    let mut bench = Bench::empty().await?;
    bench.config.ack_wait = Duration::from_mins(1);
    bench.init().await?;
    let journal = bench.open().await?;
    let (at_work, slots) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (inside, gate) = (Arc::clone(&at_work), Arc::clone(&slots));
    let handler = move |delivery: Delivery| {
        inside.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            delivery.ack().await
        }
    };
    let running = consuming(&journal, 4, handler, &bench.shutdown).await?;
    publish(&bench, &journal, 2).await?;
    eventually("two are at work", async || (at_work.load(Ordering::SeqCst) == 2).then_some(())).await;
    bench.shutdown.trigger_soft();
    // What comes now is for others, at once and not after ack_wait.
    let other = Shutdown::new();
    let mut others = journal.work(&small(), &other).await?;
    publish(&bench, &journal, 4).await?;
    for _ in 0..4 {
        others.next(1).await?.ack().await;
    }
    assert!(!running.is_finished());
    slots.add_permits(2);
    running.await??;
    assert_eq!(at_work.load(Ordering::SeqCst), 2);
    settled(&journal).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_shutdown_lets_go() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    publish(&bench, &journal, 1).await?;
    let started = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&started);
    let handler = move |delivery: Delivery| {
        begun.store(true, Ordering::SeqCst);
        async move {
            std::future::pending::<()>().await;
            delivery.ack().await
        }
    };
    let shutdown = bench.shutdown.child();
    let running = consuming(&journal, 1, handler, &shutdown).await?;
    eventually("it is at work", async || started.load(Ordering::SeqCst).then_some(())).await;
    shutdown.trigger_hard();
    running.await??;
    let again = journal.work(&small(), &bench.shutdown).await?.next(1).await?;
    assert_eq!(again.delivered, 2);
    again.ack().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_cannot_be_decoded_reach_the_handler() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    bench.jetstream().await?.publish("hw.v1.file_uploaded", "nonsense".into()).await?.await?;
    let delivery = journal.work(&small(), &bench.shutdown).await?.next(1).await?;
    assert!(delivery.recorded.decode().is_err());
    assert_eq!((delivery.recorded.n, delivery.recorded.message_id.as_str()), (1, ""));
    delivery.ack().await;
    settled(&journal).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_a_restart_and_after_its_consumer_was_made_again() -> Result<()> {
    let mut bench = Bench::start().await?;
    let journal = bench.open().await?;
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let note = Arc::clone(&seen);
    let handler = move |delivery: Delivery| {
        note.lock().unwrap().insert(delivery.recorded.n);
        delivery.ack()
    };
    let running = consuming(&journal, 8, handler, &bench.shutdown).await?;
    publish(&bench, &journal, 20).await?;
    bench.server.kill()?;
    bench.server.restart(Sync::Always).await?;
    publish(&bench, &journal, 20).await?;
    eventually("all are seen", async || (seen.lock().unwrap().len() == 40).then_some(())).await;
    settled(&journal).await;
    let stream = bench.jetstream().await?.get_stream(&bench.config.stream).await?;
    stream.delete_consumer(small().as_str()).await?;
    bench.init().await?;
    publish(&bench, &journal, 1).await?;
    eventually("the new one is seen", async || seen.lock().unwrap().contains(&41).then_some(())).await;
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn working_waits_for_its_consumer() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let stream = bench.jetstream().await?.get_stream(&bench.config.stream).await?;
    stream.delete_consumer(small().as_str()).await?;
    let name = small();
    let opening = journal.work(&name, &bench.shutdown);
    tokio::pin!(opening);
    assert!(futures::poll!(&mut opening).is_pending());
    let (opened, made) = futures::future::join(opening, bench.init()).await;
    made?;
    assert_eq!(opened?.consumer(), &name);
    Ok(())
}
