//! The catalog on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod changes;
mod cluster;
mod short;
mod world;

mod auditing;
mod browsing;
mod building;
mod comparing;
mod disks;
mod draining;
mod fencing;
mod folding;
mod history;
mod listing;
mod migrating;
mod operating;
mod outages;
mod past;
mod placing;
mod reading;
mod retaining;
mod rows;
mod spaces;
mod switching;
mod trashing;
mod waiting;
