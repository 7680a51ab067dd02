//! `projector rebuild`: folding the whole journal into a new generation.

use std::time::Duration;

use catalog::{Checkpoint, Generation, Snapshot, Switch};
use runtime::program::Process;

use crate::builds::Builds;
use crate::cli;
use crate::comparison::{self, Compared};
use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::identity;
use crate::progress::{Pace, Progress};

/// While a live projector goes on, how long to wait for events that it has folded and this process has not.
const CATCH_UP: Duration = Duration::from_millis(5);

/// What became of a rebuild.
#[derive(Debug, Clone)]
pub(crate) struct Rebuilt {
    /// The new generation.
    pub(crate) generation: Generation,
    /// Up to where it is folded.
    pub(crate) at: Checkpoint,
    /// How fast.
    pub(crate) pace: Pace,
    /// The comparison with the live one, when one was asked for and there is one.
    pub(crate) compared: Option<Compared>,
    /// Whether it answers reads now.
    pub(crate) switched: bool,
}

/// Builds, compares and switches as `flags` say. What is not switched to is dropped.
pub(crate) async fn run(config: &Config, process: &Process, flags: cli::Rebuild) -> Result<Rebuilt, Error> {
    catalog::migrate(&config.database).await?;
    let mut builds = Builds::claim(config, process).await?;
    builds.sweep().await?;
    let mut driver = builds.create().await?;
    let generation = driver.writer().generation();
    let mut progress = Progress::new("folded", 0, config.projector.progress_interval);
    let old = builds.generations.active().await?;
    let built = build(&mut builds, &mut driver, &mut progress, flags).await;
    progress.end();
    driver.into_writer().close().await;
    match &built {
        Ok(rebuilt) if rebuilt.switched => drop_old(&mut builds, old).await,
        Ok(_) | Err(_) => builds.discard(generation).await,
    }
    built
}

async fn build(
    builds: &mut Builds<'_>,
    driver: &mut Driver,
    progress: &mut Progress,
    flags: cli::Rebuild,
) -> Result<Rebuilt, Error> {
    let compared = match (flags.verify, builds.generations.active().await?) {
        (true, Some(_)) => Some(comparison::with_live(builds, driver, progress).await?),
        (true, None) => {
            tracing::warn!("there is no live catalog to compare the new one with");
            None
        }
        (false, _) => None,
    };
    let head = builds.journal.head().await?.n;
    builds.fold_to(driver, head, progress).await?;
    let pace = progress.pace(driver.at().n);
    progress.end();
    let generation = driver.writer().generation();
    builds.generations.index(generation).await?;
    let refused = compared.as_ref().is_some_and(|compared| !compared.is_equal());
    let switched = flags.switch && !refused;
    if switched {
        switch(builds, driver).await?;
    }
    Ok(Rebuilt { generation, at: driver.at(), pace, compared, switched })
}

/// Makes the new generation the one that answers reads, at a moment when it is not behind the live one: readers never see
/// the past.
async fn switch(builds: &mut Builds<'_>, driver: &mut Driver) -> Result<(), Error> {
    let generation = driver.writer().generation();
    let soft = builds.process.shutdown.soft_token().clone();
    let insist = insist(builds).await?;
    driver.aim(&builds.journal, None);
    let mut attempts = builds.config.projector.switch_attempts;
    loop {
        driver.step(CATCH_UP, &soft).await?;
        builds.process.shutdown.check()?;
        if driver.is_behind() {
            continue;
        }
        attempts -= 1;
        match builds.generations.switch(generation, insist).await {
            Ok(()) => return Ok(()),
            Err(catalog::Error::Refused { reason }) if attempts > 0 => {
                tracing::debug!(generation = generation.number(), "not level yet: {reason}");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A live catalog that this journal does not lead to, or that cannot even be read, is replaced whatever it says: its own
/// projector halts at it.
async fn insist(builds: &mut Builds<'_>) -> Result<Switch, Error> {
    let Some(live) = builds.generations.active().await? else { return Ok(Switch::CaughtUp) };
    let checked = match Snapshot::open(&builds.config.database, live).await {
        Ok(snapshot) => {
            let at = snapshot.checkpoint();
            snapshot.close().await;
            identity::check(&builds.journal, &at).await
        }
        Err(error) => Err(Error::Catalog(error)),
    };
    match checked {
        Ok(()) => Ok(Switch::CaughtUp),
        Err(Error::Halt(why)) => {
            tracing::warn!(generation = live.number(), "replacing {live}, which is not of this journal: {why}");
            Ok(Switch::Regardless)
        }
        Err(error @ (Error::Cancelled(_) | Error::Journal(_))) => Err(error),
        Err(error) => {
            tracing::warn!(generation = live.number(), "replacing {live}, which cannot be read: {error}");
            Ok(Switch::Regardless)
        }
    }
}

/// Drops the catalog that was replaced, once the projector that wrote it has noticed.
async fn drop_old(builds: &mut Builds<'_>, old: Option<Generation>) {
    let patience = builds.config.projector.drop_patience;
    let Some(old) = old else { return };
    if let Err(error) = builds.drop_within(old, patience).await {
        tracing::warn!(generation = old.number(), "cannot drop the old {old}, the next rebuild will: {error}");
    }
}
