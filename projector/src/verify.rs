//! `projector verify`: is the live catalog what the journal says?

use catalog::{Generation, Verified};
use runtime::program::Process;
use tokio::time::Instant;

use crate::builds::{self, Builds, Speed};
use crate::comparison::{self, Compared};
use crate::config::Config;
use crate::error::Error;
use crate::progress::Progress;

/// Verifies for a person, who sees how far it is.
pub(crate) async fn run(config: &Config, process: &Process) -> Result<Compared, Error> {
    let generations = builds::claim(config, process).await?;
    let builds = Builds::open(config, process, generations, Speed::Full).await?;
    in_shadow(builds, Progress::new("folded", 0, config.projector.progress_interval)).await
}

/// Folds the journal again, from its first event to where the live catalog is, compares, keeps the numbers of what it found,
/// and leaves nothing else behind. What a rebuild can go on with stays: that may be hours of work.
pub(crate) async fn in_shadow(mut builds: Builds<'_>, mut progress: Progress) -> Result<Compared, Error> {
    let begun = Instant::now();
    let live = builds.generations.active().await?;
    let compared = fold_and_compare(&mut builds, &mut progress).await;
    if let Some(live) = live
        && let Err(error) = keep(&mut builds, live, begun, &compared).await
    {
        tracing::warn!("cannot keep what verifying {live} has found: {error}");
    }
    compared
}

async fn fold_and_compare(builds: &mut Builds<'_>, progress: &mut Progress) -> Result<Compared, Error> {
    let unfinished = builds.unfinished().await?;
    builds.sweep(unfinished.first().map(|(generation, _)| *generation)).await?;
    let mut driver = builds.create().await?;
    let generation = driver.writer().generation();
    let compared = comparison::with_live(builds, &mut driver, progress).await;
    progress.end();
    driver.into_writer().close().await;
    builds.discard(generation).await;
    compared
}

/// The results are metrics. Who stops an attempt knows that it came to none.
async fn keep(
    builds: &mut Builds<'_>,
    live: Generation,
    begun: Instant,
    compared: &Result<Compared, Error>,
) -> Result<(), Error> {
    match compared {
        Ok(compared) => {
            // Digests of all rows that differ are a difference, too.
            let differing = if compared.is_equal() { 0 } else { compared.differing().max(1) };
            let verified = Verified { n: compared.at.n, rows: compared.rows(), differing, took: begun.elapsed() };
            builds.generations.keep_verified(live, &verified).await?;
        }
        Err(Error::Cancelled(_)) => {}
        Err(_) => builds.generations.keep_verify_failed(live).await?,
    }
    Ok(())
}
