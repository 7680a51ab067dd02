//! Driving the fold: the one place that decodes, loads, applies and saves. `run`, `rebuild` and `verify` all use it.

use std::mem;
use std::time::Duration;

use catalog::{Checkpoint, Writer};
use fold::{Input, Missing, View};
use journal::{Journal, Replay};
use proto::{Event, Recorded};
use tokio_util::sync::CancellationToken;

use crate::config::Projector;
use crate::decode::decode;
use crate::error::{Error, Halt};

/// Folds the journal into one generation, from its checkpoint on.
///
/// A batch is folded and saved while the next one is read and decoded. A second run over the same events is harmless: the
/// save compares the checkpoint that it was folded from.
#[derive(Debug)]
pub(crate) struct Driver {
    writer: Writer,
    at: Checkpoint,
    replay: Replay,
    limits: Limits,
    /// Read and decoded, not folded yet.
    ready: Batch,
    /// The `Nats-Msg-Id` of the last event that was saved.
    last_message_id: String,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    events: usize,
    rows: usize,
}

/// Events in the order of the journal, decoded; and why the one after them cannot be.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    halt: Option<Halt>,
}

/// What stands at one sequence.
#[derive(Debug)]
struct Entry {
    recorded: Recorded,
    /// None: no version can decode it.
    event: Option<Event>,
}

// === impl Driver ===

impl Driver {
    /// Goes on after `at`, the checkpoint of `writer`'s generation, for ever.
    pub(crate) fn new(writer: Writer, at: Checkpoint, journal: &Journal, settings: &Projector) -> Self {
        let limits = Limits { events: settings.batch_events, rows: settings.batch_rows };
        let replay = journal.replay(at.n + 1, None);
        Self { writer, at, replay, limits, ready: Batch::default(), last_message_id: String::new() }
    }

    /// Goes on from where it is up to and with `to`, or for ever.
    pub(crate) fn aim(&mut self, journal: &Journal, to: Option<u64>) {
        self.replay = journal.replay(self.at.n + 1, to);
        self.ready = Batch::default();
    }

    /// Up to where everything is saved.
    pub(crate) const fn at(&self) -> Checkpoint {
        self.at
    }

    /// The `Nats-Msg-Id` of the last event that this driver saved.
    pub(crate) fn last_message_id(&self) -> &str {
        &self.last_message_id
    }

    /// Whether events are read already that are not saved yet.
    pub(crate) fn is_behind(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The writer of the generation.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Ends the folding and returns the writer.
    pub(crate) fn into_writer(self) -> Writer {
        self.writer
    }

    /// Folds and saves what was read, and reads on, for at most `max_wait` or until `cancel`; how many events it saved. None
    /// is no end: ask again.
    pub(crate) async fn step(&mut self, max_wait: Duration, cancel: &CancellationToken) -> Result<usize, Error> {
        if self.ready.is_empty() {
            self.ready = Batch::read(&mut self.replay, self.limits, max_wait, cancel).await?;
        }
        let mut batch = mem::take(&mut self.ready);
        if batch.entries.is_empty() {
            return batch.halt.map_or(Ok(0), |halt| Err(Error::Halt(halt)));
        }
        // What comes before an event that halts is folded first; then there is nothing more to read.
        let halt = batch.halt.take();
        let (saved, message_id) = (batch.entries.len(), batch.last_message_id());
        let folded = fold(&mut self.writer, &mut self.at, self.limits, batch.entries);
        if let Some(halt) = halt {
            folded.await?;
            self.ready.halt = Some(halt);
        } else {
            // A failed save ends the wait for the next batch at once; a failed reading waits until the save has ended.
            let read = async { Ok::<_, Error>(Batch::read(&mut self.replay, self.limits, max_wait, cancel).await) };
            let ((), next) = tokio::try_join!(folded, read)?;
            self.ready = next?;
        }
        self.last_message_id = message_id;
        Ok(saved)
    }
}

/// Folds and saves, in as many transactions as the limits and the events ask for.
async fn fold(writer: &mut Writer, at: &mut Checkpoint, limits: Limits, entries: Vec<Entry>) -> Result<(), Error> {
    for part in parts(entries, limits.rows) {
        let mut view = View::default();
        let guess = part.iter().filter_map(|entry| entry.event.as_ref()).flat_map(fold::keys);
        let keys = view.unknown(guess);
        writer.load(&keys, &mut view).await?;
        let mut to = *at;
        for entry in &part {
            apply(writer, &mut view, entry).await?;
            to.n = entry.recorded.n;
            to.event_id = entry.event.as_ref().map(|event| event.id);
            to.chain = entry.recorded.chain(to.chain);
        }
        writer.save(&view.take_changes(), at, &to).await?;
        *at = to;
    }
    Ok(())
}

/// Applies one event, loading what it needs until it has all.
async fn apply(writer: &mut Writer, view: &mut View, entry: &Entry) -> Result<(), Error> {
    let input = entry.event.as_ref().map_or(Input::Undecodable, Input::Event);
    loop {
        let missing = match fold::apply(view, &entry.recorded, input) {
            Ok(outcome) => {
                tracing::trace!(seq = entry.recorded.n, "event {}: {outcome}", entry.recorded.n);
                return Ok(());
            }
            Err(Missing(keys)) => keys,
        };
        let keys = view.unknown(missing.clone());
        if keys.is_empty() {
            return Err(Error::Halt(Halt::Stuck { n: entry.recorded.n, keys: format!("{missing:?}") }));
        }
        writer.load(&keys, view).await?;
    }
}

/// Cuts a batch where a transaction must end: after an event that changes more rows than a view can hold, and before so
/// many rows are touched that they would take too much memory.
fn parts(entries: Vec<Entry>, max_rows: usize) -> Vec<Vec<Entry>> {
    let (mut parts, mut part, mut rows) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let own = entry.event.as_ref().map_or(1, |event| fold::keys(event).len());
        if rows > 0 && rows + own > max_rows {
            parts.push(mem::take(&mut part));
            rows = 0;
        }
        let ends = entry.event.as_ref().is_some_and(fold::ends_batch);
        rows += own;
        part.push(entry);
        if ends {
            parts.push(mem::take(&mut part));
            rows = 0;
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

// === impl Batch ===

impl Batch {
    async fn read(
        replay: &mut Replay,
        limits: Limits,
        max_wait: Duration,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(Self::default()),
            read = replay.next_batch(limits.events, max_wait) => match read {
                Ok(recorded) => Ok(Self::decode(recorded)),
                Err(error) => Err(Error::Journal(error).halting()),
            }
        }
    }

    /// Decodes up to the first event that only a later version knows.
    fn decode(recorded: Vec<Recorded>) -> Self {
        let mut batch = Self { entries: Vec::with_capacity(recorded.len()), halt: None };
        for recorded in recorded {
            match decode(&recorded) {
                Ok(event) => batch.entries.push(Entry { recorded, event }),
                Err(halt) => {
                    batch.halt = Some(halt);
                    break;
                }
            }
        }
        batch
    }

    fn last_message_id(&self) -> String {
        self.entries.last().map(|entry| entry.recorded.message_id.clone()).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.halt.is_none()
    }
}

#[cfg(test)]
mod tests;
