//! Generations that are built beside the live one, by `rebuild` and `verify`.

use std::time::Duration;

use catalog::{Generation, Generations, State};
use journal::Journal;
use runtime::program::Process;
use tokio::time::Instant;

use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::progress::Progress;

/// How often something that others still hold is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Postgres takes so long, on a busy machine, to notice that the one who had the right has ended.
const CLAIM_WITHIN: Duration = Duration::from_secs(5);

/// What both tools work with. It holds the right to build: one process at a time has it.
pub(crate) struct Builds<'a> {
    pub(crate) config: &'a Config,
    pub(crate) process: &'a Process,
    pub(crate) journal: Journal,
    pub(crate) generations: Generations,
}

impl<'a> Builds<'a> {
    /// Opens journal and catalog, and claims the right to build.
    pub(crate) async fn claim(config: &'a Config, process: &'a Process) -> Result<Self, Error> {
        let mut generations = Generations::open(&config.database).await?;
        let asked = Instant::now();
        while !generations.claim_building().await? {
            if asked.elapsed() > CLAIM_WITHIN {
                let message =
                    "another rebuild or verify is running on this catalog; wait until it has ended".to_owned();
                return Err(Error::Refused { reason: "build_running", message });
            }
            process.shutdown.check()?;
            tokio::time::sleep(TRY_AGAIN).await;
        }
        let journal = open_journal(config, process).await?;
        Ok(Self { config, process, journal, generations })
    }

    /// Makes an empty generation, and the driver that folds into it.
    pub(crate) async fn create(&mut self) -> Result<Driver, Error> {
        let generation = self.generations.create(self.journal.identity().incarnation).await?;
        let mut writer = catalog::Writer::open_generation(&self.config.database, generation).await?;
        let at = writer.checkpoint().await?;
        Ok(Driver::new(writer, at, &self.journal, &self.config.projector))
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
            if driver.step(settings.idle_interval, soft).await? > 0 {
                moved = Instant::now();
                progress.at(driver.at().n, to);
            } else if moved.elapsed() > settings.tool_patience {
                let reason = format!("no event came after event {}", driver.at().n);
                let what = format!("read the journal up to event {to}");
                return Err(Error::Journal(journal::Error::Unavailable { what, reason }));
            }
        }
        Ok(())
    }

    /// Drops what earlier builds left behind: those that were killed, and old catalogs that were still in use then. What
    /// somebody writes stays, and so does a first catalog that a projector is building.
    pub(crate) async fn sweep(&mut self) -> Result<(), Error> {
        let has_live = self.generations.active().await?.is_some();
        for info in self.generations.list().await? {
            let leftover = match info.state {
                State::Active => false,
                State::Building => has_live,
                State::Retired => true,
            };
            if leftover {
                self.drop_within(info.generation, Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    /// Drops a generation; false when somebody still writes it after `patience`.
    pub(crate) async fn drop_within(&mut self, generation: Generation, patience: Duration) -> Result<bool, Error> {
        let started = Instant::now();
        loop {
            match self.generations.drop(generation).await {
                Ok(()) => return Ok(true),
                Err(catalog::Error::Refused { reason }) if started.elapsed() >= patience => {
                    tracing::warn!(
                        generation = generation.number(),
                        "left {generation} for the next rebuild: {reason}"
                    );
                    return Ok(false);
                }
                Err(catalog::Error::Refused { .. }) => tokio::time::sleep(TRY_AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Drops a generation that was built in vain; what went wrong before is more important than a failure here.
    pub(crate) async fn discard(&mut self, generation: Generation) {
        let patience = self.config.projector.drop_patience;
        if let Err(error) = self.drop_within(generation, patience).await {
            tracing::warn!(
                generation = generation.number(),
                "cannot drop {generation}, the next rebuild will: {error}"
            );
        }
    }
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
