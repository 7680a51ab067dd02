//! The trace of a request, from who publishes to who works on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use futures::future::try_join_all;
use journal::Delivery;
use runtime::trace::{self, Trace};

use crate::bench::Bench;
use crate::consume::{consuming, settled};
use crate::publish::batched;

#[tokio::test(flavor = "multi_thread")]
async fn who_works_on_an_event_goes_on_with_the_trace_it_was_published_in() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let trace = Trace::begin(&bench.ids);
    let events: Vec<_> = (0..20).map(|n| bench.upload(n)).collect();
    let published = trace::within(Some(trace), try_join_all(events.iter().map(|event| journal.publish(event)))).await?;
    assert!(batched(&bench, 20).await? > 0, "none went in a batch");
    let without = journal.publish(&bench.upload(21)).await?.n;
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let note = Arc::clone(&seen);
    let handler = move |delivery: Delivery| {
        note.lock().unwrap().insert(delivery.recorded.n, trace::current());
        delivery.ack()
    };
    let running = consuming(&journal, 4, handler, &bench.shutdown).await?;
    settled(&journal).await;
    let expected = published.iter().map(|published| (published.n, Some(trace))).chain([(without, None)]).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    bench.shutdown.trigger_soft();
    running.await??;
    Ok(())
}
