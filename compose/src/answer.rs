//! Asking another program, and showing the end of its log when it failed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};

/// How much of a log's end is looked at.
const TAIL_BYTES: u64 = 64 * 1024;

/// The last lines of a log, only those of the program's last start, each indented.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = match read() {
        Ok(text) => text,
        Err(error) => return format!("  (cannot read {}: {error})", log.display()),
    };
    let since_start = text.rsplit("--- started\n").next().unwrap_or(&text);
    let all: Vec<&str> = since_start.lines().collect();
    if all.is_empty() {
        return "  (it is empty)".to_owned();
    }
    let from = all.len().saturating_sub(lines);
    all[from..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Runs a program to its end and returns what it printed; its own words are the error when it failed.
pub(crate) async fn ask(command: tokio::process::Command) -> anyhow::Result<String> {
    ask_with(command, Stdio::null()).await
}

/// As [`ask`], of a program that reads.
pub(crate) async fn ask_with(mut command: tokio::process::Command, input: Stdio) -> anyhow::Result<String> {
    let shown = command.as_std().get_program().display().to_string();
    let output = command.stdin(input).kill_on_drop(true).output().await.with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_of_the_last_start_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "--- started\nold\n--- started\none\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), "  two\n  three");
        assert_eq!(tail(&log, 9), "  one\n  two\n  three");
        assert!(tail(&dir.path().join("none"), 9).contains("cannot read"));
    }
}
