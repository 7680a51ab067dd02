//! The fold without any server: given a journal, when an event comes, then this is the state and the outcome.

#![expect(clippy::unwrap_used, reason = "tests")]

mod generated;
mod golden;
mod invariants;
mod journal;
mod rules;
mod same_on_every_replay;
mod store;
mod world;
