//! Tests that depend on the S3 nodes.

mod bad_input;
mod cut;
mod erase;
mod faults;
mod kill;
mod memory_on_minio;
mod pipeline;
mod refusals;
mod retention;
mod under_fire;
