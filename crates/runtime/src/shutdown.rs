//! Shutdown in two steps, passed as an argument and never a static.
//!
//! *Soft*: stop accepting, finish what is in flight, acknowledge. *Hard*: let go of what is in flight; what was not
//! acknowledged will be delivered again. Hard always implies soft.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Both steps of a shutdown. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

/// Work was given up because a shutdown was asked for. An error whose chain of sources holds this one is the clean end
/// of a task or a program, not its death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a shutdown was asked for")]
pub struct Cancelled;

/// SIGTERM and SIGINT, taken from the system's default (which would end the process at once).
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Shutdown ===

impl Shutdown {
    /// A shutdown that nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the soft step.
    pub fn trigger_soft(&self) {
        self.soft.cancel();
    }

    /// Asks for the hard step, and with it for the soft one.
    pub fn trigger_hard(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Waits until somebody asks for the soft step.
    pub async fn soft_cancelled(&self) {
        self.soft.cancelled().await;
    }

    /// Waits until somebody asks for the hard step.
    pub async fn hard_cancelled(&self) {
        self.hard.cancelled().await;
    }

    /// Whether the soft step was asked for.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether the hard step was asked for.
    pub fn is_hard(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// The soft step as a token, for what takes one ([`crate::retry::run`]).
    pub fn soft_token(&self) -> &CancellationToken {
        &self.soft
    }

    /// The hard step as a token, for what takes one.
    pub fn hard_token(&self) -> &CancellationToken {
        &self.hard
    }

    /// A shutdown that follows this one and can be asked for alone, without this one noticing.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { soft: self.soft.child_token(), hard: self.hard.child_token() }
    }

    /// `Err(Cancelled)` once the soft step was asked for: the `?` at the top of a loop.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_soft() { Err(Cancelled) } else { Ok(()) }
    }
}

// === impl Signals ===

impl Signals {
    /// Starts to receive the signals. Must be called inside a Tokio runtime, before anything that takes time.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Turns signals into steps: the first is soft; the second, or `grace` after the soft step whoever asked for it, is
    /// hard. Returns once the hard step was asked for.
    pub async fn drive(mut self, shutdown: Shutdown, grace: Duration) {
        tokio::select! {
            name = self.next() => {
                tracing::info!(signal = name, "got {name}: finishing what is in flight, at most {}", seconds(grace));
                shutdown.trigger_soft();
            }
            () = shutdown.soft_cancelled() => {}
        }
        tokio::select! {
            name = self.next() => tracing::warn!(signal = name, "got {name}: stopping at once"),
            () = tokio::time::sleep(grace) => {
                tracing::warn!("what was in flight did not finish within {}: stopping at once", seconds(grace));
            }
            () = shutdown.hard_cancelled() => {}
        }
        shutdown.trigger_hard();
    }
}

fn seconds(duration: Duration) -> String {
    crate::config::duration::format(duration)
}
