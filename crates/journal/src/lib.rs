//! The journal: the one log of everything that ever changed, on NATS JetStream. Sole owner of `async-nats`.
//!
//! What this crate promises:
//!
//! - [`Journal::publish`] answers `Ok` only for an event that a journal which fsyncs before it acknowledges has
//!   acknowledged. An event is stored at most once, however often its publishing is retried.
//! - [`Journal::open`] and [`init`] refuse a server or a stream that could lose or reorder acknowledged events, and say
//!   why; the same checks go on for as long as the journal is open, and stop writes when they fail ([`Error::Unsafe`],
//!   [`Error::Diverged`]).
//! - [`Journal::replay`] gives every event in order, without holes, or an error. It survives reconnects.
//! - [`consume`] takes only what can start now, acknowledges only what its handler ended, and drains on shutdown.
//!
//! A service opens one [`Journal`] and clones it. Publishing ends when the last clone is dropped, so drop them before
//! waiting for the tasks of the process to end.

mod config;
mod error;
mod names;

mod layout;
mod link;
mod monitor;

mod guard;
mod safety;

mod journal;
mod publish;

mod pull;
mod replay;

mod consume;
mod slots;
mod work;

mod archived;
mod find;
mod init;
mod kv;
mod lease;
mod lives;
mod markers;
mod refills;
mod restore;

pub use archived::Archived;
pub use config::{CONFIG_DEFAULT, Config, DUPLICATE_WINDOW, MAX_EVENT_BYTES};
pub use consume::consume;
pub use error::{Error, JOURNAL_DIVERGED, JOURNAL_UNSAFE, PublishError};
pub use init::{Change, Plan, Report, init};
pub use journal::{Head, Identity, Journal, Lag};
pub use kv::{Bucket, BucketName, Entry};
pub use lease::Lease;
pub use markers::{Disk, Judge, Markers};
pub use names::{ConsumerName, Lane, SUBJECTS, consumer_name};
pub use publish::Published;
pub use refills::{Refill, Saved};
pub use replay::Replay;
pub use restore::{Replaced, Restoring, restore};
pub use slots::{Paused, Slot, Slots};
pub use work::{Delivery, Ended, Work};
