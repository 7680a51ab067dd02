//! What waits for a gate is not kept from others, and not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use journal::Delivery;
use tokio::sync::{Semaphore, watch};

use crate::bench::Bench;
use crate::consume::{consuming_behind, publish, settled, small};
use crate::server::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_leaves_everything_to_others() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let gate = Arc::new(Semaphore::new(1));
    let seen = Arc::new(AtomicUsize::new(0));
    let (guard, noted) = (Arc::clone(&gate), Arc::clone(&seen));
    let breaker = Arc::clone(&gate);
    let handler = move |delivery: Delivery| {
        // The node went down: the breaker closes, and the blob is for later.
        guard.try_acquire().unwrap().forget();
        noted.fetch_add(1, Ordering::SeqCst);
        delivery.give_back()
    };
    let opens = move || {
        let breaker = Arc::clone(&breaker);
        async move { drop(breaker.acquire().await) }
    };
    let running = consuming_behind(opens, &journal, 1, handler, &bench.shutdown).await?;
    publish(&bench, &journal, 3).await?;
    eventually("one is tried", async || (seen.load(Ordering::SeqCst) == 1).then_some(())).await;
    let mut others = journal.work(&small(), &bench.shutdown).await?;
    for _ in 0..3 {
        others.next(1).await?.ack().await;
    }
    settled(&journal).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_shuts_and_opens_loses_no_delivery() -> Result<()> {
    const EVENTS: u64 = 600;
    let mut bench = Bench::empty().await?;
    // What is lost does not come again while this runs.
    bench.config.ack_wait = Duration::from_hours(1);
    bench.init().await?;
    let journal = bench.open().await?;
    let (open, gate) = watch::channel(true);
    let opens = move || {
        let mut gate = gate.clone();
        async move { drop(gate.wait_for(|is_open| *is_open).await) }
    };
    let handler = |delivery: Delivery| delivery.ack();
    let running = consuming_behind(opens, &journal, 16, handler, &bench.shutdown).await?;
    let flap = async {
        loop {
            tokio::time::sleep(Duration::from_millis(70)).await;
            open.send_modify(|is_open| *is_open = !*is_open);
        }
    };
    let work = async {
        for _ in 0..EVENTS / 20 {
            publish(&bench, &journal, 20).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        published = work => published?,
        () = flap => {}
    }
    open.send_replace(true);
    settled(&journal).await;
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}
