//! One program of a stack, running or not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::answer::tail;
use crate::child::{Child, Guards, Handle, Spec};
use crate::probe::{Probe, Said};
use crate::{Exit, Progress};

/// How often a program that is starting is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// How long a start may stay silent.
const SAY_AFTER: Duration = Duration::from_secs(4);

/// Lines of a log's end that an error shows.
const TAIL_LINES: usize = 20;

/// A program as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `gateway`, `replicator-1`, `projector`, `nats`, `postgres`, `node-a`.
    pub name: String,
    /// The program's own pid, while it runs.
    pub pid: Option<u32>,
    /// Whether it runs, and if not, why.
    pub state: State,
    /// URLs it answers on.
    pub addresses: Vec<String>,
    /// The file with its output.
    pub log: PathBuf,
    /// Where it keeps its data, when it has any.
    pub data: Option<PathBuf>,
    /// How to log in, by kind (`user`, `password`); made at random for development.
    pub credentials: BTreeMap<String, String>,
}

/// Whether a program runs. Shown as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It is frozen by `pause`.
    Paused,
    /// It was never started, or `stop` ended it.
    Stopped,
    /// `kill` ended it.
    Killed,
    /// It ended by itself.
    Exited(Exit),
}

/// What a part is, apart from whether it runs.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) spec: Spec,
    pub(super) probe: Probe,
    pub(super) addresses: Vec<String>,
    pub(super) data: Option<PathBuf>,
    pub(super) credentials: BTreeMap<String, String>,
    pub(super) timeout: Duration,
    /// How often a start that ends at once is tried again: a killed Postgres leaves processes that need a moment.
    pub(super) retries: u32,
}

#[derive(Debug)]
pub(super) struct Part {
    plan: Mutex<Plan>,
    name: String,
    status: Mutex<Status>,
    /// Held by the verb at work, so that a start and a stop do not cross.
    verb: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Status {
    child: Option<Child>,
    wish: Wish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
    Stop,
    Kill,
}

// === impl Part ===

impl Part {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            name: plan.name.clone(),
            plan: Mutex::new(plan),
            status: Mutex::new(Status { child: None, wish: Wish::Stop }),
            verb: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The environment of the next start.
    pub(super) fn set_env(&self, env: BTreeMap<String, String>) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).spec.env = env;
    }

    pub(super) fn row(&self) -> Row {
        let plan = self.plan();
        Row {
            name: plan.name,
            pid: self.pid(),
            state: self.state(),
            addresses: plan.addresses,
            log: plan.spec.log,
            data: plan.data,
            credentials: plan.credentials,
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.handle().and_then(|handle| handle.pid())
    }

    pub(super) fn state(&self) -> State {
        let status = self.status();
        let Some(child) = &status.child else { return State::Stopped };
        match (child.handle().exit(), status.wish) {
            (None, Wish::Pause) => State::Paused,
            (None, Wish::Run | Wish::Stop | Wish::Kill) => State::Running,
            (Some(_), Wish::Stop) => State::Stopped,
            (Some(_), Wish::Kill) => State::Killed,
            (Some(exit), Wish::Run | Wish::Pause) => State::Exited(exit),
        }
    }

    /// Resolves when the program of the last start has ended; `None` when it was never started.
    pub(super) async fn ended(&self) -> Option<Exit> {
        Some(self.handle()?.ended().await)
    }

    pub(super) async fn start(&self, guards: &Guards, progress: &Progress) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        match self.state() {
            State::Running => Ok(()),
            State::Paused => bail!("{} is paused: resume it", self.name),
            State::Stopped | State::Killed | State::Exited(_) => self.launch(guards, progress).await,
        }
    }

    /// Starts it only if it has ended by itself; a verb may have come first.
    pub(super) async fn start_again(&self, guards: &Guards, progress: &Progress) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        match self.state() {
            State::Exited(_) => self.launch(guards, progress).await,
            State::Running | State::Paused | State::Stopped | State::Killed => Ok(()),
        }
    }

    async fn launch(&self, guards: &Guards, progress: &Progress) -> anyhow::Result<()> {
        let plan = self.plan();
        let mut tries_left = plan.retries;
        loop {
            let said = Said::from_now(&plan.spec.log);
            let child = Child::spawn(guards, &plan.spec).await.with_context(|| format!("start {}", self.name))?;
            let ended = child.handle().clone().ended();
            *self.status() = Status { child: Some(child), wish: Wish::Run };
            let outcome = tokio::select! {
                biased;
                ready = ready(&plan, &said, progress) => ready,
                exit = ended => Err(anyhow::anyhow!("{} ended instead of getting ready ({exit})", self.name)),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(_) if tries_left > 0 && self.pid().is_none() => {
                    tries_left -= 1;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(error) => {
                    let log = &plan.spec.log;
                    bail!("{error:#}; the end of {}:\n{}", log.display(), tail(log, TAIL_LINES));
                }
            }
        }
    }

    pub(super) async fn stop(&self, progress: &Progress) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        let spec = self.plan().spec;
        // First the wish: its end is then no surprise to anybody.
        self.status().wish = Wish::Stop;
        let Some(handle) = self.handle() else { return Ok(()) };
        if handle.stop(&spec).await? {
            progress.say(format!("{} did not end within {} s and was killed", self.name, spec.grace.as_secs()));
        }
        Ok(())
    }

    pub(super) async fn kill(&self) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        self.status().wish = Wish::Kill;
        let Some(handle) = self.handle() else { return Ok(()) };
        handle.kill()?;
        handle.ended().await;
        Ok(())
    }

    pub(super) async fn pause(&self) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        self.signal_all(Signal::STOP)?;
        self.status().wish = Wish::Pause;
        Ok(())
    }

    pub(super) async fn resume(&self) -> anyhow::Result<()> {
        let _verb = self.verb.lock().await;
        self.signal_all(Signal::CONT)?;
        self.status().wish = Wish::Run;
        Ok(())
    }

    /// Signals the program and all that it started: Postgres answers from processes of its own.
    fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        for pid in family(pid) {
            let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
            match rustix::process::kill_process(target, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => bail!("send {signal:?} to process {pid} of {}: {error}", self.name),
            }
        }
        Ok(())
    }

    fn handle(&self) -> Option<Handle> {
        self.status().child.as_ref().map(|child| child.handle().clone())
    }

    fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Exited(_) => "exited",
        })
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Asks until the program is ready, or its time is over.
async fn ready(plan: &Plan, said: &Said<'_>, progress: &Progress) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        let Err(reason) = plan.probe.attempt(said).await else { return Ok(()) };
        if begun.elapsed() > plan.timeout {
            return Err(reason.context(format!("{} was not ready within {} s", plan.name, plan.timeout.as_secs())));
        }
        if told.elapsed() > SAY_AFTER {
            told = Instant::now();
            progress.say(format!("waiting for {} ({} s): {reason:#}", plan.name, begun.elapsed().as_secs()));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A process and all its descendants, the process first.
fn family(pid: u32) -> Vec<u32> {
    let pairs = parents();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// Every process with its parent: from /proc, or from `ps` where there is none.
fn parents() -> Vec<(u32, u32)> {
    let from_stat = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything; after it come the state and the parent.
        let (_, after_name) = stat.rsplit_once(')')?;
        Some((pid, after_name.split_whitespace().nth(1)?.parse().ok()?))
    };
    if let Ok(entries) = std::fs::read_dir("/proc") {
        return entries.filter_map(Result::ok).filter_map(from_stat).collect();
    }
    let listed = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let from_line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.lines().filter_map(from_line).collect()
}
