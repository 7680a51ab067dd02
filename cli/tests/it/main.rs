//! The program as its users run it. What needs real servers is in the workspace's `tests`; here stands what needs no
//! server at all, and what only a misbehaving one shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic where it stands")]

mod changing;
mod fake;
mod reading;
mod resuming;
mod storing;
mod usage;

use assert_cmd::Command;

/// The program, with none of the caller's settings.
fn highwater() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    // Nothing is remembered where there is no home; who tests that brings one.
    command.env_remove("XDG_STATE_HOME").env("HOME", "/nonexistent");
    command.env_remove("HIGHWATER_ADDR").env_remove("COLUMNS").timeout(std::time::Duration::from_mins(1));
    command
}

/// Sends a signal, such as `INT`. By the shell, since a small system has no program `kill`.
fn signal(name: &str, child: &std::process::Child) {
    let command = format!("kill -s {name} {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

/// What a finished program said.
fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}
