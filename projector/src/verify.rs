//! `projector verify`: is the live catalog what the journal says?

use runtime::program::Process;

use crate::builds::Builds;
use crate::comparison::{self, Compared};
use crate::config::Config;
use crate::error::Error;
use crate::progress::Progress;

/// Folds the journal again, from its first event to where the live catalog is, compares, and leaves nothing behind.
pub(crate) async fn run(config: &Config, process: &Process) -> Result<Compared, Error> {
    let mut builds = Builds::claim(config, process).await?;
    builds.sweep().await?;
    let mut driver = builds.create().await?;
    let generation = driver.writer().generation();
    let mut progress = Progress::new("folded", 0, config.projector.progress_interval);
    let compared = comparison::with_live(&mut builds, &mut driver, &mut progress).await;
    progress.end();
    driver.into_writer().close().await;
    builds.discard(generation).await;
    compared
}
