//! What the runner only runs to its end: it has a guard, too, and ends with its runner.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::stack::{is_alive, until};

/// Says which process it is, and stays.
const STAYS: &str = "echo $$ >\"$ROOT/pid\"\nexec sleep 600\n";

/// Makes a program of the right name that says a version.
const GO: &str = "for package in \"$@\"; do :; done\nname=\"${package##*/}\"\n[ \"$1\" = install ] || exit 0\n\
    mkdir -p \"$GOBIN\"\nprintf '#!/bin/sh\\necho nats-server: v2.99.0\\n' >\"$GOBIN/nats-server\"\n\
    chmod +x \"$GOBIN/nats-server\"\n";

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
        let path = format!("{}:{}", machine.path, std::env::var("PATH").unwrap());
        Self { path, ..machine }
    }

    fn script(&self, name: &str, body: &str) {
        let file = self.dir.path().join("bin").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let head = format!("#!/bin/sh\nROOT='{}'\nPATH=/usr/bin:/bin\n", self.dir.path().display());
        std::fs::write(&file, head + body).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A folder of Postgres's programs, of a version that will do.
    fn postgres(&self) {
        for name in ["postgres", "initdb", "createdb", "dropdb", "psql"] {
            self.script(name, "echo 'postgres (PostgreSQL) 17.2'\n");
        }
    }

    fn compose(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_compose"));
        command.args(args).env("PATH", &self.path).env("HOME", self.dir.path()).env_remove("XDG_CACHE_HOME");
        command.env_remove("INSTALL").env_remove("NODES").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
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
    for signal in [Signal::KILL, Signal::INT] {
        machine.script("go", &format!("[ \"$1\" = install ] || exit 0\ntouch \"$GOTMPDIR/half\"\n{STAYS}"));
        let mut runner = machine.compose(&["install", "--nodes", "embedded"]);
        let go = machine.staying().await;
        send(&runner, signal);
        assert!(!runner.wait().await.unwrap().success());
        until("go ends", || !is_alive(go)).await;
    }
    machine.script("go", GO);
    let next = machine.compose(&["install", "--nodes", "embedded"]);
    let next = next.wait_with_output().await.unwrap();
    assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stderr));
    assert!(machine.path(".cache/highwater/bin/nats-server").is_file());
    assert!(!machine.path(".cache/highwater/bin/new").exists(), "what was cut off is gone");
}

#[tokio::test]
async fn an_initdb_ends_with_its_runner() {
    let machine = Machine::before_the_real_one();
    machine.postgres();
    machine.script("initdb", STAYS);
    // Where its user may write.
    std::fs::set_permissions(machine.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let data = machine.path("data").display().to_string();
    let mut runner =
        machine.compose(&["--data", &data, "up", "--servers-only", "--nodes", "embedded", "--install", "no"]);
    let initdb = machine.staying().await;
    runner.kill().await.unwrap();
    until("initdb ends", || !is_alive(initdb)).await;
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
