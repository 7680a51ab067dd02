//! The same journal folds to the same rows and receipts, whatever the batches are, and with events in it twice.

use fold::rows::Outcome;
use proptest::prelude::*;

use crate::generated::{garbage, play, step};
use crate::journal::event_id;
use crate::store::Store;

proptest! {
    #[test]
    fn batches_do_not_matter(steps in prop::collection::vec(step(), 0..60), cuts in prop::collection::vec(any::<bool>(), 80)) {
        let world = play(&steps);
        let journal = &world.journal.0;
        let all_at_once = Store::fold(journal, |_| false);
        let cut = Store::fold(journal, |n| cuts[usize::try_from(n).unwrap() % cuts.len()]);
        prop_assert_eq!(&world.store, &all_at_once);
        prop_assert_eq!(&world.store, &cut);
    }

    /// A journal with events in it twice, and the same journal with bytes that say nothing in their place.
    #[test]
    fn duplicates_do_not_matter(
        first in prop::collection::vec(step(), 1..25),
        second in prop::collection::vec(step(), 0..25),
        again in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        cuts in prop::collection::vec(any::<bool>(), 80),
    ) {
        let mut world = play(&first);
        let place = world.journal.0.len();
        for _ in &again {
            garbage(&mut world);
        }
        for (n, step) in (1..).zip(&second) {
            if let Some(fact) = crate::generated::fact(&world, step) {
                world.add(event_id(0x5000 + n), fact);
            }
        }
        let mut doubled = world.journal.0.clone();
        let events: Vec<usize> = (0..place).filter(|&at| doubled[at].decode().is_ok()).collect();
        for (offset, index) in again.iter().enumerate() {
            let source = doubled[*index.get(&events)].clone();
            doubled[place + offset].payload = source.payload;
        }
        let mut store = Store::fold(&doubled, |n| cuts[usize::try_from(n).unwrap() % cuts.len()]);
        for (offset, at) in (place..place + again.len()).enumerate() {
            let event = store.events[at].clone();
            prop_assert_eq!((event.outcome, event.space_id), (Outcome::Repeated, None), "{}", offset);
            store.events[at] = world.store.events[at].clone();
        }
        prop_assert_eq!(&store, &world.store);
    }
}
