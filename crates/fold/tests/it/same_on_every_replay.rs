//! The same journal folds to the same rows, receipts and digest, whatever the batches are, with events in it twice, and
//! however often it is delivered.

use fold::View;
use fold::rows::Outcome;
use proptest::prelude::*;
use proto::{Recorded, Sha256Digest};

use crate::generated::{garbage, play, step};
use crate::journal::event_id;
use crate::store::Store;

/// What a projector has saved: the rows, and the checkpoint with them.
#[derive(Debug, Clone, PartialEq)]
struct Saved {
    store: Store,
    n: u64,
    chain: Sha256Digest,
}

/// How the work on a delivery ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// All is saved.
    Done,
    /// The process dies after so many events, and what was not saved yet is lost.
    Killed(usize),
}

/// One delivery of events.
#[derive(Debug, Clone)]
struct Delivery {
    /// How far before the checkpoint it begins.
    back: u64,
    len: usize,
    /// After which of its events a transaction ends, besides where the fold asks for it.
    cuts: Vec<bool>,
    end: End,
    /// Another projector, which began at the same checkpoint, has it too, and is slower.
    twice: bool,
}

impl Saved {
    fn nothing() -> Self {
        Self { store: Store::default(), n: 0, chain: Sha256Digest::new([0; 32]) }
    }

    /// A projector that began at the checkpoint of `began` works on a delivery: events up to its checkpoint are skipped, and
    /// each save is by compare and set.
    fn deliver(&mut self, began: &Self, events: &[Recorded], delivery: &Delivery) {
        let mut at = began.clone();
        let killed = match delivery.end {
            End::Done => usize::MAX,
            End::Killed(after) => after,
        };
        let mut view = View::default();
        let mut folded = (at.n, at.chain);
        let last = events.last().map_or(0, |recorded| recorded.n);
        for (place, recorded) in events.iter().enumerate().take(killed) {
            if recorded.n <= at.n {
                continue;
            }
            at.store.guess(&mut view, recorded);
            let ends = at.store.apply(&mut view, recorded);
            folded = (recorded.n, recorded.chain(folded.1));
            if ends || recorded.n == last || delivery.cuts[place % delivery.cuts.len()] {
                if (self.n, self.chain) != (at.n, at.chain) {
                    return;
                }
                at.store.save(view.take_changes());
                (at.n, at.chain) = folded;
                self.clone_from(&at);
                view = View::default();
            }
        }
    }
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let end = prop_oneof![Just(End::Done), (0..12_usize).prop_map(End::Killed)];
    let cuts = prop::collection::vec(prop::bool::weighted(0.3), 1..8);
    (0..10_u64, 1..15_usize, cuts, end, any::<bool>()).prop_map(|(back, len, cuts, end, twice)| Delivery {
        back,
        len,
        cuts,
        end,
        twice,
    })
}

proptest! {
    #[test]
    fn batches_do_not_matter(steps in prop::collection::vec(step(), 0..60), cuts in prop::collection::vec(any::<bool>(), 80)) {
        let world = play(&steps);
        let journal = &world.journal.0;
        let all_at_once = Store::fold(journal, |_| false);
        let ends = |n| cuts[usize::try_from(n).unwrap() % cuts.len()];
        prop_assert_eq!(&world.store, &all_at_once);
        prop_assert_eq!(&world.store, &Store::fold(journal, ends));
        prop_assert_eq!(&world.store, &Store::fold_in_one_view(journal, ends));
    }

    /// The journal delivered again and again from before the checkpoint, by projectors that die in the middle of it, and by
    /// two of them at once.
    #[test]
    fn redeliveries_do_not_matter(
        steps in prop::collection::vec(step(), 0..60),
        deliveries in prop::collection::vec(delivery(), 1..30),
    ) {
        let world = play(&steps);
        let journal = &world.journal.0;
        let mut saved = Saved::nothing();
        let rest = Delivery { back: 3, len: journal.len() + 3, cuts: vec![false], end: End::Done, twice: true };
        for delivery in deliveries.iter().chain([&rest]) {
            let from = usize::try_from(saved.n.saturating_sub(delivery.back)).unwrap();
            let events = &journal[from..(from + delivery.len).min(journal.len())];
            let began = saved.clone();
            saved.deliver(&began, events, delivery);
            if delivery.twice {
                let slower = Delivery { end: End::Done, ..delivery.clone() };
                saved.deliver(&began, events, &slower);
            }
        }
        let chain = journal.iter().fold(Sha256Digest::new([0; 32]), |chain, recorded| recorded.chain(chain));
        prop_assert_eq!((saved.n, saved.chain), (journal.len() as u64, chain));
        prop_assert_eq!(&saved.store.receipts, &world.store.receipts);
        prop_assert_eq!(&saved.store, &world.store);
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
