//! `projector prune`: dropping the catalogs that are not needed.

use catalog::{Generation, GenerationInfo, State};
use runtime::program::Process;

use crate::builds;
use crate::cli;
use crate::config::Config;
use crate::error::Error;

/// What there was to drop.
#[derive(Debug, Clone)]
pub(crate) struct Pruned {
    /// By number.
    pub(crate) generations: Vec<Leftover>,
}

/// A generation that is neither active nor on its way to be.
#[derive(Debug, Clone)]
pub(crate) struct Leftover {
    /// Its number.
    pub(crate) generation: Generation,
    /// Retired, or left by a build that did not end.
    pub(crate) state: State,
    /// What it took on disk.
    pub(crate) size_bytes: u64,
    /// What became of it.
    pub(crate) fate: Fate,
}

/// What became of a leftover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is gone.
    Dropped,
    /// It would be dropped.
    OnlyNamed,
    /// Somebody uses it: why it stays, as a sentence.
    Kept(String),
}

/// Drops what nobody needs, writes or reads. It has the right to build meanwhile, so that no rebuild loses what it makes.
pub(crate) async fn run(config: &Config, process: &Process, flags: cli::Prune) -> Result<Pruned, Error> {
    let mut connection = builds::claim(config, process).await?;
    let mut generations = Vec::new();
    for GenerationInfo { generation, state, .. } in builds::leftovers(&mut connection).await? {
        process.shutdown.check()?;
        let size_bytes = connection.size_bytes(generation).await?;
        let fate = if flags.dry_run {
            Fate::OnlyNamed
        } else {
            // The projector that wrote it notices a switch only a moment later.
            let patience = config.projector.drop_patience;
            builds::drop_within(&mut connection, generation, patience).await?.map_or(Fate::Dropped, Fate::Kept)
        };
        generations.push(Leftover { generation, state, size_bytes, fate });
    }
    Ok(Pruned { generations })
}

// === impl Pruned ===

impl Pruned {
    /// What is free on disk now that was not before.
    pub(crate) fn freed_bytes(&self) -> u64 {
        let dropped = self.generations.iter().filter(|leftover| leftover.fate == Fate::Dropped);
        dropped.map(|leftover| leftover.size_bytes).sum()
    }
}
