//! The catalog on a real Postgres.

mod cluster;
mod world;

mod building;
mod comparing;
mod fencing;
mod folding;
mod listing;
mod migrating;
mod outages;
mod reading;
mod switching;
mod waiting;
