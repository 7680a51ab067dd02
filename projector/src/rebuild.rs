//! `projector rebuild`: folding the whole journal into a new generation.

use std::time::Duration;

use catalog::{Checkpoint, Generation, Snapshot, Switch};
use runtime::program::Process;

use crate::builds::{self, Builds, Speed};
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
    /// Where it went on with what an earlier one had left, if it did.
    pub(crate) resumed_at: Option<Checkpoint>,
    /// Up to where it is folded.
    pub(crate) at: Checkpoint,
    /// How fast.
    pub(crate) pace: Pace,
    /// The comparison with the live one, when one was asked for and there is one.
    pub(crate) compared: Option<Compared>,
    /// Which tables differ, and were said to be accepted.
    pub(crate) accepted: Vec<String>,
    /// What became of the live one.
    pub(crate) ended: Ended,
}

/// How a rebuild ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The new generation answers reads; the one that it replaced, if any, is kept.
    Switched { kept: Option<Generation> },
    /// Nobody had asked for it.
    NotSwitched,
    /// The new generation is not the same as the live one, in what nobody had accepted.
    Refused,
}

/// Builds, compares and switches as `flags` say. What is not switched to is dropped, unless it was meant to be and is only
/// not done yet: then the next rebuild goes on with it.
pub(crate) async fn run(config: &Config, process: &Process, flags: &cli::Rebuild) -> Result<Rebuilt, Error> {
    catalog::migrate(&config.database).await?;
    let generations = builds::claim(config, process).await?;
    let mut builds = Builds::open(config, process, generations, Speed::Full).await?;
    let (mut driver, resumed_at) = begin(&mut builds, flags).await?;
    let generation = driver.writer().generation();
    let mut progress = Progress::new("folded", driver.at().n, config.projector.progress_interval);
    let built = build(&mut builds, &mut driver, &mut progress, flags).await;
    progress.end();
    let n = driver.at().n;
    driver.into_writer().close().await;
    match built {
        Ok(rebuilt) => {
            match rebuilt.ended {
                Ended::Switched { kept } => builds.drop_older(kept).await,
                Ended::NotSwitched | Ended::Refused => builds.discard(generation).await,
            }
            Ok(Rebuilt { resumed_at, ..rebuilt })
        }
        Err(why) if flags.switch && n > 0 && (matches!(why, Error::Cancelled(_)) || why.passes()) => {
            Err(Error::Paused { generation, n, why: Box::new(why) })
        }
        Err(error) => {
            builds.discard(generation).await;
            Err(error)
        }
    }
}

/// Takes up what an earlier build has left, or makes a new generation, and drops what is left then; where it was taken up.
async fn begin(builds: &mut Builds<'_>, flags: &cli::Rebuild) -> Result<(Driver, Option<Checkpoint>), Error> {
    let left = match builds.generations.active().await? {
        // Both are compared where the live one is, so one that is further cannot be.
        Some(live) if flags.verify => {
            let max = builds.generations.checkpoint(live).await?.n;
            builds.go_on(Some(max)).await?
        }
        Some(_) => builds.go_on(None).await?,
        // What is left may be the first catalog of a projector that will go on with it: it is not for a trial.
        None if flags.switch => builds.go_on(None).await?,
        None => None,
    };
    let (mut driver, resumed_at) = match left {
        Some(driver) => {
            let at = driver.at();
            (driver, Some(at))
        }
        None => (builds.create().await?, None),
    };
    let own = driver.writer().generation();
    builds.sweep(Some(own)).await?;
    Ok((driver, resumed_at))
}

async fn build(
    builds: &mut Builds<'_>,
    driver: &mut Driver,
    progress: &mut Progress,
    flags: &cli::Rebuild,
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
    let refused = compared.as_ref().is_some_and(|compared| !compared.is_accepted(&flags.accept_differences));
    let ended = if refused {
        Ended::Refused
    } else if flags.switch {
        let kept = builds.generations.active().await?;
        switch(builds, driver).await?;
        Ended::Switched { kept }
    } else {
        Ended::NotSwitched
    };
    let accepted = match ended {
        Ended::Switched { .. } => compared.iter().flat_map(Compared::differing_tables).map(str::to_owned).collect(),
        Ended::NotSwitched | Ended::Refused => Vec::new(),
    };
    Ok(Rebuilt { generation, resumed_at: None, at: driver.at(), pace, compared, accepted, ended })
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
