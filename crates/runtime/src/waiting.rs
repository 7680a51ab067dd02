//! Waiting for something that others have to make: a stream, a database, a node.
//!
//! Who finds something missing waits and says, in one line, for what. A new line comes only when the reason changes.

use std::fmt::Display;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::duration;
use crate::retry::{Backoff, Policy, Transient, sleep};
use crate::shutdown::Cancelled;

/// Why a wait ended without what it waited for.
#[derive(Debug, thiserror::Error)]
pub enum Stopped<E> {
    /// The shutdown came first.
    #[error("stopped waiting")]
    Cancelled(#[source] Cancelled),
    /// Waiting cannot help.
    #[error("{0:#}")]
    Failed(E),
}

/// Calls `op` until it succeeds, fails for good (an error that is not transient), or `cancel` ends the wait.
///
/// `what` completes the sentence "waiting for ...". An attempt is dropped when `cancel` comes, so `op` should only
/// look, or do what is harmless when cut short. The policy's `max_elapsed` is ignored: this waits as long as it
/// takes.
pub async fn wait_for<T, E, F>(
    what: &str,
    policy: &Policy,
    cancel: &CancellationToken,
    mut op: impl FnMut() -> F,
) -> Result<T, Stopped<E>>
where
    E: Transient + Display,
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let mut backoff = Backoff::new(policy);
    let mut said: Option<String> = None;
    loop {
        let attempt = tokio::select! {
            biased;
            attempt = op() => attempt,
            () = cancel.cancelled() => return Err(Stopped::Cancelled(Cancelled)),
        };
        match attempt {
            Ok(value) => {
                if said.is_some() {
                    tracing::info!("{what}: there after {}", duration::format_rounded(started.elapsed()));
                }
                return Ok(value);
            }
            Err(error) if !error.is_transient() => return Err(Stopped::Failed(error)),
            Err(error) => {
                let reason = format!("{error:#}");
                if said.as_ref() != Some(&reason) {
                    tracing::warn!("waiting for {what}: {reason}");
                    said = Some(reason);
                }
            }
        }
        if !sleep(backoff.next_delay(), cancel).await {
            return Err(Stopped::Cancelled(Cancelled));
        }
    }
}

// === impl Stopped ===

impl<E> Stopped<E> {
    /// The error of the last attempt, or `cancelled` when there was a shutdown: for callers with an enum of their own.
    pub fn into_error(self, cancelled: impl FnOnce(Cancelled) -> E) -> E {
        match self {
            Self::Cancelled(reason) => cancelled(reason),
            Self::Failed(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;
