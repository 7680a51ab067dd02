//! Tests that depend on the S3 nodes.

mod bad_input;
mod cut;
mod erase;
mod faults;
mod kill;
mod memory;
mod pipeline;
mod refusals;
mod retention;
mod under_fire;
