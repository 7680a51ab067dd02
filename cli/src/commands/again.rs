//! Trying again while the gateway is away.

use std::time::{Duration, Instant};

use runtime::retry::{self, Backoff, Policy, Transient as _};

use crate::commands::Context;
use crate::exit::Failure;

/// The first wait before the same request is tried again, and the longest.
const RETRY_DELAY: Duration = Duration::from_millis(200);
pub(super) const RETRY_DELAY_MAX: Duration = Duration::from_secs(3);

/// Does `attempt` until there is an answer. It must be the same request each time, so that it takes effect at most once.
/// The time to try again starts when the first attempt fails: that one may have taken long and come far.
pub(super) async fn again<T, F>(
    context: &Context,
    retry_for: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let failure = match attempt().await {
        Err(failure) if failure.is_transient() && !retry_for.is_zero() => failure,
        answer => return answer,
    };
    let token = context.stop.token();
    context.output.note(&format!("{failure}; trying again for up to {retry_for:?}"));
    retry::sleep(RETRY_DELAY, token).await;
    let policy = Policy::new(RETRY_DELAY, RETRY_DELAY_MAX).with_max_elapsed(retry_for);
    retry::run(&policy, token, attempt).await
}

/// A time in which attempts fail, for loops that cannot be written as [`again`] because each attempt is another one.
pub(super) struct Outage {
    began_at: Option<Instant>,
    limit: Duration,
    backoff: Backoff,
}

// === impl Outage ===

impl Outage {
    /// None yet; given up after `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        let backoff = Backoff::new(&Policy::new(RETRY_DELAY, RETRY_DELAY_MAX));
        Self { began_at: None, limit, backoff }
    }

    /// Whether nothing has failed yet.
    pub(super) fn is_over(&self) -> bool {
        self.began_at.is_none()
    }

    /// How long to wait before the next attempt; nothing when it has lasted too long.
    pub(super) fn next_delay(&mut self, now: Instant) -> Option<Duration> {
        let began_at = *self.began_at.get_or_insert(now);
        let goes_on = !self.limit.is_zero() && now.duration_since(began_at) <= self.limit;
        // The first delay may be drawn as nothing at all, which would be a busy loop with a gateway that fails at once.
        goes_on.then(|| self.backoff.next_delay().max(RETRY_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_with_its_limit() {
        let begin = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(30));
        assert!(outage.next_delay(begin).is_some_and(|delay| delay >= RETRY_DELAY && delay <= RETRY_DELAY_MAX));
        assert!(outage.next_delay(begin + Duration::from_secs(30)).is_some());
        assert!(outage.next_delay(begin + Duration::from_secs(31)).is_none());
        assert!(Outage::new(Duration::ZERO).next_delay(begin).is_none());
    }
}
