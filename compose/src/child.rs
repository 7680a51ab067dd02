//! A program under its guard, as the runner sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};
use tokio::sync::watch;

/// How a program ended. Both are empty when its guard died with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// What all guards of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Guards {
    /// The program that has the `guard` subcommand.
    pub(crate) compose: PathBuf,
    /// Held by each guard while its program may be running.
    pub(crate) lease: PathBuf,
}

/// How to start a program.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The program's whole environment.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) stop_signal: StopSignal,
    pub(crate) grace: Duration,
    /// User and group, when not the runner's own.
    pub(crate) user: Option<(u32, u32)>,
}

/// The signal that means "end in good order".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    Term,
    /// Postgres: SIGTERM would wait until every client has gone.
    Int,
}

/// A started program. Dropping it closes the guard's pipe, which ends the program.
#[derive(Debug)]
pub(crate) struct Child {
    handle: Handle,
    /// Never written to; see [`crate::guard`].
    _lifeline: ChildStdin,
}

/// Looks at a started program and signals it, without keeping it alive.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// Nothing when the program ended before it could be told.
    pid: Option<Pid>,
    life: watch::Receiver<Life>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Starting,
    Running(Pid),
    Failed(String),
    Exited(Exit),
}

// === impl Exit ===

impl Exit {
    /// Whether the program ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    pub(crate) fn to_line(self) -> String {
        match self {
            Self { code: Some(code), .. } => format!("exit code={code}"),
            Self { signal: Some(signal), .. } => format!("exit signal={signal}"),
            Self { .. } => "exit".to_owned(),
        }
    }

    fn from_line(line: &str) -> Self {
        let number = |key: &str| line.strip_prefix("exit ")?.strip_prefix(key)?.parse().ok();
        Self { code: number("code="), signal: number("signal=") }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("its guard was killed"),
        }
    }
}

// === impl StopSignal ===

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
        }
    }
}

// === impl Guards ===

impl Guards {
    /// A guard, to be told of its program. The program ends when what is piped to the guard's standard input is closed.
    pub(crate) fn command(&self, stop_signal: StopSignal, user: Option<(u32, u32)>) -> Command {
        let mut command = Command::new(&self.compose);
        command.arg("guard").arg("--lease").arg(&self.lease).args(["--stop-signal", stop_signal.name()]);
        if let Some((uid, gid)) = user {
            command.arg("--uid").arg(uid.to_string()).arg("--gid").arg(gid.to_string());
        }
        // Ctrl-C in the terminal must not reach it: it is what stays when the runner goes.
        command.process_group(0).stdin(Stdio::piped());
        command
    }
}

// === impl Child ===

impl Child {
    /// Starts the program under a guard and returns once it has a pid.
    pub(crate) async fn spawn(guards: &Guards, spec: &Spec) -> anyhow::Result<Self> {
        let log = open_log(&spec.log)?;
        let mut command = guards.command(spec.stop_signal, spec.user);
        command.arg("--grace-ms").arg(spec.grace.as_millis().to_string());
        command.arg("--").arg(&spec.program).args(&spec.args);
        command.env_clear().envs(&spec.env).current_dir(&spec.dir);
        command.stdout(Stdio::piped()).stderr(log);
        let mut guard = command.spawn().with_context(|| format!("start the guard {}", guards.compose.display()))?;
        let lifeline = guard.stdin.take().context("the guard has no standard input")?;
        let told = guard.stdout.take().context("the guard has no standard output")?;

        let (tell, mut life) = watch::channel(Life::Starting);
        // A thread and not a task: it must go on telling when the runtime that started the program has ended.
        std::thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                if let Some(next) = Life::from_line(&line) {
                    tell.send_replace(next);
                }
            }
            let _ = guard.wait();
            tell.send_if_modified(|life| {
                let lost = matches!(life, Life::Starting | Life::Running(_));
                if lost {
                    *life = Life::Exited(Exit { code: None, signal: None });
                }
                lost
            });
        });
        let started = life.wait_for(|life| *life != Life::Starting).await.context("the guard says nothing")?.clone();
        let pid = match started {
            Life::Running(pid) => Some(pid),
            Life::Failed(reason) => bail!("{reason}"),
            Life::Starting | Life::Exited(_) => None,
        };
        Ok(Self { handle: Handle { pid, life }, _lifeline: lifeline })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

// === impl Handle ===

impl Handle {
    /// The program's own pid, not its guard's, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = if self.exit().is_some() { None } else { self.pid };
        pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// How it ended, or nothing while it runs.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match &*self.life.borrow() {
            Life::Exited(exit) => Some(*exit),
            Life::Starting | Life::Running(_) | Life::Failed(_) => None,
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> Exit {
        match self.life.wait_for(|life| matches!(life, Life::Exited(_))).await.as_deref() {
            Ok(Life::Exited(exit)) => *exit,
            Ok(_) | Err(_) => Exit { code: None, signal: None },
        }
    }

    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        self.send(Signal::KILL)
    }

    /// Asks it to end, and kills it when it has not within `spec.grace`. True when it had to be killed.
    pub(crate) async fn stop(self, spec: &Spec) -> anyhow::Result<bool> {
        self.send(spec.stop_signal.signal())?;
        // A paused program takes the signal only once it goes on.
        self.send(Signal::CONT)?;
        if tokio::time::timeout(spec.grace, self.clone().ended()).await.is_ok() {
            return Ok(false);
        }
        self.kill()?;
        self.ended().await;
        Ok(true)
    }

    fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = self.pid.filter(|_| self.exit().is_none()) else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            // It ended this very moment.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send {signal:?} to process {pid}")),
        }
    }
}

// === impl Life ===

impl Life {
    fn from_line(line: &str) -> Option<Self> {
        if let Some(pid) = line.strip_prefix("pid ") {
            return pid.parse().ok().and_then(Pid::from_raw).map(Self::Running);
        }
        if let Some(reason) = line.strip_prefix("failed ") {
            return Some(Self::Failed(reason.to_owned()));
        }
        line.starts_with("exit").then(|| Self::Exited(Exit::from_line(line)))
    }
}

/// Opens the log for appending. A line marks each start, so that one file tells the whole story.
fn open_log(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open the log {}", path.display()))?;
    writeln!(log, "--- started").with_context(|| format!("write to the log {}", path.display()))?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_survives_its_line() {
        for exit in [
            Exit { code: Some(0), signal: None },
            Exit { code: Some(70), signal: None },
            Exit { code: None, signal: Some(9) },
            Exit { code: None, signal: None },
        ] {
            assert_eq!(Life::from_line(&exit.to_line()), Some(Life::Exited(exit)));
        }
    }
}
