//! What there was at each sequence, for judging what clients saw.

use anyhow::Context as _;

use super::model::{self, Model, Place};
use super::play::{NAMES, Seen, Step};

/// States with the sequences at which they began; each lasts until the next.
type Times<T> = Vec<(u64, T)>;

/// All states that each name, and all names together, were ever in.
#[derive(Debug)]
pub(super) struct History {
    names: [Times<Option<Place>>; NAMES.len()],
    listings: Times<u64>,
}

// === impl History ===

impl History {
    pub(super) fn new() -> Self {
        Self { names: NAMES.map(|_| vec![(0, None)]), listings: vec![(0, model::listing_of(std::iter::empty()))] }
    }

    /// Remembers how things are after the event at `n`.
    pub(super) fn add(&mut self, n: u64, model: &Model) {
        for (times, name) in self.names.iter_mut().zip(NAMES) {
            add(times, n, model.place(name));
        }
        let listing = model.listing();
        add(&mut self.listings, n, model::listing_of(listing.iter().map(|(path, place)| (path.as_str(), *place))));
    }

    /// Whether there is one way through the journal, never backwards, on which a client sees all this in this order, and
    /// each of its own changes after it was answered. Answers how many reads that were.
    pub(super) fn explains(&self, session: &[Step]) -> anyhow::Result<u64> {
        let (mut at, mut reads) = (0, 0);
        for step in session {
            // The earliest moment that fits leaves the most for what comes later.
            at = match step {
                Step::Answered(n) => at.max(*n),
                Step::Saw(seen) => {
                    reads += 1;
                    let later = match seen {
                        Seen::File(name, place) => {
                            let of_name = NAMES.iter().position(|other| other == name).context("another name")?;
                            earliest(&self.names[of_name], at, place)
                        }
                        Seen::Listing(listing) => earliest(&self.listings, at, listing),
                    };
                    later.with_context(|| format!("after {at} there never was what a client saw then: {seen:?}"))?
                }
            };
        }
        Ok(reads)
    }
}

fn add<T: PartialEq>(times: &mut Times<T>, n: u64, state: T) {
    if times.last().is_none_or(|(_, last)| *last != state) {
        times.push((n, state));
    }
}

/// The first sequence from `at` on at which this was so.
fn earliest<T: PartialEq>(times: &Times<T>, at: u64, state: &T) -> Option<u64> {
    let present = times.partition_point(|(from, _)| *from <= at).saturating_sub(1);
    times[present..].iter().find(|(_, other)| other == state).map(|(from, _)| (*from).max(at))
}

#[test]
fn what_was_overwritten_before_is_not_seen_again() {
    let times: Times<u8> = vec![(0, 0), (5, 1), (9, 0), (12, 2)];
    assert_eq!(earliest(&times, 0, &0), Some(0));
    assert_eq!(earliest(&times, 7, &1), Some(7));
    assert_eq!(earliest(&times, 7, &0), Some(9));
    assert_eq!(earliest(&times, 9, &1), None);
    assert_eq!(earliest(&times, 30, &2), Some(30));
}
