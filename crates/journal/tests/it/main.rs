//! The journal on a real nats-server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod bench;
mod server;

mod consume;
mod gate;
mod init;
mod kill;
mod kv;
mod publish;
mod refills;
mod replay;
mod safety;
mod trace;
