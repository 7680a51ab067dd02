//! Generations that are built beside the live one, by `rebuild` and `verify`.

use std::time::Duration;

use catalog::{Checkpoint, Generation, GenerationInfo, Generations, State, Writer};
use journal::Journal;
use runtime::program::Process;
use runtime::retry::sleep;
use tokio::time::Instant;

use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::identity;
use crate::progress::Progress;

/// How often something that others still hold is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Postgres takes so long, on a busy machine, to notice that the person's command that had the right has ended.
const CLAIM_WITHIN: Duration = Duration::from_secs(5);

/// What the tools work with. It holds the right to build: one process at a time has it.
pub(crate) struct Builds<'a> {
    pub(crate) config: &'a Config,
    pub(crate) process: &'a Process,
    pub(crate) journal: Journal,
    pub(crate) generations: Generations,
    speed: Speed,
}

/// How fast a tool folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speed {
    /// As fast as it can: a person waits.
    Full,
    /// At most so many events a second: others use the machine.
    AtMost(u32),
}

impl<'a> Builds<'a> {
    /// Opens the journal beside the catalog, on which the right to build was claimed.
    pub(crate) async fn open(
        config: &'a Config,
        process: &'a Process,
        generations: Generations,
        speed: Speed,
    ) -> Result<Self, Error> {
        let journal = open_journal(config, process).await?;
        Ok(Self { config, process, journal, generations, speed })
    }

    /// Makes an empty generation, and the driver that folds into it.
    pub(crate) async fn create(&mut self) -> Result<Driver, Error> {
        let generation = self.generations.create(self.journal.identity().incarnation).await?;
        let mut writer = Writer::open_generation(&self.config.database, generation).await?;
        let at = writer.checkpoint().await?;
        Ok(self.driver(writer, at))
    }

    /// The driver that goes on with the generation that is folded the furthest of those that ended builds have left, up to
    /// event `max` if that is given; none when there is none that this journal leads to.
    ///
    /// Whose it was does not matter, a rebuild's, a verify's or that of a projector's first catalog: each is a fold from the
    /// first event on, by the same code, saved as a whole or not at all.
    pub(crate) async fn go_on(&mut self, max: Option<u64>) -> Result<Option<Driver>, Error> {
        for (generation, _) in self.unfinished().await? {
            let mut writer = match self.take_up(generation).await {
                Ok(writer) => writer,
                Err(Error::Catalog(catalog::Error::Refused { reason } | catalog::Error::Unfit { reason })) => {
                    tracing::info!(generation = generation.number(), "not going on with {generation}: {reason}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let at = writer.checkpoint().await?;
            if max.is_some_and(|max| at.n > max) {
                writer.close().await;
                continue;
            }
            match identity::check(&self.journal, &at).await {
                Ok(()) => {
                    let n = at.n;
                    tracing::info!(
                        generation = generation.number(),
                        seq = n,
                        "going on with {generation} at event {n}"
                    );
                    return Ok(Some(self.driver(writer, at)));
                }
                Err(Error::Halt(why)) => {
                    tracing::warn!(generation = generation.number(), "not going on with {generation}: {why}");
                    writer.close().await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes the lock of a generation, which whoever had the right to build before may still have for a moment.
    async fn take_up(&self, generation: Generation) -> Result<Writer, Error> {
        let asked = Instant::now();
        loop {
            match Writer::open_generation(&self.config.database, generation).await {
                Err(catalog::Error::Refused { .. }) if asked.elapsed() < CLAIM_WITHIN => {
                    self.process.shutdown.check()?;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                opened => return Ok(opened?),
            }
        }
    }

    /// Half-folded generations, the furthest first.
    pub(crate) async fn unfinished(&mut self) -> Result<Vec<(Generation, Checkpoint)>, Error> {
        Ok(self.generations.unfinished(self.journal.identity().incarnation).await?)
    }

    fn driver(&self, writer: Writer, at: Checkpoint) -> Driver {
        Driver::new(writer, at, &self.journal, &self.config.projector)
    }

    /// Folds up to and with event `to`.
    pub(crate) async fn fold_to(&self, driver: &mut Driver, to: u64, progress: &mut Progress) -> Result<(), Error> {
        if driver.at().n >= to {
            return Ok(());
        }
        let (settings, soft) = (&self.config.projector, self.process.shutdown.soft_token());
        driver.aim(&self.journal, Some(to));
        let mut moved = Instant::now();
        while driver.at().n < to {
            self.process.shutdown.check()?;
            let begun = Instant::now();
            let folded = driver.step(settings.idle_interval, soft).await?;
            if folded > 0 {
                progress.at(driver.at().n, to);
                sleep(self.speed.time_for(folded).saturating_sub(begun.elapsed()), soft).await;
                moved = Instant::now();
            } else if moved.elapsed() > settings.tool_patience {
                let reason = format!("no event came after event {}", driver.at().n);
                let what = format!("read the journal up to event {to}");
                return Err(Error::Journal(journal::Error::Unavailable { what, reason }));
            }
        }
        Ok(())
    }

    /// Drops what builds that ended early have left, but for `keep`. What somebody writes stays, and so does a first catalog
    /// that a projector is building.
    pub(crate) async fn sweep(&mut self, keep: Option<Generation>) -> Result<(), Error> {
        for info in leftovers(&mut self.generations).await? {
            if info.state == State::Building && keep != Some(info.generation) {
                self.leave_or_drop(info.generation, Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    /// Drops the catalogs that were replaced before `kept` was, so that they do not fill the disk unnoticed. The new one
    /// answers reads already: a failure here is only told.
    pub(crate) async fn drop_older(&mut self, kept: Option<Generation>) {
        let older = match leftovers(&mut self.generations).await {
            Ok(leftovers) => leftovers,
            Err(error) => return tracing::warn!("cannot look for older catalogs: {error}"),
        };
        for info in older {
            if info.state == State::Retired && kept != Some(info.generation) {
                self.discard(info.generation).await;
            }
        }
    }

    /// Drops a generation that nobody needs; what went on before is more important than a failure here.
    pub(crate) async fn discard(&mut self, generation: Generation) {
        if let Err(error) = self.leave_or_drop(generation, self.config.projector.drop_patience).await {
            tracing::warn!(
                generation = generation.number(),
                "cannot drop {generation}, `projector prune` can: {error}"
            );
        }
    }

    async fn leave_or_drop(&mut self, generation: Generation, patience: Duration) -> Result<(), Error> {
        if let Some(reason) = drop_within(&mut self.generations, generation, patience).await? {
            tracing::warn!(
                generation = generation.number(),
                "left {generation}, which `projector prune` drops: {reason}"
            );
        }
        Ok(())
    }
}

// === impl Speed ===

impl Speed {
    /// How long so many events shall take at least.
    fn time_for(self, events: usize) -> Duration {
        match self {
            Self::Full => Duration::ZERO,
            Self::AtMost(per_second) => {
                Duration::from_secs(1) / per_second.max(1) * u32::try_from(events).unwrap_or(u32::MAX)
            }
        }
    }
}

/// Drops a generation. Who uses it is waited for, for so long; then it stays, and the reason is the answer.
pub(crate) async fn drop_within(
    generations: &mut Generations,
    generation: Generation,
    patience: Duration,
) -> Result<Option<String>, Error> {
    let started = Instant::now();
    loop {
        match generations.drop(generation).await {
            Ok(()) => return Ok(None),
            Err(catalog::Error::Refused { reason }) if started.elapsed() >= patience => return Ok(Some(reason)),
            Err(catalog::Error::Refused { .. }) => tokio::time::sleep(TRY_AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects to the catalog with the right to build, for a person. Another person's command is waited for only as long as
/// it may have ended already; a scheduled verification gives the right up meanwhile, and gets the time for that.
pub(crate) async fn claim(config: &Config, process: &Process) -> Result<Generations, Error> {
    let mut generations = Generations::open(&config.database).await?;
    generations.want_building().await?;
    let asked = Instant::now();
    while !generations.claim_building().await? {
        let is_persons = generations.is_building_wanted().await?;
        if asked.elapsed() > if is_persons { CLAIM_WITHIN } else { config.projector.tool_patience } {
            let message = "another rebuild or verify is running on this catalog; wait until it has ended".to_owned();
            return Err(Error::Refused { reason: "build_running", message });
        }
        process.shutdown.check()?;
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Ok(generations)
}

/// The generations that are neither active nor a first catalog on its way.
pub(crate) async fn leftovers(generations: &mut Generations) -> Result<Vec<GenerationInfo>, Error> {
    let has_live = generations.active().await?.is_some();
    let is_leftover = |state| match state {
        State::Active => false,
        State::Building => has_live,
        State::Retired => true,
    };
    Ok(generations.list().await?.into_iter().filter(|info| is_leftover(info.state)).collect())
}

/// Opens the journal for a tool, which does not wait for ever.
pub(crate) async fn open_journal(config: &Config, process: &Process) -> Result<Journal, Error> {
    let opening = Journal::open(&config.nats, &process.shutdown, &process.tasks);
    let Ok(opened) = tokio::time::timeout(config.projector.tool_patience, opening).await else {
        let patience = runtime::config::duration::format(config.projector.tool_patience);
        let reason = format!("it was not there within {patience}");
        return Err(Error::Journal(journal::Error::Unavailable { what: "open the journal".to_owned(), reason }));
    };
    opened.map_err(|error| Error::Journal(error).halting())
}
