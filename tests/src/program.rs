//! Our own programs without a cluster, and what programs say.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use runtime::config::Environment;

/// One of our own programs: in `HIGHWATER_BIN_DIR`, else beside the tests.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let beside = exe.ancestors().find(|dir| dir.join("deps").is_dir()).map(Path::to_path_buf);
    let given = Environment::process().var("HIGHWATER_BIN_DIR").map(PathBuf::from);
    let file = given.or(beside).unwrap().join(name);
    assert!(file.is_file(), "no program {}: build all programs first (`cargo build --workspace`)", file.display());
    file
}

/// What a program has printed on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says that a test does nothing here, and why. Where CI runs the tests, everything must be there: then it fails.
pub fn skipped(test: &str, reason: &str) {
    let is_ci = Environment::process().var("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "{test} cannot be skipped in CI: {reason}");
    skipped_in_ci_too(test, reason);
}

/// As [`skipped`], for what need not be there in CI either.
pub fn skipped_in_ci_too(test: &str, reason: &str) {
    announce(&format!("SKIPPED: {test}: {reason}"));
}

/// Says something past the capture of the test runner, so that a person sees it and CI counts it.
pub fn announce(line: &str) {
    std::io::stderr().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}
