//! The gateway: the only door for users.
//!
//! [`fn@run`] serves; [`fn@init`] creates what every other program only verifies. Behind both stand `files`, the one file
//! service that carries every protocol, and `grpc`, the first of these protocols; `plain` tells what the file service knows
//! of itself to those who watch over it. ARCHITECTURE.md follows one upload through it.

mod args;
mod config;
mod error;

mod duties;
mod edge;
mod server;

mod files;
mod grpc;
mod plain;
mod uploads;
mod watch;

mod archive;
mod init;
mod run;

pub use archive::journal;
pub use args::{Args, Command};
pub use config::{Config, DEFAULTS};
pub use init::init;
pub use run::run;
