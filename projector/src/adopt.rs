//! Taking over the catalog of an earlier life of the journal, which was restored since.

use catalog::{Checkpoint, Writer};
use fold::Changes;
use journal::Journal;
use proto::Sha256Digest;
use runtime::program::Process;

use crate::config::Projector;
use crate::error::{Error, Halt};
use crate::identity;
use crate::progress::Progress;

/// Makes the catalog one of this life of the journal, if what it was folded from is what the journal has up to there, event by
/// event; gives the checkpoint that it has from now on. One of this life is left as it is, and so is one that the journal does
/// not lead to: [`identity::check`] refuses that.
pub(crate) async fn adopt(
    journal: &Journal,
    writer: &mut Writer,
    at: Checkpoint,
    settings: &Projector,
    process: &Process,
) -> Result<Checkpoint, Error> {
    let Some(here) = journal.current(at.sequence()).filter(|here| here.incarnation != at.incarnation) else {
        return Ok(at);
    };
    if let Some(halt) = identity::compare(journal, &at).await? {
        return Err(Error::Halt(halt));
    }
    let (n, old, new) = (at.n, at.incarnation.uuid().simple(), here.incarnation.uuid().simple());
    tracing::info!(seq = n, "the journal {old} was restored as {new}: comparing the events 1 to {n} with the catalog");
    if chain(journal, n, settings, process).await? != at.chain {
        return Err(Error::Halt(Halt::OtherHistory { n }));
    }
    let adopted = Checkpoint { incarnation: here.incarnation, ..at };
    writer.save(&Changes::default(), &at, &adopted).await?;
    tracing::info!(seq = n, "{} goes on as the catalog of the journal {new}", writer.generation());
    Ok(adopted)
}

/// The chain digest of the journal's events up to and with event `to`.
async fn chain(journal: &Journal, to: u64, settings: &Projector, process: &Process) -> Result<Sha256Digest, Error> {
    let (batch, wait) = (settings.batch_events, settings.idle_interval);
    let mut chain = Sha256Digest::new([0; 32]);
    let mut replay = journal.replay(1, Some(to));
    let mut progress = Progress::new("compared", 0, settings.progress_interval);
    while !replay.is_finished() {
        process.shutdown.check()?;
        for event in replay.next_batch(batch, wait).await? {
            chain = event.chain(chain);
            progress.at(event.n, to);
        }
    }
    progress.end();
    Ok(chain)
}
