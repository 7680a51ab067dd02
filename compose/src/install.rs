//! Installing what is missing, after saying so.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::FlockOperation;

use crate::answer::tail;
use crate::data::make_dir;
use crate::programs::Programs;
use crate::{NodeKind, Progress};

const NATS_PACKAGE: &str = "github.com/nats-io/nats-server/v2@v2.15.1";
const MINIO_PACKAGE: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";

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
    /// The program that `go install` makes, to be put into the cache.
    made_by_go: Option<&'static str>,
}

impl FromStr for Install {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if matches!(text, "no" | "0" | "false" | "never") { Self::No } else { Self::Yes })
    }
}

/// The programs that a run with such nodes needs and that are not there.
pub(crate) fn missing(programs: &Programs, nodes: NodeKind) -> Vec<Need> {
    let mut needs = Vec::new();
    if programs.nats_server().is_none() {
        needs.push(by_go(programs, "nats-server", NATS_PACKAGE, "nats-server 2.15.1 or newer"));
    }
    if programs.postgres(None).is_none() {
        needs.push(postgres(programs));
    }
    if nodes == NodeKind::Minio && programs.minio().is_none() {
        needs.push(by_go(programs, "minio", MINIO_PACKAGE, "minio"));
    }
    needs
}

/// Installs what is missing. Two runs at once, also from two clones, install it once.
pub(crate) fn ensure(
    programs: &Programs,
    nodes: NodeKind,
    install: Install,
    progress: &Progress,
) -> anyhow::Result<()> {
    let needs = missing(programs, nodes);
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
    let _lock = lock(programs.cache(), progress)?;
    // Another run may have installed it while this one waited.
    for need in missing(programs, nodes) {
        run(programs, &need, progress)?;
    }
    match missing(programs, nodes).first() {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after its installation", need.program),
    }
}

pub(crate) fn by_go(programs: &Programs, name: &'static str, package: &str, what: &str) -> Need {
    let go = programs.on_path("go");
    let commands = match go {
        Some(_) => vec![words(&["go", "install", package])],
        None => Vec::new(),
    };
    let hint = format!(
        "{what} is missing, and Go to build it is missing too: install Go (https://go.dev/doc/install), or put {name} on PATH"
    );
    Need { program: what.to_owned(), commands, hint, made_by_go: Some(name) }
}

fn postgres(programs: &Programs) -> Need {
    let need = |commands: Vec<Vec<String>>, hint: &str| Need {
        program: "postgres".to_owned(),
        commands,
        hint: hint.to_owned(),
        made_by_go: None,
    };
    let is_debian = Path::new("/etc/debian_version").exists() && programs.on_path("apt-get").is_some();
    if !is_debian {
        let brew = programs.on_path("brew").is_some() || cfg!(target_os = "macos");
        return need(
            Vec::new(),
            if brew {
                "postgres is missing: run `brew install postgresql@17`"
            } else {
                "postgres is missing: install the PostgreSQL server with this system's package manager"
            },
        );
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
    if rustix::process::geteuid().is_root() {
        return need(apt(&[]), "");
    }
    if programs.on_path("sudo").is_none() {
        return need(Vec::new(), "postgres is missing: run `apt-get install postgresql` as root");
    }
    // Without a terminal sudo must not ask for a password: it works without one, or fails at once.
    need(if std::io::stdin().is_terminal() { apt(&["sudo"]) } else { apt(&["sudo", "-n"]) }, "")
}

/// Runs what installs it. Under [`lock`].
pub(crate) fn run(programs: &Programs, need: &Need, progress: &Progress) -> anyhow::Result<()> {
    let log = programs.cache().join("install.log");
    let fresh = programs.cache().join("bin/new");
    for command in &need.commands {
        let line = command.join(" ");
        progress.say(format!("running: {line}"));
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let output = output.with_context(|| format!("open {}", log.display()))?;
        let errors = output.try_clone().context("share the log of the installation")?;
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("GOBIN", &fresh)
            .stdin(Stdio::inherit())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start `{line}`"))?;
        let mut tenths: u32 = 0;
        let status = loop {
            if let Some(status) = child.try_wait().with_context(|| format!("wait for `{line}`"))? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(100));
            tenths += 1;
            if tenths.is_multiple_of(100) {
                progress.say(format!("still running after {} s: {line}", tenths / 10));
            }
        };
        // A list that could not be refreshed is no reason not to try the installation.
        if !status.success() && !line.ends_with(" update") {
            bail!("`{line}` failed ({status}); the end of {}:\n{}", log.display(), tail(&log, 15));
        }
    }
    if let Some(name) = need.made_by_go {
        let made = programs.installed(name);
        std::fs::rename(fresh.join(name), &made).with_context(|| format!("move {name} to {}", made.display()))?;
    }
    Ok(())
}

/// Kept while something is installed: two runs at once, also from two clones, do not get into each other's way.
pub(crate) fn lock(cache: &Path, progress: &Progress) -> anyhow::Result<File> {
    make_dir(&cache.join("bin"), 0o700)?;
    let path: PathBuf = cache.join("install.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        progress.say("waiting for another run that is installing");
        rustix::fs::flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::config::Environment;

    fn nothing_there(dir: &Path) -> Programs {
        let vars = [("PATH", dir.display().to_string()), ("HOME", dir.display().to_string())];
        Programs::new(&Environment::of(vars))
    }

    #[test]
    fn without_go_one_line_says_how_to_install_it() {
        let dir = tempfile::tempdir().unwrap();
        let needs = missing(&nothing_there(dir.path()), NodeKind::Minio);
        let nats = needs.iter().find(|need| need.program.starts_with("nats-server")).unwrap();
        assert!(nats.commands.is_empty());
        assert!(nats.hint.contains("install Go") && nats.hint.lines().count() == 1, "{}", nats.hint);
        assert!(needs.iter().any(|need| need.program == "minio"));
    }

    #[test]
    fn install_no_installs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("go"), "#!/bin/sh\ntouch \"$GOBIN/was-run\"\n").unwrap();
        std::fs::set_permissions(dir.path().join("go"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = std::sync::Arc::clone(&said);
        let progress = Progress::to(move |line| sink.lock().unwrap().push(line.to_owned()));
        let refused = ensure(&nothing_there(dir.path()), NodeKind::Minio, Install::No, &progress).unwrap_err();
        assert!(said.lock().unwrap().iter().any(|line| line == &format!("will run: go install {MINIO_PACKAGE}")));
        assert!(format!("{refused}").contains("missing"), "{refused}");
        assert!(!dir.path().join(".cache").exists());
    }
}
