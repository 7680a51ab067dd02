//! What the runner only runs to its end: it has a guard, too, and ends with its runner.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use runtime::config::Environment;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::runner::port_base;
use crate::stack::{is_alive, until};

/// Says which process it is, and stays.
const STAYS: &str = "echo $$ >\"$ROOT/pid\"\nexec sleep 60\n";

/// What the runner would listen to, besides its own variables.
const SETTINGS: [&str; 6] = ["XDG_CACHE_HOME", "INSTALL", "NODES", "NODES_FILE", "NATS_URL", "DATABASE_URL"];

/// Makes a nats-server that is new enough, but not beside what another installation left.
const GO: &str = r#"
[ "$1" = install ] || exit 0
[ -e "$GOTMPDIR/half" ] && exit 1
printf '#!/bin/sh\necho nats-server: v2.99.0\n' >"$GOBIN/nats-server"
chmod +x "$GOBIN/nats-server"
"#;

/// Leaves something half done, and takes its time to end.
const GO_THAT_STAYS: &str = r#"
[ "$1" = install ] || exit 0
touch "$GOTMPDIR/half"
trap 'sleep 0.5; exit 1' TERM
echo $$ >"$ROOT/pid"
n=0
while [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
"#;

/// A machine with the programs of the test's making: only those, or before the real ones.
struct Machine {
    dir: tempfile::TempDir,
    path: String,
}

impl Machine {
    fn of_its_own() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Postgres's user must be able to get here.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let path = dir.path().join("bin").display().to_string();
        Self { dir, path }
    }

    fn before_the_real_one() -> Self {
        let machine = Self::of_its_own();
        let path = format!("{}:{}", machine.path, Environment::process().var("PATH").unwrap());
        Self { path, ..machine }
    }

    fn script(&self, name: &str, body: &str) {
        let (bin, text) = (self.dir.path().join("bin"), self.dir.path().join("text"));
        std::fs::create_dir_all(&bin).unwrap();
        let head = format!("#!/bin/sh\nROOT='{}'\nPATH=/usr/bin:/bin\n", self.dir.path().display());
        std::fs::write(&text, head + body).unwrap();
        // A file that another test's new process still has open for writing cannot be run: so another process writes it.
        let mut install = std::process::Command::new("install");
        install.args(["-m", "755"]).arg(text).arg(bin.join(name));
        assert!(install.status().unwrap().success());
    }

    /// A folder of Postgres's programs, of a version that will do.
    fn postgres(&self) {
        for name in ["postgres", "initdb", "createdb", "dropdb", "psql"] {
            self.script(name, "echo 'postgres (PostgreSQL) 17.2'\n");
        }
    }

    fn compose(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_compose"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("HIGHWATER_") || SETTINGS.contains(&&*name) {
                command.env_remove(&*name);
            }
        }
        command.args(args).env("PATH", &self.path).env("HOME", self.dir.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
    }

    /// The process of the script that stays.
    async fn staying(&self) -> u32 {
        let pid = || std::fs::read_to_string(self.dir.path().join("pid")).ok()?.trim().parse().ok();
        until("the script runs", || pid().is_some()).await;
        let staying = pid().unwrap();
        assert!(is_alive(staying));
        std::fs::remove_file(self.dir.path().join("pid")).unwrap();
        staying
    }

    fn cached(&self, name: &str) -> PathBuf {
        self.dir.path().join(".cache/highwater").join(name)
    }
}

/// A transparent guard that is told this; what it answered, what it said besides, and its exit code. Its runner stays until
/// it has ended.
async fn guard(args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compose"));
    command.args(["guard", "--transparent"]).args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _lifeline = child.stdin.take();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn an_installation_ends_with_its_runner_and_the_next_one_goes_on() {
    let machine = Machine::of_its_own();
    machine.postgres();
    // Not SIGINT: a shell without a terminal has what it runs in the background ignore that.
    for signal in [Signal::KILL, Signal::TERM] {
        machine.script("go", GO_THAT_STAYS);
        let mut runner = machine.compose(&["install", "--nodes", "embedded"]);
        let go = machine.staying().await;
        assert!(machine.cached("bin/new/half").exists());
        send(&runner, signal);
        assert!(!runner.wait().await.unwrap().success());
        // At once, while the first one's is still ending.
        machine.script("go", GO);
        let mut next = machine.compose(&["install", "--nodes", "embedded"]);
        assert!(next.wait().await.unwrap().success());
        assert!(!is_alive(go));
        assert!(!machine.cached("bin/new").exists());
        std::fs::remove_file(machine.cached("bin/nats-server")).unwrap();
    }
}

#[tokio::test]
async fn an_initdb_ends_with_its_runner() {
    let machine = Machine::before_the_real_one();
    machine.postgres();
    machine.script("initdb", STAYS);
    // Where its user may write.
    std::fs::set_permissions(machine.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let data = machine.dir.path().join("data").display().to_string();
    let (base, _claim) = port_base();
    let base = base.to_string();
    let servers = ["--servers-only", "--nodes", "embedded", "--nats-url", "nats://127.0.0.1:1"];
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(0))] {
        let up = ["--data", &data, "up", "--install", "no", "--port-base", &base];
        let mut runner = machine.compose(&[&up[..], &servers].concat());
        let initdb = machine.staying().await;
        send(&runner, signal);
        assert_eq!(runner.wait().await.unwrap().code(), code);
        until("initdb ends", || !is_alive(initdb)).await;
    }
}

#[tokio::test]
async fn a_guard_whose_runner_is_gone_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let started = dir.path().join("started").display().to_string();
    let guard = Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(["guard", "--transparent", "--", "/bin/sh", "-c", &format!("echo >'{started}'")])
        .stdin(Stdio::null())
        .output();
    let guard = guard.await.unwrap();
    assert_eq!(guard.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&guard.stderr).contains("its runner is gone"));
    assert!(!std::fs::exists(started).unwrap());
}

#[tokio::test]
async fn a_transparent_guard_is_as_good_as_the_program() {
    let (answer, note, code) = guard(&["--", "/bin/sh", "-c", "echo answer; echo note >&2; exit 3"]).await;
    assert_eq!((answer.as_str(), note.as_str(), code), ("answer\n", "note\n", Some(3)));
    assert_eq!(guard(&["--", "/bin/sh", "-c", "kill -9 $$"]).await.2, Some(128 + 9));

    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input").display().to_string();
    std::fs::write(&input, "what it reads").unwrap();
    assert_eq!(guard(&["--input", &input, "--", "/bin/cat"]).await.0, "what it reads");

    let (_, note, code) = guard(&["--", "/does/not/exist"]).await;
    assert_eq!(code, Some(70));
    assert!(note.starts_with("start /does/not/exist: ") && note.lines().count() == 1, "{note}");
}
