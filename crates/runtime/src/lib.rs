//! What every process needs: config, telemetry, shutdown, tasks, clock, the one retry policy.
//!
//! It imports nothing of ours and knows no service. A service's `main` calls [`program::main`], which reads the
//! command line and the configuration, starts telemetry, installs the signals and hands a [`program::Process`] to the
//! service; everything the service then starts is tracked by [`tasks::Tasks`] and ends with [`shutdown::Shutdown`].

pub mod config;
pub mod telemetry;

mod error_line;
#[cfg(test)]
mod lines;

pub mod clock;
pub mod ports;
pub mod shutdown;
pub mod tasks;
pub mod trace;

pub mod retry;
pub mod waiting;

pub mod program;

pub use error_line::{ErrorLine, wants_json};
pub use waiting::wait_for;
