//! The pure rules of Highwater: (state, event) -> (state, outcome).
//!
//! Events are applied in the order of the journal to a [`View`], the part of the catalog that they touch. Nothing here
//! does I/O, reads a clock, draws a random number or depends on a locale: two folds of the same journal make the same
//! rows, outcomes and receipts. Whoever drives the fold does three things, again and again:
//!
//! 1. loads the rows named by [`keys`] into a view,
//! 2. calls [`apply`] for each event; when it answers [`Missing`], loads those rows too and applies the event again
//!    (nothing was changed by the first try),
//! 3. saves [`View::take_changes`] together with the new checkpoint.
//!
//! [`Store`] does all three in memory, for a journal that is folded without a server.
//!
//! Reading order: [`rows`] (what the state is), [`View`] (its part in memory), `tree`, `place` and `versions` (what several
//! kinds of events have in common), then `apply` with one file for each kind. A kind first looks up all that it needs,
//! and rejects or asks for rows by an early return; only then it changes anything, which cannot fail.

mod apply;
mod changes;
mod conflict;
mod key;
mod place;
mod replicas;
pub mod rows;
mod stop;
mod store;
mod table;
mod tree;
mod versions;
mod view;

pub use apply::{Input, apply, ends_batch};
pub use changes::{Bulk, Changes};
pub use key::{Key, Missing, keys};
pub use store::Store;
pub use table::Table;
pub use view::View;

/// The name of the space that takes uploads whose own space is gone.
pub const RECOVERED_SPACE: &str = "recovered";
