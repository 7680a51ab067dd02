//! The one loop around deliveries.

use std::sync::Arc;

use futures::FutureExt as _;
use runtime::shutdown::Shutdown;
use runtime::trace;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use crate::error::Error;
use crate::slots::{Slot, Slots};
use crate::work::{Delivery, Ended, Work};

/// Gives deliveries to `handler`, each with a [`Slot`], until the soft step of `shutdown`; then gives back what has not been
/// started, and waits until what has is ended, or until the hard step. A handler that has finished, and only waits before
/// it can end its delivery, drops the slot, so that another delivery can start; one that wants to wait pauses it.
///
/// Before anything is taken, `gate` must let it pass: a breaker that waits until the node may be used. While it waits,
/// nothing is asked of the consumer, and after a moment what was asked for before is given back, so that other processes
/// get it.
///
/// A handler must bear to get the same event again, also while an earlier delivery of it is still worked on somewhere,
/// and events that it cannot decode. While it runs, the server is told that the work goes on. A handler that panics ends
/// the loop with the panic.
pub async fn consume<G, Open, H, Done>(
    mut work: Work,
    slots: Slots,
    gate: G,
    handler: H,
    shutdown: &Shutdown,
) -> Result<(), Error>
where
    G: Fn() -> Open + Send,
    Open: Future<Output = ()> + Send,
    H: Fn(Delivery, Slot) -> Done + Send + Sync + 'static,
    Done: Future<Output = Ended> + Send + 'static,
{
    let handler = Arc::new(handler);
    let slots = slots.at_least_one();
    let places = Places { free: Arc::new(Semaphore::new(slots.started)), unended: slots.unended };
    let mut running = JoinSet::new();
    let taken = loop {
        match step(&mut work, &places, &gate, &mut running, shutdown).await {
            Ok(Some(delivery)) => start(&mut running, delivery, &places.free, Arc::clone(&handler)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    work.release().await;
    drain(&mut running, shutdown).await;
    if let Err(error) = work.flush().await {
        tracing::debug!("the ends of some deliveries may not have been sent, they will come again: {error}");
    }
    taken
}

/// What is left of the [`Slots`].
struct Places {
    free: Arc<Semaphore>,
    unended: usize,
}

/// Waits for a delivery that can start; `None` once the shutdown was asked for.
async fn step<G, Open>(
    work: &mut Work,
    places: &Places,
    gate: &G,
    running: &mut JoinSet<Ended>,
    shutdown: &Shutdown,
) -> Result<Option<Delivery>, Error>
where
    G: Fn() -> Open + Send,
    Open: Future<Output = ()> + Send,
{
    loop {
        while let Some(ended) = running.try_join_next() {
            propagate(ended);
        }
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return Ok(None),
            () = pass(work, gate) => {}
        }
        let room = places.unended.saturating_sub(running.len());
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return Ok(None),
            Some(ended) = running.join_next() => {
                propagate(ended);
                continue;
            }
            // Not kept while waiting for a delivery: a paused one that wants to go on must not wait for that.
            slot = Slot::take(&places.free), if room > 0 => drop(slot),
        }
        let free = places.free.available_permits().min(room);
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return Ok(None),
            Some(ended) = running.join_next() => propagate(ended),
            delivery = work.next(free) => return delivery.map(Some),
        }
    }
}

/// Waits until the gate is open. If that takes a while, what was asked for is given back: not at once, since each time
/// counts as a delivery, and some of it may come again only after `ack_wait`. What comes meanwhile waits in the inbox.
async fn pass<G, Open>(work: &mut Work, gate: &G)
where
    G: Fn() -> Open,
    Open: Future<Output = ()>,
{
    let open = gate();
    tokio::pin!(open);
    if tokio::time::timeout(work.patience(), &mut open).await.is_err() {
        work.release().await;
        open.await;
    }
}

fn start<H, Done>(running: &mut JoinSet<Ended>, delivery: Delivery, free: &Arc<Semaphore>, handler: Arc<H>)
where
    H: Fn(Delivery, Slot) -> Done + Send + Sync + 'static,
    Done: Future<Output = Ended> + Send + 'static,
{
    let recorded = &delivery.recorded;
    let (delivered, trace) = (delivery.delivered, delivery.trace);
    let trace_id = trace.map(|trace| tracing::field::display(trace.id()));
    let span =
        tracing::info_span!("journal.deliver", seq = recorded.n, event.id = recorded.message_id, delivered, trace_id);
    let pulse = delivery.pulse();
    // Taken here, so that the next step counts it, unless a paused delivery was faster.
    let slot = Slot::take(free).now_or_never();
    let free = Arc::clone(free);
    let work = async move {
        let slot = match slot {
            Some(slot) => slot,
            None => Slot::take(&free).await,
        };
        handler(delivery, slot).await
    };
    running.spawn(trace::within(trace, async move { pulse.during(work).await }).instrument(span));
}

/// Lets what was started end; after the hard step it is dropped, and comes again.
async fn drain(running: &mut JoinSet<Ended>, shutdown: &Shutdown) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.hard_cancelled() => return running.shutdown().await,
            ended = running.join_next() => match ended {
                Some(ended) => propagate(ended),
                None => return,
            }
        }
    }
}

fn propagate(ended: Result<Ended, JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}
