//! Runs everything as plain processes, for people and for tests: finds or installs the servers, starts them and the
//! services under guards, probes until they are ready, and stops them in order.
//!
//! [`Stack`] is the library; the program `compose` is a thin shell around it. It knows the services only as programs
//! beside its own, and what each is told only as environment variables.

mod answer;
mod child;
pub mod commands;
mod control;
mod data;
mod demo;
mod environment;
pub mod guard;
mod install;
mod ports;
mod probe;
mod programs;
mod progress;
pub mod s3_node;
mod servers;
mod stack;
mod tree;

pub use child::Exit;
pub use install::{Install, Need};
pub use ports::PortPlan;
pub use programs::Tool;
pub use progress::Progress;
pub use servers::nats::options as nats_options;
pub use servers::node::{NodeEntry, NodeKind};
pub use servers::postgres::Durability;
pub use stack::{Builder, Row, Stack, State};
