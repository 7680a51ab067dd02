//! The guard: a small process between the runner and each program it starts, so that no program outlives the runner.
//!
//! The runner holds the other end of the guard's standard input and never writes to it. When the runner ends, however it
//! ends, the kernel closes that pipe; the guard then ends the program's process group. It tells the program's pid and
//! how it ended on its standard output, and forwards nothing else; or, asked so, it is as good as the program itself: with
//! its output and its exit code. A parent-death signal would not do: it needs unsafe code, is cleared by `setpriv` and
//! `runuser`, and does not exist on macOS.
//!
//! Three things run without one: what only says its version, or where something is; the system's own installer, which is in
//! the runner's process group as it would be in a shell's; and the command of `with-postgres`, which is its caller's own, with
//! the caller's terminal.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::program::EXIT_DIED;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::data::open_shared;
use crate::{Exit, Progress};

/// What the runner tells its guard.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// File that stays locked (shared) while the program may be running.
    #[arg(long)]
    pub lease: Option<PathBuf>,
    /// How the program is asked to end: TERM or INT.
    #[arg(long, default_value = "TERM", value_parser = parse_signal)]
    pub stop_signal: Signal,
    /// How long it may take to end before it is killed.
    #[arg(long, default_value_t = 10_000)]
    pub grace_ms: u64,
    /// User that the program runs as.
    #[arg(long)]
    pub uid: Option<u32>,
    /// Group that the program runs as.
    #[arg(long)]
    pub gid: Option<u32>,
    /// File that the program reads.
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// The guard's output is the program's own, and so is its exit code: 128 and the signal, when one ended it.
    #[arg(long)]
    pub transparent: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Starts the program and stays until it has ended. Exits 0 when the program was started, whatever became of it: how it
/// ended is told on standard output. A transparent one exits as the program did.
pub async fn run(options: Options) -> ExitCode {
    match (watch(&options).await, options.transparent) {
        (Ok(exit), true) => exit.into(),
        (Ok(exit), false) => {
            tell(&exit.to_line());
            ExitCode::SUCCESS
        }
        (Err(error), true) => {
            Progress::stderr().say(format!("{error:#}"));
            ExitCode::from(EXIT_DIED)
        }
        (Err(error), false) => {
            tell(&format!("failed {error:#}"));
            ExitCode::from(EXIT_DIED)
        }
    }
}

/// Waits until no guard holds this lease, and with them no program: also those of a start that was given up half-way.
pub(crate) async fn wait_for_all(lease: &Path, progress: &Progress) -> anyhow::Result<()> {
    let file = open_shared(lease)?;
    for tenth in 0..600 {
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        if tenth % 50 == 5 {
            progress.say("waiting until all programs of the last run have ended");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("programs of the last run are still there after a minute: they hold {}", lease.display())
}

async fn watch(options: &Options) -> anyhow::Result<Exit> {
    let lease = options.lease.as_deref().map(open_shared).transpose()?;
    if let Some(file) = &lease {
        rustix::fs::flock(file, FlockOperation::LockShared).context("lock the lease file")?;
    }
    // From here on the next runner waits for this guard. It may have looked before.
    if runner_is_gone()? {
        bail!("{} is not started: its runner is gone", options.command[0].display());
    }
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut child = command(options)?.spawn().with_context(|| format!("start {}", options.command[0].display()))?;
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
        .context("the program ended before it had a pid")?;
    if !options.transparent {
        tell(&format!("pid {group}"));
    }

    let lifeline = lifeline();
    let status = tokio::select! {
        status = child.wait() => status.context("wait for the program")?,
        _ = lifeline => end(&mut child, group, options).await?,
        _ = terminated.recv() => end(&mut child, group, options).await?,
    };
    // What the program itself started and left behind; usually there is nothing.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    Ok(Exit::from(status))
}

fn command(options: &Options) -> anyhow::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(&options.command[0]);
    // A process group of its own: Ctrl-C in the terminal must reach the runner only, which then stops all in order.
    command.args(&options.command[1..]).process_group(0);
    command.stdin(match &options.input {
        Some(file) => std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?.into(),
        None => Stdio::null(),
    });
    if !options.transparent {
        // Standard output is where the guard tells; what the program says goes into its log.
        let log = std::io::stderr().as_fd().try_clone_to_owned().context("share the log file")?;
        command.stdout(log);
    }
    if let Some(gid) = options.gid {
        command.gid(gid);
    }
    if let Some(uid) = options.uid {
        command.uid(uid);
    }
    Ok(command)
}

/// Whether the runner's end of the pipe is closed already: it never writes, so there is something to read only then.
fn runner_is_gone() -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    let mut looked_at = [PollFd::new(&stdin, PollFlags::IN)];
    Ok(poll(&mut looked_at, Some(&Timespec::default())).context("look at standard input")? > 0)
}

/// Resolves when the runner's end of the pipe is closed.
fn lifeline() -> oneshot::Receiver<()> {
    let (gone, lifeline) = oneshot::channel();
    std::thread::spawn(move || {
        let mut byte = [0_u8; 1];
        while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
        let _ = gone.send(());
    });
    lifeline
}

async fn end(child: &mut tokio::process::Child, group: Pid, options: &Options) -> anyhow::Result<ExitStatus> {
    let _ = rustix::process::kill_process_group(group, options.stop_signal);
    // A paused program takes the signal only once it goes on.
    let _ = rustix::process::kill_process_group(group, Signal::CONT);
    if let Ok(status) = tokio::time::timeout(Duration::from_millis(options.grace_ms), child.wait()).await {
        return status.context("wait for the program");
    }
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    child.wait().await.context("wait for the program")
}

/// The runner may be gone: then nobody reads this, and that is no failure.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    match text {
        "TERM" => Ok(Signal::TERM),
        "INT" => Ok(Signal::INT),
        other => Err(format!("`{other}` is not TERM or INT")),
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

/// As a shell would say it.
impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = exit.code.or(exit.signal.map(|signal| 128 + signal)).and_then(|code| u8::try_from(code).ok());
        code.unwrap_or(EXIT_DIED).into()
    }
}
