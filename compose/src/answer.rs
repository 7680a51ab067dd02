//! Running another program to its end, and showing the end of its log when it failed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::{Child, ChildStdin, Command};

use crate::child::{Guards, StopSignal};

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

/// What an errand needs besides its program.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    /// The user and group that it runs as, when not the runner's own.
    pub(crate) user: Option<(u32, u32)>,
    /// What it reads.
    pub(crate) input: Option<&'a Path>,
}

/// A program that is run to its end, under a guard.
#[derive(Debug)]
pub(crate) struct Errand {
    program: PathBuf,
    guard: Command,
}

/// An errand on its way.
#[derive(Debug)]
pub(crate) struct Running {
    /// The guard, which exits as the program does. Only to be waited for: whoever kills it leaves the program.
    pub(crate) child: Child,
    /// Never written to. Dropping it ends the program; see [`crate::guard`].
    pub(crate) lifeline: ChildStdin,
}

// === impl Errand ===

impl Errand {
    pub(crate) fn new(guards: &Guards, program: PathBuf, terms: Terms<'_>) -> Self {
        let mut guard = guards.command(StopSignal::Term, terms.user);
        guard.arg("--transparent");
        if let Some(input) = terms.input {
            guard.arg("--input").arg(input);
        }
        guard.arg("--").arg(&program);
        Self { program, guard: guard.into() }
    }

    /// For the program's arguments, environment, folder and output; its input is among the [`Terms`].
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.guard
    }

    pub(crate) fn start(mut self) -> anyhow::Result<Running> {
        let guard = self.guard.as_std().get_program().display().to_string();
        let started = self.guard.spawn();
        let mut child = started.with_context(|| format!("start {guard} to guard {}", self.program.display()))?;
        let lifeline = child.stdin.take().context("the guard has no standard input")?;
        Ok(Running { child, lifeline })
    }

    /// Runs it to its end and returns what it printed; its own words are the error when it failed.
    pub(crate) async fn answer(mut self) -> anyhow::Result<String> {
        let shown = self.program.display().to_string();
        self.guard.stdout(Stdio::piped()).stderr(Stdio::piped());
        let Running { child, lifeline: _lifeline } = self.start()?;
        let output = child.wait_with_output().await.with_context(|| format!("wait for {shown}"))?;
        if !output.status.success() {
            bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
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
