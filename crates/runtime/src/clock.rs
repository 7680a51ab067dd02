//! The time and the ids that a process makes, as parameters, so that a test can fix both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where the time comes from. Clones of a fixed clock share its hands. Wall clocks are for people: nothing is ordered
/// by them.
#[derive(Clone, Debug)]
pub struct Clock(Hands);

/// Where fresh ids come from. Clones of a seeded source share it.
#[derive(Clone, Debug)]
pub struct Ids(Source);

#[derive(Clone, Debug)]
enum Hands {
    System,
    Fixed(Arc<Mutex<OffsetDateTime>>),
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Seeded(Arc<Mutex<Seeded>>),
}

#[derive(Debug)]
struct Seeded {
    random: StdRng,
    unix_ms: u64,
}

/// The first instant of the version 7 ids of a seeded source: 2026-01-01T00:00:00Z.
const SEEDED_FROM_UNIX_MS: u64 = 1_767_225_600_000;

// === impl Clock ===

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self(Hands::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn fixed(at: OffsetDateTime) -> Self {
        Self(Hands::Fixed(Arc::new(Mutex::new(at))))
    }

    /// The time, in UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    pub fn now(&self) -> OffsetDateTime {
        match &self.0 {
            Hands::System => OffsetDateTime::now_utc(),
            Hands::Fixed(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a fixed clock; the system's clock takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Hands::Fixed(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

// === impl Ids ===

impl Ids {
    /// Ids no one else has.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same ids for the same seed, in the same order. For tests only.
    pub fn seeded(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self(Source::Seeded(Arc::new(Mutex::new(Seeded { random, unix_ms: SEEDED_FROM_UNIX_MS }))))
    }

    /// A version 7 id: sorts by the time it was made, within this process strictly.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes version 7 ids")]
    pub fn v7(&self) -> Uuid {
        match &self.0 {
            Source::System => Uuid::now_v7(),
            Source::Seeded(seeded) => {
                let mut seeded = seeded.lock().unwrap_or_else(PoisonError::into_inner);
                let mut tail = [0; 10];
                seeded.random.fill_bytes(&mut tail);
                seeded.unix_ms += 1;
                uuid::Builder::from_unix_timestamp_millis(seeded.unix_ms, &tail).into_uuid()
            }
        }
    }

    /// A version 4 id: says nothing about when it was made.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes version 4 ids")]
    pub fn v4(&self) -> Uuid {
        match &self.0 {
            Source::System => Uuid::new_v4(),
            Source::Seeded(seeded) => {
                let mut bytes = [0; 16];
                seeded.lock().unwrap_or_else(PoisonError::into_inner).random.fill_bytes(&mut bytes);
                uuid::Builder::from_random_bytes(bytes).into_uuid()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still_until_it_is_moved() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let clock = Clock::fixed(start);
        let other = clock.clone();
        assert_eq!(clock.now(), start);
        other.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), start + Duration::from_secs(5));
    }

    #[test]
    fn seeded_ids_repeat_and_sort() {
        let (a, b, c) = (Ids::seeded(7), Ids::seeded(7), Ids::seeded(8));
        let first: Vec<Uuid> = (0..100).map(|_| a.v7()).collect();
        assert_eq!(first, (0..100).map(|_| b.v7()).collect::<Vec<_>>());
        assert_ne!(first[0], c.v7());
        assert!(first.is_sorted());
        assert_eq!(first[0].get_version_num(), 7);
        assert_eq!(a.v4().get_version_num(), 4);
    }

    #[test]
    fn system_ids_sort_within_the_process() {
        let ids = Ids::system();
        let made: Vec<Uuid> = (0..1000).map(|_| ids.v7()).collect();
        assert!(made.is_sorted());
    }
}
