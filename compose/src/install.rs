//! Installing what is missing, after saying so.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::FlockOperation;
use tokio::process::{Child, ChildStdin, Command};

use crate::Progress;
use crate::answer::{Errand, Running, Terms, tail};
use crate::child::Guards;
use crate::data::{make_dir, open_shared, remove};
use crate::guard::wait_for_all;
use crate::programs::{POSTGRES_MAJOR, Programs, Tool};

/// Without what a debugger needs: that takes a seventh less time.
const GO_INSTALL: [&str; 4] = ["go", "install", "-gcflags=all=-dwarf=false", "-ldflags=-s"];
const NATS_PACKAGE: &str = "github.com/nats-io/nats-server/v2@v2.15.1";
const MINIO_PACKAGE: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const BUF_PACKAGE: &str = "github.com/bufbuild/buf/cmd/buf@v1.75.0";
const BUF_OF_NPM: &str = "@bufbuild/buf@1.75.0";
/// The newest that `go install` takes: later ones exclude modules, which it refuses.
const DOCKER_COMPOSE_PACKAGE: &str = "github.com/docker/compose/v5/cmd@v5.0.2";
const RCLONE_PACKAGE: &str = "github.com/rclone/rclone@v1.76.0";
const MC_PACKAGE: &str = "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9";

/// What installs for the whole system.
const OF_THE_SYSTEM: [&str; 2] = ["apt-get", "sudo"];

/// How often a long installation says that it is still running.
const SAYS_EVERY: Duration = Duration::from_secs(10);

/// Whether missing programs are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Install {
    /// Install, after saying what will be run.
    #[default]
    Yes,
    /// Only say it.
    No,
}

/// A missing program.
#[derive(Debug, Clone)]
pub struct Need {
    /// What is missing.
    pub program: String,
    /// What will be run to install it, in order; empty when this system has no way that we know.
    pub commands: Vec<Vec<String>>,
    /// How a person installs it, when there are no commands.
    pub hint: String,
    made_by_go: Option<MadeByGo>,
}

/// The program that `go install` makes, to be put into the cache.
#[derive(Debug, Clone, Copy)]
struct MadeByGo {
    /// What Go calls it: the last folder of its package.
    made: &'static str,
    name: &'static str,
}

/// Which servers a run starts itself: only these need be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Servers {
    pub(crate) nats: bool,
    pub(crate) postgres: bool,
    pub(crate) minio: bool,
}

/// Who is asking, and whether somebody can answer.
#[derive(Debug, Clone, Copy)]
struct Caller {
    is_root: bool,
    has_terminal: bool,
}

impl FromStr for Install {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            // `make up INSTALL=` gives nothing, as it looks.
            "" | "yes" | "1" | "true" => Ok(Self::Yes),
            "no" | "0" | "false" => Ok(Self::No),
            _ => bail!("it is yes or no (1 or 0, true or false)"),
        }
    }
}

/// Installs what is missing of the servers and of the tools. Two runs at once, also from two
/// clones, install it once.
pub(crate) async fn ensure(
    programs: &Programs,
    compose: &Path,
    servers: Servers,
    tools: &[Tool],
    install: Install,
    progress: &Progress,
) -> anyhow::Result<()> {
    let has_terminal = std::io::stdin().is_terminal();
    let caller = Caller { is_root: rustix::process::geteuid().is_root(), has_terminal };
    ensure_for(caller, programs, compose, servers, tools, install, progress).await
}

async fn ensure_for(
    caller: Caller,
    programs: &Programs,
    compose: &Path,
    servers: Servers,
    tools: &[Tool],
    install: Install,
    progress: &Progress,
) -> anyhow::Result<()> {
    let missing = async || {
        let (programs, tools) = (programs.clone(), tools.to_vec());
        let found = tokio::task::spawn_blocking(move || missing(caller, &programs, servers, &tools)).await;
        found.context("look for what is missing")
    };
    let needs = missing().await?;
    if needs.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = needs
        .iter()
        .flat_map(|need| need.commands.iter())
        .map(|command| format!("will run: {}", command.join(" ")))
        .collect();
    for line in &lines {
        progress.say(line);
    }
    let hints: Vec<&str> =
        needs.iter().filter(|need| need.commands.is_empty()).map(|need| need.hint.as_str()).collect();
    if !hints.is_empty() {
        bail!("{}", hints.join("\n"));
    }
    if install == Install::No {
        let names: Vec<&str> = needs.iter().map(|need| need.program.as_str()).collect();
        bail!("missing: {}; INSTALL=no, so nothing was installed", names.join(", "));
    }
    let guards = Guards { compose: compose.to_path_buf(), lease: programs.cache().join("install.guards") };
    let _lock = lock(programs.cache(), progress).await?;
    wait_for_all(&guards.lease, progress).await?;
    // Another run may have installed it while this one waited.
    for need in missing().await? {
        run(programs, &guards, &need, progress).await?;
    }
    match missing().await?.first() {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after its installation", need.program),
    }
}

fn missing(caller: Caller, programs: &Programs, servers: Servers, tools: &[Tool]) -> Vec<Need> {
    let mut needs = Vec::new();
    if servers.nats && programs.nats_server().is_none() {
        needs.push(by_go(programs, "nats-server", NATS_PACKAGE, "nats-server 2.15.1 or newer"));
    }
    if servers.postgres && programs.postgres(None).is_none() {
        needs.push(postgres(programs, caller));
    }
    if servers.minio && programs.minio().is_none() {
        needs.push(by_go(programs, "minio", MINIO_PACKAGE, "minio"));
    }
    for tool in tools.iter().filter(|tool| programs.tool(**tool).is_none()) {
        needs.push(match tool {
            Tool::Buf => buf(programs),
            Tool::DockerCompose => {
                by_go(programs, "docker-compose", DOCKER_COMPOSE_PACKAGE, "docker-compose 2.24 or newer")
            }
            Tool::Rclone => by_go(programs, "rclone", RCLONE_PACKAGE, "rclone"),
            Tool::Mc => by_go(programs, "mc", MC_PACKAGE, "mc, MinIO's client,"),
        });
    }
    needs
}

fn by_go(programs: &Programs, name: &'static str, package: &str, what: &str) -> Need {
    let made = if package.starts_with("github.com/docker/compose/") { "cmd" } else { name };
    let commands = match programs.on_path("go") {
        Some(_) => vec![words(&[&GO_INSTALL[..], &[package]].concat())],
        None => Vec::new(),
    };
    let hint = format!(
        "{what} is missing, and Go to build it is missing too: install Go (https://go.dev/doc/install), or put {name} on PATH"
    );
    Need { program: what.to_owned(), commands, hint, made_by_go: Some(MadeByGo { made, name }) }
}

/// Its makers give it to npm as a program: that takes seconds, and to make it by Go two minutes.
fn buf(programs: &Programs) -> Need {
    let need = by_go(programs, "buf", BUF_PACKAGE, "buf 1.75.0 or newer");
    if programs.on_path("npm").is_none() {
        return need;
    }
    // npm puts what is called into `bin` of its prefix: where ours are, too.
    let prefix = programs.cache().display().to_string();
    let mut command = words(&["npm", "install", "--global", "--no-audit", "--no-fund", "--prefix"]);
    command.extend([prefix, BUF_OF_NPM.to_owned()]);
    Need { commands: vec![command], made_by_go: None, ..need }
}

fn postgres(programs: &Programs, caller: Caller) -> Need {
    let need = |commands: Vec<Vec<String>>, hint: &str| Need {
        program: format!("postgres {POSTGRES_MAJOR} or newer"),
        commands,
        hint: hint.to_owned(),
        made_by_go: None,
    };
    if !programs.is_debian() {
        let brew = programs.on_path("brew").is_some() || cfg!(target_os = "macos");
        let hint =
            if brew { "run `brew install postgresql@17`" } else { "install it with this system's package manager" };
        return need(Vec::new(), &format!("the PostgreSQL server {POSTGRES_MAJOR} or newer is missing: {hint}"));
    }
    let apt = |prefix: &[&str]| {
        ["update", "install --yes --no-install-recommends postgresql"]
            .iter()
            .map(|what| {
                let mut command = words(prefix);
                command.extend(words(&["apt-get", "-o", "DPkg::Lock::Timeout=600"]));
                command.extend(what.split(' ').map(str::to_owned));
                command
            })
            .collect()
    };
    if caller.is_root {
        return need(apt(&[]), "");
    }
    if programs.on_path("sudo").is_none() {
        return need(Vec::new(), "postgres is missing: run `apt-get install postgresql` as root");
    }
    // Without a terminal sudo must not ask for a password: it works without one, or fails at once. It passes no variables
    // on.
    let sudo: &[&str] = if caller.has_terminal { &["sudo"] } else { &["sudo", "-n"] };
    need(apt(&[sudo, &["env", "DEBIAN_FRONTEND=noninteractive"]].concat()), "")
}

async fn run(programs: &Programs, guards: &Guards, need: &Need, progress: &Progress) -> anyhow::Result<()> {
    let log = programs.cache().join("install.log");
    let fresh = programs.cache().join("bin/new");
    // What an installation that was cut off has left.
    remove(&fresh)?;
    make_dir(&fresh, 0o700)?;
    for command in &need.commands {
        let line = command.join(" ");
        progress.say(format!("running: {line}"));
        let (mut child, _lifeline) = start(programs, guards, command, &fresh, &log)?;
        let mut seconds = 0;
        let status = loop {
            if let Ok(status) = tokio::time::timeout(SAYS_EVERY, child.wait()).await {
                break status.with_context(|| format!("wait for `{line}`"))?;
            }
            seconds += SAYS_EVERY.as_secs();
            progress.say(format!("still running after {seconds} s: {line}"));
        };
        // A list that could not be refreshed is no reason not to try the installation.
        if !status.success() && !line.ends_with(" update") {
            bail!("`{line}` failed ({status}); the end of {}:\n{}", log.display(), tail(&log, 15));
        }
    }
    if let Some(MadeByGo { made, name }) = need.made_by_go {
        let place = programs.installed(name);
        std::fs::rename(fresh.join(made), &place).with_context(|| format!("move {made} to {}", place.display()))?;
    }
    remove(&fresh)
}

/// Starts one command of an installation, with what it says in the log. It ends when the second value is dropped. The
/// system's own has none, and no guard: what dpkg is about is better brought to its end, and the next run waits for its lock.
fn start(
    programs: &Programs,
    guards: &Guards,
    command: &[String],
    fresh: &Path,
    log: &Path,
) -> anyhow::Result<(Child, Option<ChildStdin>)> {
    let (name, args) = command.split_first().context("no command is given")?;
    let program = programs.on_path(name).with_context(|| format!("no program {name} on PATH"))?;
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let output = output.with_context(|| format!("open {}", log.display()))?;
    let errors = output.try_clone().context("share the log of the installation")?;
    let path = programs.path()?;
    let prepare = |command: &mut Command| {
        command.args(args).env("PATH", path).env("DEBIAN_FRONTEND", "noninteractive").stdout(output).stderr(errors);
        // Go leaves its temporary folder when it is ended. Its compiler collects garbage less often.
        command.env("GOBIN", fresh).env("GOTMPDIR", fresh).env("GOGC", "400");
    };
    if OF_THE_SYSTEM.contains(&name.as_str()) {
        let mut alone = Command::new(program);
        prepare(&mut alone);
        // sudo may ask at the terminal.
        let child = alone.stdin(Stdio::inherit()).spawn().with_context(|| format!("start {name}"))?;
        return Ok((child, None));
    }
    let mut errand = Errand::new(guards, program, Terms::default());
    prepare(errand.command());
    let Running { child, lifeline } = errand.start()?;
    Ok((child, Some(lifeline)))
}

async fn lock(cache: &Path, progress: &Progress) -> anyhow::Result<File> {
    make_dir(&cache.join("bin"), 0o700)?;
    let path = cache.join("install.lock");
    let file = open_shared(&path)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(file);
    }
    progress.say("waiting for another run that is installing");
    let waiting = move || rustix::fs::flock(&file, FlockOperation::LockExclusive).map(|()| file);
    let locked = tokio::task::spawn_blocking(waiting).await.context("wait for the other run")?;
    locked.with_context(|| format!("lock {}", path.display()))
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests;
