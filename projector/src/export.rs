//! `projector export`: a slice of the journal as a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use journal::Journal;
use proto::{Sequence, SliceWriter};
use runtime::program::Process;

use crate::builds::open_journal;
use crate::cli;
use crate::config::Config;
use crate::error::Error;
use crate::progress::Progress;

/// A position as it is given on the command line: a whole sequence, or its number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Of this journal, whichever it is.
    Number(u64),
    /// Of one life of the journal.
    Sequence(Sequence),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exported {
    /// The first event of the slice.
    pub(crate) from: u64,
    /// Its last one; `from - 1` when it is empty.
    pub(crate) to: u64,
}

/// Writes the events that `flags` ask for. A file appears under its name only when it is whole.
pub(crate) async fn run(config: &Config, process: &Process, flags: &cli::Export) -> Result<Exported, Error> {
    let journal = open_journal(config, process).await?;
    let head = journal.head().await?.n;
    let from = flags.from.map(|at| at.number(&journal)).transpose()?.unwrap_or(1).max(1);
    let to = flags.to.map(|at| at.number(&journal)).transpose()?.unwrap_or(head);
    if to > head || from > to + 1 {
        let message = format!("the journal has the events 1 to {head}; those from {from} to {to} cannot be exported");
        return Err(Error::Refused { reason: "no_such_events", message });
    }
    let range = Exported { from, to };
    match &flags.out {
        None => {
            copy(config, process, &journal, range, std::io::stdout()).await?;
        }
        Some(path) => {
            let partial = partial_path(path);
            let file = File::create(&partial).map_err(|error| cannot_write(&partial, &error))?;
            let written = copy(config, process, &journal, range, file).await.and_then(|file| {
                let placed = file.sync_all().and_then(|()| std::fs::rename(&partial, path));
                placed.map_err(|error| cannot_write(path, &error))
            });
            if let Err(error) = written {
                // What went wrong before is more important than a file that stays behind.
                std::fs::remove_file(&partial).ok();
                return Err(error);
            }
        }
    }
    Ok(range)
}

async fn copy<W: Write>(
    config: &Config,
    process: &Process,
    journal: &Journal,
    Exported { from, to }: Exported,
    out: W,
) -> Result<W, Error> {
    let settings = &config.projector;
    let failed = |error: std::io::Error| cannot_write(Path::new("the slice"), &error);
    let mut writer =
        SliceWriter::begin(BufWriter::new(out), journal.identity().incarnation, from, None).map_err(failed)?;
    let mut replay = journal.replay(from, Some(to));
    let mut progress = Progress::new("exported", from - 1, settings.progress_interval);
    while !replay.is_finished() {
        process.shutdown.check()?;
        let batch = replay.next_batch(settings.batch_events, settings.tool_patience).await;
        let batch = batch.map_err(|error| Error::Journal(error).halting())?;
        if batch.is_empty() && !replay.is_finished() {
            let what = format!("read the journal up to event {to}");
            let reason = format!("event {} did not come", replay.next_n());
            return Err(Error::Journal(journal::Error::Unavailable { what, reason }));
        }
        for recorded in &batch {
            writer.add(recorded).map_err(failed)?;
            progress.at(recorded.n, to);
        }
    }
    progress.end();
    let buffered = writer.end().map_err(failed)?;
    buffered.into_inner().map_err(|error| failed(error.into_error()))
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::Refused { reason: "cannot_write", message: format!("cannot write {}: {error}", path.display()) }
}

// === impl Position ===

impl Position {
    fn number(self, journal: &Journal) -> Result<u64, Error> {
        match self {
            Self::Number(n) => Ok(n),
            Self::Sequence(sequence) => journal.current(sequence).map(|here| here.n).ok_or_else(|| {
                let own = journal.identity().incarnation.uuid().simple();
                let message = format!("{sequence} is of another journal than this one, {own}");
                Error::Refused { reason: "other_journal", message }
            }),
        }
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(n) = text.parse() {
            return Ok(Self::Number(n));
        }
        let sequence = text.parse().map_err(|_| "is neither a number nor `<incarnation>-<n>`".to_owned())?;
        Ok(Self::Sequence(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_numbers_or_sequences() {
        assert_eq!("17".parse(), Ok(Position::Number(17)));
        let sequence: Sequence = "0123456789abcdef0123456789abcdef-17".parse().unwrap();
        assert_eq!("0123456789abcdef0123456789abcdef-17".parse(), Ok(Position::Sequence(sequence)));
        assert!("x-17".parse::<Position>().is_err() && "-1".parse::<Position>().is_err());
    }
}
