//! The harness of the integration tests: whole clusters of real servers and services, started by `compose`'s library.
//!
//! A test is a function that calls [`run`] with what its cluster shall have and with what shall happen. The cluster has
//! ports and a folder of its own, so that tests and whole runs can share a machine; it is stopped and removed afterwards,
//! also when the test fails, and then the ends of all logs are printed. Nothing here sleeps for a time and hopes:
//! [`eventually`] asks again until an answer is right.

#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a failure is a panic with a sentence, and names say what they do"
)]

mod client;
mod cluster;
mod content;
mod eventually;
mod link;
mod nats;
mod ops;
mod plain;
mod program;
mod proxy;
mod raw;
mod run;
mod runner;
mod verbs;

pub use client::{Client, chunks, metadata, reason_of};
pub use cluster::Cluster;
pub use content::{Content, digest_of};
pub use eventually::{eventually, eventually_within};
pub use link::Link;
pub use nats::Nats;
pub use plain::{Http, HttpAnswer};
pub use program::{announce, program, said, skipped, skipped_in_ci_too};
pub use proxy::{Act, Proxy, Rule};
pub use run::{node_kind, run, run_as_shipped};
pub use runner::{Row, Runner, signal};
