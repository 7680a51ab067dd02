//! `projector fold`: a slice of the journal folded in memory, without any server.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use catalog::{Checkpoint, Digest, Outcome, offline};
use fold::rows::EventRow;
use fold::{Input, Missing, Store};
use proto::{Recorded, SliceReader};
use runtime::program::Process;

use crate::cli;
use crate::decode::decode;
use crate::error::{Error, Halt};

/// After so many events it looks whether it shall stop.
const LOOK_EVERY: u64 = 1000;

/// What a slice folds to.
#[derive(Debug)]
pub(crate) struct Folded {
    /// The first event of the slice.
    pub(crate) from: u64,
    /// All rows.
    pub(crate) store: Store,
    /// Up to where it was folded.
    pub(crate) at: Checkpoint,
    /// The digest of all rows.
    pub(crate) digest: Digest,
}

/// Folds the file that `flags` name.
pub(crate) fn run(process: &Process, flags: &cli::Fold) -> Result<Folded, Error> {
    if flags.from == Path::new("-") {
        return fold(process, SliceReader::begin(std::io::stdin().lock())?);
    }
    let file = File::open(&flags.from).map_err(|error| Error::Refused {
        reason: "cannot_read",
        message: format!("cannot read {}: {error}", flags.from.display()),
    })?;
    fold(process, SliceReader::begin(BufReader::new(file))?)
}

fn fold<R: BufRead>(process: &Process, mut slice: SliceReader<R>) -> Result<Folded, Error> {
    let from = slice.next_n();
    let mut at = Checkpoint { n: from - 1, ..Checkpoint::start(slice.incarnation()) };
    if from > 1 {
        tracing::warn!(
            seq = from,
            "the slice begins with event {from}: it is folded as if nothing had been before, so what is decided may differ"
        );
    }
    let mut store = Store::default();
    while let Some(recorded) = slice.next_event()? {
        if recorded.n.is_multiple_of(LOOK_EVERY) {
            process.shutdown.check()?;
        }
        step(&mut store, &mut at, &recorded)?;
    }
    let digest = offline::digest(&store, &at);
    Ok(Folded { from, store, at, digest })
}

fn step(store: &mut Store, at: &mut Checkpoint, recorded: &Recorded) -> Result<(), Error> {
    let n = recorded.n;
    let event = decode(recorded).map_err(Error::Halt)?;
    let input = event.as_ref().map_or(Input::Undecodable, Input::Event);
    if let Err(Missing(keys)) = store.fold(recorded, input) {
        return Err(Error::Halt(Halt::Stuck { n, keys: format!("{keys:?}") }));
    }
    *at = Checkpoint {
        incarnation: at.incarnation,
        n,
        event_id: event.map(|event| event.id),
        chain: recorded.chain(at.chain),
    };
    Ok(())
}

// === impl Folded ===

impl Folded {
    /// How many events had this outcome.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.store.events.iter().filter(|row| row.outcome == outcome).count()
    }

    /// What became of each event.
    pub(crate) fn events(&self) -> &[EventRow] {
        &self.store.events
    }
}
