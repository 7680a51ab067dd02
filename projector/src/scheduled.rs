//! Verifying the live catalog now and then, beside the projector that leads.

use std::time::Duration;

use catalog::Generations;
use runtime::program::Process;
use runtime::retry::sleep;

use crate::builds::{Builds, Speed};
use crate::comparison::Compared;
use crate::config::Config;
use crate::error::Error;
use crate::progress::Progress;
use crate::report;
use crate::verify;

/// How soon it looks again whether it can verify, when it cannot now.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// How often it looks, while it verifies, whether a person wants to build: less than what a person's command waits.
const LOOK_FOR_PEOPLE: Duration = Duration::from_millis(500);

/// So many of the differences are logged.
const LOGGED: usize = 3;

/// Verifies once in `projector.verify_interval`, if it is not zero, until the soft shutdown of `process`, with connections of
/// its own. What goes wrong is told, and is no reason for the projector to end: the live fold does not depend on it.
pub(crate) async fn run(config: Config, process: Process) {
    let interval = config.projector.verify_interval;
    if interval.is_zero() {
        return;
    }
    loop {
        let wait = next(&config, &process).await.unwrap_or_else(|error| {
            tracing::warn!("cannot look whether the catalog is to be verified: {error}");
            LOOK_AGAIN.min(interval)
        });
        if !sleep(wait, process.shutdown.soft_token()).await {
            return;
        }
    }
}

/// Verifies if it is time to; when to ask again.
async fn next(config: &Config, process: &Process) -> Result<Duration, Error> {
    let interval = config.projector.verify_interval;
    let mut generations = Generations::open(&config.database).await?;
    let Some(ago) = generations.verify_tried_ago().await? else { return Ok(LOOK_AGAIN.min(interval)) };
    let left = interval.saturating_sub(ago);
    if !left.is_zero() {
        return Ok(left);
    }
    // A person, or the projector that led before this one.
    if !generations.is_building_wanted().await? && generations.claim_building().await? {
        attempt(config, process, generations).await;
    }
    Ok(LOOK_AGAIN.min(interval))
}

async fn attempt(config: &Config, process: &Process, generations: Generations) {
    let own = process.shutdown.child();
    let process = Process { shutdown: own.clone(), ..process.clone() };
    let mut verifying = Box::pin(async {
        let speed = Speed::AtMost(config.projector.verify_events_per_second);
        let builds = Builds::open(config, &process, generations, speed).await?;
        verify::in_shadow(builds, Progress::silent("folded")).await
    });
    let verified = tokio::select! {
        biased;
        verified = &mut verifying => verified,
        () = wanted(config) => {
            tracing::info!("a person wants to build: the scheduled verification gives way, and begins anew later");
            own.trigger_soft();
            verifying.await
        }
    };
    match verified {
        Ok(compared) => tell(&compared),
        Err(Error::Cancelled(_)) => {}
        Err(error) => tracing::warn!("cannot verify the catalog: {error}"),
    }
}

/// Ends when a person's command waits for the right to build.
async fn wanted(config: &Config) {
    loop {
        if let Ok(mut generations) = Generations::open(&config.database).await {
            while let Ok(is_wanted) = generations.is_building_wanted().await {
                if is_wanted {
                    return;
                }
                tokio::time::sleep(LOOK_FOR_PEOPLE).await;
            }
        }
        tokio::time::sleep(LOOK_FOR_PEOPLE).await;
    }
}

fn tell(compared: &Compared) {
    let (n, rows, differing) = (compared.at.n, compared.rows(), compared.differing());
    if compared.is_equal() {
        tracing::info!(seq = n, "verified: the catalog is what the journal says up to event {n}; {rows} rows compared");
    } else {
        let first: Vec<String> = compared.differences.iter().take(LOGGED).map(report::difference).collect();
        tracing::error!(
            seq = n,
            "the catalog is not what the journal says: {differing} of {rows} rows differ up to event {n}. `projector verify` \
             shows them, `projector rebuild --switch` replaces it. The first:\n{}",
            first.join("\n")
        );
    }
}
