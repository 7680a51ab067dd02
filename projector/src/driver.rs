//! Driving the fold: the one place that decodes, loads, applies and saves. `run`, `rebuild` and `verify` all use it.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use catalog::{Checkpoint, Loader, Writer};
use fold::{Changes, Input, Missing, View};
use journal::{Journal, Replay};
use proto::{Event, Recorded};
use tokio_util::sync::CancellationToken;

use crate::config::Projector;
use crate::decode::decode;
use crate::error::{Error, Halt};

/// Events between which whoever saves meanwhile gets a turn: a fold waits for nothing.
const TURN: usize = 64;

/// Folds the journal into one generation, from its checkpoint on.
///
/// What was folded is saved while the next events are read, decoded and folded. A second run over the same events is harmless:
/// the save compares the checkpoint that it was folded from.
#[derive(Debug)]
pub(crate) struct Driver {
    writer: Writer,
    at: Checkpoint,
    ahead: Ahead,
    /// Not saved yet.
    folded: Option<Folded>,
    /// The `Nats-Msg-Id` of the last event that was saved.
    last_message_id: String,
}

/// What goes ahead of the saving.
#[derive(Debug)]
struct Ahead {
    replay: Replay,
    /// Up to where it is read; none: for ever.
    to: Option<u64>,
    limits: Limits,
    /// Up to where everything is folded.
    at: Checkpoint,
    /// What the last events have touched. It has all that is not saved yet.
    view: View,
    /// Read and decoded, not folded yet; each is for one transaction.
    parts: VecDeque<Vec<Entry>>,
    /// Why the event after these cannot be folded.
    halt: Option<Halt>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    events: usize,
    rows: usize,
    view_rows: usize,
}

/// What is saved in one transaction.
#[derive(Debug)]
struct Folded {
    changes: Changes,
    to: Checkpoint,
    events: usize,
    /// The `Nats-Msg-Id` of the last event.
    message_id: String,
    /// The next event is folded only after it is saved, with a new view: because saving it changes rows that are in no view,
    /// or because the view has become too large.
    ends_view: bool,
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
        let &Projector { batch_events: events, batch_rows: rows, view_rows, .. } = settings;
        let limits = Limits { events, rows, view_rows };
        let ahead = Ahead::new(at, (journal.replay(at.n + 1, None), None), limits);
        Self { writer, at, ahead, folded: None, last_message_id: String::new() }
    }

    /// Goes on from where it is up to and with `to`, or for ever.
    pub(crate) fn aim(&mut self, journal: &Journal, to: Option<u64>) {
        self.ahead = Ahead::new(self.at, (journal.replay(self.at.n + 1, to), to), self.ahead.limits);
        self.folded = None;
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
        self.folded.is_some() || !self.ahead.parts.is_empty() || self.ahead.halt.is_some()
    }

    /// The writer of the generation.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Ends the folding and returns the writer.
    pub(crate) fn into_writer(self) -> Writer {
        self.writer
    }

    /// Saves what was folded, and reads and folds on, for at most `max_wait` or until `cancel`; how many events it saved. None
    /// is no end: ask again. After an error it is of no use.
    pub(crate) async fn step(&mut self, max_wait: Duration, cancel: &CancellationToken) -> Result<usize, Error> {
        let folded = match self.folded.take() {
            Some(folded) => folded,
            None => match self.ahead.fold_next(self.writer.loader(), max_wait, cancel).await? {
                Some(folded) => folded,
                None => return Ok(0),
            },
        };
        let (ahead, from) = (&mut self.ahead, self.at);
        let (loader, saving) = self.writer.save_beside(&folded.changes, &from, &folded.to);
        let saving = async { Ok::<_, Error>(saving.await?) };
        // A failed save ends the wait for more events at once; what fails beside it waits until the save has ended.
        if folded.ends_view {
            let reading = async { Ok(ahead.read(max_wait, cancel).await) };
            let (_, read) = tokio::try_join!(saving, reading)?;
            (self.at, self.last_message_id) = (folded.to, folded.message_id);
            read?;
        } else {
            let going_on = async { Ok(ahead.fold_next(loader, max_wait, cancel).await) };
            let (_, next) = tokio::try_join!(saving, going_on)?;
            (self.at, self.last_message_id) = (folded.to, folded.message_id);
            self.folded = next?;
        }
        Ok(folded.events)
    }
}

// === impl Ahead ===

impl Ahead {
    fn new(at: Checkpoint, (replay, to): (Replay, Option<u64>), limits: Limits) -> Self {
        Self { replay, to, limits, at, view: View::default(), parts: VecDeque::new(), halt: None }
    }

    /// Reads until there is something to fold.
    async fn read(&mut self, max_wait: Duration, cancel: &CancellationToken) -> Result<(), Error> {
        if self.parts.is_empty() && self.halt.is_none() {
            // Whoever follows the journal does not wait for more than there is.
            let fills = self.to.is_some();
            let batch = Batch::read(&mut self.replay, self.limits.events, fills, (max_wait, cancel)).await?;
            self.parts = parts(batch.entries, self.limits.rows).into();
            self.halt = batch.halt;
        }
        Ok(())
    }

    /// Folds what one transaction shall save; none when nothing came.
    async fn fold_next(
        &mut self,
        loader: &mut Loader,
        max_wait: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<Folded>, Error> {
        self.read(max_wait, cancel).await?;
        match self.parts.pop_front() {
            Some(part) => Ok(Some(self.fold(loader, &part).await?)),
            None => self.halt.take().map_or(Ok(None), |halt| Err(Error::Halt(halt))),
        }
    }

    async fn fold(&mut self, loader: &mut Loader, part: &[Entry]) -> Result<Folded, Error> {
        let guess = part.iter().filter_map(|entry| entry.event.as_ref()).flat_map(fold::keys);
        let keys = self.view.unknown(guess);
        loader.load(&keys, &mut self.view).await?;
        for (i, entry) in (1..).zip(part) {
            apply(loader, &mut self.view, entry).await?;
            self.at.n = entry.recorded.n;
            self.at.event_id = entry.event.as_ref().map(|event| event.id);
            self.at.chain = entry.recorded.chain(self.at.chain);
            if i % TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        let last = part.last();
        let changes = self.view.take_changes();
        // What was touched lately is mostly touched again, as a blob that was uploaded is copied; but not all can stay.
        let ends_view = last.and_then(|entry| entry.event.as_ref()).is_some_and(fold::ends_batch)
            || self.view.len() > self.limits.view_rows;
        let message_id = last.map(|entry| entry.recorded.message_id.clone()).unwrap_or_default();
        let folded = Folded { changes, to: self.at, events: part.len(), message_id, ends_view };
        if ends_view {
            self.view = View::default();
        }
        Ok(folded)
    }
}

/// Applies one event, loading what it needs until it has all.
async fn apply(loader: &mut Loader, view: &mut View, entry: &Entry) -> Result<(), Error> {
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
        loader.load(&keys, view).await?;
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
    /// At most so many events; none when nothing comes within `max_wait`. `fills`: waits as long for each part of them. What
    /// was read until `cancel` is returned: the journal does not give it again.
    async fn read(
        replay: &mut Replay,
        events: usize,
        fills: bool,
        (max_wait, cancel): (Duration, &CancellationToken),
    ) -> Result<Self, Error> {
        let mut batch = Self::default();
        loop {
            let wanted = events.saturating_sub(batch.entries.len());
            let read = tokio::select! {
                biased;
                () = cancel.cancelled() => Vec::new(),
                read = replay.next_batch(wanted, max_wait) => read.map_err(|error| Error::Journal(error).halting())?,
            };
            let is_last = read.is_empty() || !fills;
            for (i, recorded) in (1..).zip(read) {
                if !batch.push(recorded) {
                    return Ok(batch);
                }
                if i % TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
            if is_last || batch.entries.len() >= events || replay.is_finished() {
                return Ok(batch);
            }
        }
    }

    /// Decodes the next event; false when only a later version knows it: it is the end then.
    fn push(&mut self, recorded: Recorded) -> bool {
        match decode(&recorded) {
            Ok(event) => self.entries.push(Entry { recorded, event }),
            Err(halt) => self.halt = Some(halt),
        }
        self.halt.is_none()
    }
}

#[cfg(test)]
mod tests;
