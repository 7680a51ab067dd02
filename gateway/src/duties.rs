//! What one gateway at a time does for all, each under a lease of its own: erasing blobs that nothing names, applying the
//! spaces' retention, asking for copies where blobs shall be, taking wiped nodes back into use, and reading everything on the
//! nodes to see that it is right.

mod rebalance;
mod scrub;
mod wiped;

use std::time::Duration;

use proto::Actor;
use runtime::shutdown::Shutdown;
use tracing::{debug, info, warn};

use crate::config::Duties;
use crate::error::Result;
use crate::files::request::Author;
use crate::files::{Files, Retention};

pub(crate) use rebalance::rebalance;
pub(crate) use scrub::scrub;
pub(crate) use wiped::wiped;

/// The names of the leases.
const ERASE: &str = "erase";
const PRUNE: &str = "prune";

/// Condemns and orders the erasure of blobs, until the soft shutdown.
pub(crate) async fn erase(files: Files, config: Duties, holder: String, shutdown: Shutdown) {
    while waited(config.erase_interval, &shutdown).await {
        Box::pin(under_lease(&files, ERASE, &holder, &shutdown, erase_all(&files))).await;
    }
}

/// Applies retention, until the soft shutdown.
pub(crate) async fn prune(files: Files, config: Duties, holder: String, shutdown: Shutdown) {
    while waited(config.prune_interval, &shutdown).await {
        Box::pin(under_lease(&files, PRUNE, &holder, &shutdown, prune_all(&files))).await;
    }
}

/// Waits for the next round; false at the soft shutdown.
async fn waited(interval: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = shutdown.soft_cancelled() => false,
        () = tokio::time::sleep(interval) => true,
    }
}

/// Works while this gateway has the lease, at most until the soft shutdown; it is no fault when another one has it, or when
/// something it needs is away: the next round comes. The lease is given back in any case, so that nobody has to wait for its
/// end: neither another gateway nor who restores the journal.
async fn under_lease(
    files: &Files,
    duty: &'static str,
    holder: &str,
    shutdown: &Shutdown,
    work: impl Future<Output = Result<()>>,
) {
    let Some(opened) = files.opened() else { return };
    let acquired = tokio::select! {
        biased;
        () = shutdown.hard_cancelled() => return,
        acquired = opened.journal.acquire(duty, holder) => acquired,
    };
    let mut lease = match acquired {
        Ok(Some(lease)) => lease,
        Ok(None) => {
            debug!("another gateway has the duty {duty}");
            return;
        }
        Err(error) => {
            warn!("cannot take the duty {duty} now: {error}");
            return;
        }
    };
    let done = tokio::select! {
        biased;
        () = shutdown.soft_cancelled() => Ok(()),
        done = work => done,
        () = lease.keep() => {
            warn!("lost the lease of the duty {duty} in its middle; it goes on in the next round");
            return;
        }
    };
    if let Err(error) = done {
        warn!("the duty {duty} was cut short, it goes on in the next round: {error:#}");
    }
    // A journal that does not answer must not hold up an end that was asked for twice.
    let released = tokio::select! {
        biased;
        () = shutdown.hard_cancelled() => return,
        released = lease.release() => released,
    };
    if let Err(error) = released {
        debug!("the lease of the duty {duty} ends by itself: {error}");
    }
}

async fn erase_all(files: &Files) -> Result<()> {
    loop {
        let done = files.erase(files.limits().erase_grace).await?;
        if done.condemned > 0 || done.ordered > 0 {
            info!("condemned {} blobs, ordered the erasure of {}", done.condemned, done.ordered);
        }
        if !done.is_full() {
            return Ok(());
        }
    }
}

async fn prune_all(files: &Files) -> Result<()> {
    let author = Author { actor: Actor::system(), request_id: None };
    for space in files.catalog().retained_spaces().await? {
        let retention = Retention { keep_versions: space.keep_versions, keep_days: space.keep_days };
        let pruning = files.prune_space(&space, retention, &author).await?;
        if pruning.versions > 0 {
            info!("pruned {} versions ({} bytes) of the space {}", pruning.versions, pruning.bytes, space.name);
        }
    }
    Ok(())
}
