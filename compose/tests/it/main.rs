//! The runner with real servers and real processes; no services, which it knows only as programs.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod guarded;
mod node;
mod runner;
mod s3;
mod stack;
