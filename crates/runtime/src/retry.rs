//! The one retry policy: exponential delays with full jitter, a limit on the time spent, and a way out.
//!
//! Errors say whether trying again can help ([`Transient`]); only this module acts on it, so that no two places retry
//! the same fault and multiply each other.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Fault, Validate, duration};

/// What an error must say about itself to be retried.
pub trait Transient {
    /// Whether the same call, made again later, may succeed with nobody doing anything about it.
    fn is_transient(&self) -> bool;
}

/// How long to wait between attempts, and for how long to go on.
///
/// Each delay is drawn evenly from zero to a ceiling (full jitter: many callers that failed together do not come back
/// together); the ceiling starts at `first_delay`, grows by `factor`, and stays at `max_delay`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Policy {
    /// The ceiling of the first delay.
    #[serde(with = "duration")]
    pub first_delay: Duration,
    /// What the ceiling is multiplied by after each attempt, at least 1.
    #[serde(default = "default_factor")]
    pub factor: f32,
    /// The ceiling that no delay exceeds.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// No attempt starts later than this after the first one; without it, attempts go on until cancelled. An attempt
    /// in flight is not cut short: each bounds itself.
    #[serde(default, with = "duration::option")]
    pub max_elapsed: Option<Duration>,
}

/// The delays of a [`Policy`] one by one, for loops that cannot be written as [`run`].
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    ceilings: ExponentialBackoff,
    random: SmallRng,
}

/// Calls `op` until it succeeds, fails for good, or `policy` or `cancel` ends it; then the last error is returned.
///
/// `op` is called at least once, even when already cancelled, and an attempt in flight is never dropped: its outcome
/// would be unknown. `cancel` ends the waiting between attempts.
///
/// `op` is written `async || ..`. The bound is not `AsyncFnMut`, whose futures the compiler cannot prove to be `Send`
/// where the closure borrows; the price is that `op` cannot change what it captures.
pub async fn run<T, E, F>(policy: &Policy, cancel: &CancellationToken, mut op: impl FnMut() -> F) -> Result<T, E>
where
    E: Transient,
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let is_over = |more: Duration| policy.max_elapsed.is_some_and(|limit| started.elapsed() + more > limit);
    let mut backoff = Backoff::new(policy);
    loop {
        let error = match op().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let delay = backoff.next_delay();
        let goes_on = error.is_transient() && !is_over(delay) && sleep(delay, cancel).await;
        // Again, because a busy machine wakes late.
        if !goes_on || is_over(Duration::ZERO) {
            return Err(error);
        }
    }
}

/// Sleeps for `delay`; false when `cancel` ended it before. A loop that uses [`Backoff`] waits with this.
pub async fn sleep(delay: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(delay) => true,
    }
}

fn default_factor() -> f32 {
    2.0
}

// === impl Policy ===

impl Policy {
    /// A policy that doubles its ceiling and goes on until cancelled.
    pub const fn new(first_delay: Duration, max_delay: Duration) -> Self {
        Self { first_delay, factor: 2.0, max_delay, max_elapsed: None }
    }

    /// The same policy, ending after `limit`.
    #[must_use]
    pub const fn with_max_elapsed(self, limit: Duration) -> Self {
        Self { max_elapsed: Some(limit), ..self }
    }
}

impl Validate for Policy {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.first_delay.is_zero() {
            faults.push(Fault::new("first_delay", "must be longer than zero"));
        }
        if !(self.factor >= 1.0 && self.factor.is_finite()) {
            faults.push(Fault::new("factor", "must be 1 or more"));
        }
        if self.max_delay < self.first_delay {
            faults.push(Fault::new("max_delay", "must not be shorter than first_delay"));
        }
        faults
    }
}

// === impl Backoff ===

impl Backoff {
    /// Starts at the first delay.
    pub fn new(policy: &Policy) -> Self {
        Self::seeded(policy, rand::random())
    }

    /// The same delays for the same seed. For tests only.
    pub fn seeded(policy: &Policy, seed: u64) -> Self {
        Self { policy: policy.clone(), ceilings: ceilings(policy), random: SmallRng::seed_from_u64(seed) }
    }

    /// How long to wait before the next attempt. Never ends: limits are the loop's own.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceilings.next().unwrap_or(self.policy.max_delay).min(self.policy.max_delay);
        ceiling.mul_f64(self.random.random_range(0.0..=1.0))
    }

    /// Back to the first delay, after a success.
    pub fn reset(&mut self) {
        self.ceilings = ceilings(&self.policy);
    }
}

fn ceilings(policy: &Policy) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_factor(policy.factor.max(1.0))
        .with_min_delay(policy.first_delay)
        .with_max_delay(policy.max_delay)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
