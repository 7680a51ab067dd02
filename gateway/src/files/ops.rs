//! For people who run the system: what was given up and why, asking for it again, taking a node out.

mod explain;
mod given_up;
mod redrive;
mod refill;
mod retire;
mod sentences;

pub(crate) use explain::{Explained, What};
pub(crate) use redrive::Wish;
pub(super) use redrive::copies_per_event;
pub(crate) use refill::{eta as refill_eta, under_way as refill_under_way};
