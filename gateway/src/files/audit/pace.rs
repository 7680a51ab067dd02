//! Reading no faster than allowed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets bytes pass at a bounded rate, whoever reads them.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next bytes may pass.
    free_at: Mutex<Instant>,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until so many bytes that were read have had their time. What was not used is not saved up.
    pub(super) async fn pass(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + time;
            *free_at
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time() {
        let started = Instant::now();
        let pace = Pace::new(Some(1000));
        tokio::join!(pace.pass(1500), pace.pass(500));
        assert_eq!(started.elapsed().as_secs(), 2);
        tokio::time::advance(Duration::from_secs(10)).await;
        pace.pass(1000).await;
        assert_eq!(started.elapsed().as_secs(), 13, "idle time is not saved up");
        Pace::new(None).pass(u64::MAX).await;
        assert_eq!(started.elapsed().as_secs(), 13);
    }
}
