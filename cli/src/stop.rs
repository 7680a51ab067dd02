//! Ctrl-C, SIGTERM and the time limit: all cancel what is under way, so that it can clean up, and then end the program.

use std::convert::Infallible;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::exit::{Exit, Failure};

/// Tells commands to stop, and why.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    cause: OnceLock<Cause>,
}

#[derive(Debug, Clone, Copy)]
enum Cause {
    Interrupted,
    Terminated,
    TimedOut(Duration),
}

// === impl Stop ===

impl Stop {
    /// Cancelled when commands shall stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Does `work`, or drops it and answers why when told to stop.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(self.failure()),
            result = work => result,
        }
    }

    /// Waits for a signal or the time limit and cancels; at a second signal ends the program at once.
    pub(crate) async fn watch(&self, timeout: Option<Duration>) -> Infallible {
        let cause = tokio::select! {
            cause = signal() => cause,
            cause = elapsed(timeout) => cause,
        };
        self.cause.get_or_init(|| cause);
        self.token.cancel();
        match signal().await {
            Cause::Terminated => std::process::exit(i32::from(Exit::Terminated as u8)),
            Cause::Interrupted | Cause::TimedOut(_) => std::process::exit(i32::from(Exit::Interrupted as u8)),
        }
    }

    fn failure(&self) -> Failure {
        match self.cause.get() {
            Some(Cause::TimedOut(limit)) => {
                let message = format!("not done after {limit:?}, the limit that --timeout sets");
                Failure::new(Exit::Temporary, Code::DeadlineExceeded, "timeout", message)
            }
            Some(Cause::Terminated) => {
                Failure::new(Exit::Terminated, Code::Cancelled, "terminated", "stopped by SIGTERM")
            }
            Some(Cause::Interrupted) | None => {
                Failure::new(Exit::Interrupted, Code::Cancelled, "interrupted", "interrupted")
            }
        }
    }
}

async fn elapsed(timeout: Option<Duration>) -> Cause {
    match timeout {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            Cause::TimedOut(limit)
        }
        None => std::future::pending().await,
    }
}

#[cfg(unix)]
async fn signal() -> Cause {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the program by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Cause::Interrupted,
        _ = terminate.recv() => Cause::Terminated,
    }
}

#[cfg(not(unix))]
async fn signal() -> Cause {
    match tokio::signal::ctrl_c().await {
        Ok(()) => Cause::Interrupted,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_limit_stops_what_is_under_way() {
        let stop = Stop::default();
        let failure = tokio::select! {
            result = stop.guard(std::future::pending::<Result<(), Failure>>()) => result.unwrap_err(),
            never = stop.watch(Some(Duration::from_millis(5))) => match never {},
        };
        assert_eq!(failure.exit, Exit::Temporary);
        assert_eq!(failure.message, "not done after 5ms, the limit that --timeout sets");
    }
}
