//! On a system of the test's own, below a temporary folder, where every program is a script, run under the real guard: so
//! the program `compose` must be built.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::config::Environment;

use super::*;

const ROOT: Caller = Caller { is_root: true, has_terminal: false };
const USER: Caller = Caller { is_root: false, has_terminal: false };
const USER_AT_TERMINAL: Caller = Caller { is_root: false, has_terminal: true };

const SERVERS: Servers = Servers { nats: true, postgres: true, minio: false };
const WITH_MINIO: Servers = Servers { minio: true, ..SERVERS };

const APT_UPDATE: &str = "apt-get -o DPkg::Lock::Timeout=600 update";
const APT_INSTALL: &str = "apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends postgresql";

/// Installs Postgres, if nobody would have to answer its questions.
const APT_GET: &str = r#"
echo "apt-get $*" >>"$ROOT/said"
case "$*" in *" install "*) ;; *) exit 0 ;; esac
[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 3
bin="$ROOT/usr/lib/postgresql/17/bin"
mkdir -p "$bin"
for name in postgres initdb createdb dropdb psql; do
  printf '#!/bin/sh\necho "%s (PostgreSQL) 17.2"\n' "$name" >"$bin/$name"
  chmod +x "$bin/$name"
done
"#;

/// Passes no variables on, as the real one.
const SUDO: &str = r#"
echo "sudo $1" >>"$ROOT/said"
[ "$1" = -n ] && shift
exec env -i PATH="$PATH" ROOT="$ROOT" "$@"
"#;

/// Makes a program of the right name that says a version.
const GO: &str = r#"
[ "$1" = install ] || exit 0
for package in "$@"; do :; done
name="${package%@*}"
name="${name%/v2}"
mkdir -p "$GOBIN"
printf '#!/bin/sh\necho v2.99.0\n' >"$GOBIN/${name##*/}"
chmod +x "$GOBIN/${name##*/}"
"#;

/// Puts a program that says a version where the real one would.
const NPM: &str = r#"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin"
name="${3#@*/}"
printf '#!/bin/sh\necho "%s"\n' "${name#*@}" >"$2/bin/${name%@*}"
chmod +x "$2/bin/${name%@*}"
"#;

/// A script that another thread's new process still has open for writing cannot be run: so one system at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct System {
    dir: tempfile::TempDir,
    said: Arc<Mutex<Vec<String>>>,
    _turn: MutexGuard<'static, ()>,
}

impl System {
    fn with(scripts: &[(&str, &str)]) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let system = Self { dir: tempfile::tempdir().unwrap(), said: Arc::default(), _turn: turn };
        for (name, body) in scripts {
            system.script(&format!("bin/{name}"), body);
        }
        system
    }

    fn debian(scripts: &[(&str, &str)]) -> Self {
        let system = Self::with(scripts);
        std::fs::create_dir(system.dir.path().join("etc")).unwrap();
        std::fs::write(system.dir.path().join("etc/debian_version"), "12.0\n").unwrap();
        system
    }

    fn script(&self, path: &str, body: &str) {
        let file = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // The test's own folder is told to each script, and the folders with `env`, `mkdir` and `chmod`.
        let head = format!("#!/bin/sh\nROOT='{}'\nPATH=\"$PATH:/usr/bin:/bin\"\n", self.dir.path().display());
        std::fs::write(&file, head + body).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn programs(&self) -> Programs {
        let home = self.dir.path().display().to_string();
        let vars = [("PATH", format!("{home}/bin")), ("HOME", home)];
        Programs::new(&Environment::of(vars)).of_system(self.dir.path())
    }

    async fn ensure(&self, caller: Caller, servers: Servers, tools: &[Tool], install: Install) -> anyhow::Result<()> {
        let sink = Arc::clone(&self.said);
        let progress = Progress::to(move |line| sink.lock().unwrap().push(line.to_owned()));
        let compose = crate::programs::own(None, "compose").unwrap();
        ensure_for(caller, &self.programs(), &compose, servers, tools, install, &progress).await
    }

    fn has_said(&self, line: &str) -> bool {
        self.said.lock().unwrap().iter().any(|said| said == line)
    }

    /// What the scripts were called with.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }
}

fn go_install(package: &str) -> String {
    format!("go install -gcflags=all=-dwarf=false -ldflags=-s {package}")
}

/// The one line of a failure.
fn line(outcome: anyhow::Result<()>) -> String {
    let line = format!("{:#}", outcome.unwrap_err());
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn install_is_yes_or_no() {
    for (words, install) in [
        (["", "yes", "Yes", "1", "TRUE"].as_slice(), Install::Yes),
        (["no", "NO", "0", "false"].as_slice(), Install::No),
    ] {
        for word in words {
            assert_eq!(word.parse::<Install>().unwrap(), install, "{word}");
        }
    }
    for word in ["nope", "never", "y", "2", " no"] {
        assert!(word.parse::<Install>().is_err(), "{word}");
    }
}

#[test]
fn without_go_one_line_says_how_to_install_it() {
    let system = System::with(&[]);
    let needs = missing(USER, &system.programs(), WITH_MINIO, &[Tool::Buf]);
    let nats = needs.iter().find(|need| need.program.starts_with("nats-server")).unwrap();
    assert!(nats.commands.is_empty());
    assert!(nats.hint.contains("install Go") && nats.hint.lines().count() == 1, "{}", nats.hint);
    assert!(needs.iter().any(|need| need.program == "minio"));
    assert!(needs.iter().any(|need| need.program.starts_with("buf ")));
}

#[tokio::test]
async fn install_no_installs_nothing() {
    let system = System::debian(&[("go", GO), ("apt-get", APT_GET)]);
    let refused = line(system.ensure(ROOT, WITH_MINIO, &[], Install::No).await);
    for command in [&go_install(MINIO_PACKAGE), APT_UPDATE, APT_INSTALL] {
        assert!(system.has_said(&format!("will run: {command}")), "{command}");
    }
    assert!(refused.contains("missing") && refused.contains("INSTALL=no"), "{refused}");
    assert!(!system.dir.path().join(".cache").exists());
    assert_eq!(system.log(), "");
}

#[tokio::test]
async fn go_makes_what_is_missing_and_it_is_found_under_its_own_name() {
    let system = System::debian(&[("go", GO), ("apt-get", APT_GET)]);
    system.ensure(ROOT, WITH_MINIO, &[Tool::Buf, Tool::DockerCompose], Install::Yes).await.unwrap();
    let programs = system.programs();
    assert_eq!(programs.nats_server(), Some(programs.installed("nats-server")));
    assert_eq!(programs.minio(), Some(programs.installed("minio")));
    assert_eq!(programs.tool(Tool::Buf), Some(programs.installed("buf")));
    assert_eq!(programs.tool(Tool::DockerCompose), Some(programs.installed("docker-compose")));
    assert!(system.has_said(&format!("will run: {}", go_install(DOCKER_COMPOSE_PACKAGE))));
    system.said.lock().unwrap().clear();
    system.ensure(ROOT, WITH_MINIO, &[Tool::Buf], Install::No).await.unwrap();
    assert!(system.said.lock().unwrap().is_empty(), "nothing is missing any more");
}

#[tokio::test]
async fn buf_comes_from_npm_where_there_is_one() {
    let system = System::debian(&[("go", GO), ("npm", NPM), ("apt-get", APT_GET)]);
    system.ensure(ROOT, SERVERS, &[Tool::Buf], Install::Yes).await.unwrap();
    let programs = system.programs();
    assert_eq!(programs.tool(Tool::Buf), Some(programs.installed("buf")));
    let cache = programs.cache().display();
    let shown = format!("will run: npm install --global --no-audit --no-fund --prefix {cache} {BUF_OF_NPM}");
    assert!(system.has_said(&shown), "{shown}");
    assert!(!system.said.lock().unwrap().iter().any(|said| said.contains(BUF_PACKAGE)));
}

#[tokio::test]
async fn root_runs_apt_itself() {
    let system = System::debian(&[("go", GO), ("apt-get", APT_GET), ("sudo", SUDO)]);
    system.ensure(ROOT, SERVERS, &[], Install::Yes).await.unwrap();
    assert!(system.has_said(&format!("will run: {APT_INSTALL}")));
    assert_eq!(system.log(), format!("{APT_UPDATE}\n{APT_INSTALL}\n"));
}

#[tokio::test]
async fn others_run_apt_with_sudo_that_asks_only_at_a_terminal() {
    for (caller, sudo) in [(USER, "sudo -n"), (USER_AT_TERMINAL, "sudo")] {
        let system = System::debian(&[("go", GO), ("apt-get", APT_GET), ("sudo", SUDO)]);
        system.ensure(caller, SERVERS, &[], Install::Yes).await.unwrap();
        let shown = format!("will run: {sudo} env DEBIAN_FRONTEND=noninteractive {APT_INSTALL}");
        assert!(system.has_said(&shown), "{shown}");
        let asked = if sudo == "sudo" { "sudo env" } else { sudo };
        assert_eq!(system.log(), format!("{asked}\n{APT_UPDATE}\n{asked}\n{APT_INSTALL}\n"));
    }
}

#[tokio::test]
async fn a_sudo_that_refuses_ends_it_with_the_command_and_its_words() {
    let refuses = "echo 'sudo: a password is required' >&2\nexit 1\n";
    let system = System::debian(&[("go", GO), ("apt-get", APT_GET), ("sudo", refuses)]);
    let failed = format!("{:#}", system.ensure(USER, SERVERS, &[], Install::Yes).await.unwrap_err());
    assert!(failed.starts_with("`sudo -n env ") && failed.contains("a password is required"), "{failed}");
}

#[tokio::test]
async fn where_nothing_can_be_run_one_line_says_what_to_do() {
    // One after the other: each holds the lock on making scripts.
    type Make = fn() -> System;
    let cases: [(Make, &str); 3] = [
        (|| System::with(&[("go", GO)]), "package manager"),
        (|| System::with(&[("go", GO), ("brew", "")]), "brew install postgresql@17"),
        (|| System::debian(&[("go", GO), ("apt-get", APT_GET)]), "as root"),
    ];
    for (make, words) in cases {
        let system = make();
        let refused = line(system.ensure(USER, SERVERS, &[], Install::Yes).await);
        assert!(refused.contains(words), "{refused}");
        assert!(!system.dir.path().join(".cache/highwater/bin/nats-server").exists(), "nothing is half done");
    }
}

#[tokio::test]
async fn a_server_that_is_given_need_not_be_here() {
    let system = System::with(&[]);
    for (given, needed) in [
        (Servers { postgres: false, ..SERVERS }, &["nats-server"][..]),
        (Servers { nats: false, ..SERVERS }, &["postgres"]),
        (Servers { nats: false, postgres: false, minio: true }, &["minio"]),
    ] {
        let needs = missing(USER, &system.programs(), given, &[]);
        let missing: Vec<&str> = needs.iter().filter_map(|need| need.program.split(' ').next()).collect();
        assert_eq!(missing, needed);
    }
    system.ensure(USER, Servers { nats: false, postgres: false, minio: false }, &[], Install::No).await.unwrap();
}

#[test]
fn a_nats_server_that_is_too_old_is_passed_over() {
    let system = System::with(&[("nats-server", "echo 'nats-server: v2.14.9'\n")]);
    let programs = system.programs();
    assert_eq!(programs.nats_server(), None);
    system.script(".cache/highwater/bin/nats-server", "echo 'nats-server: v2.15.1'\n");
    assert_eq!(programs.nats_server(), Some(programs.installed("nats-server")));
}

#[test]
fn a_postgres_of_homebrew_is_found_the_newest_of_its_folder() {
    let system = System::with(&[]);
    for (folder, version) in [
        ("usr/local/opt/postgresql@18/bin", "18.1"),
        ("opt/homebrew/opt/postgresql@16/bin", "16.9 (Homebrew)"),
        ("opt/homebrew/opt/postgresql@17/bin", "17.5 (Homebrew)"),
        ("opt/homebrew/opt/postgresql@14/bin", "14.1 (Homebrew)"),
    ] {
        for name in ["postgres", "initdb", "createdb", "dropdb", "psql"] {
            system.script(&format!("{folder}/{name}"), &format!("echo 'postgres (PostgreSQL) {version}'\n"));
        }
    }
    let of_homebrew = system.dir.path().join("opt/homebrew/opt/postgresql@17/bin");
    assert_eq!(system.programs().postgres(None), Some(of_homebrew));
}

#[test]
fn a_postgres_that_is_too_old_is_passed_over() {
    let system = System::with(&[]);
    let postgres = |folder: &str, version: &str| {
        for name in ["postgres", "initdb", "createdb", "dropdb", "psql"] {
            system.script(&format!("{folder}/{name}"), &format!("echo 'postgres (PostgreSQL) {version}'\n"));
        }
    };
    postgres("bin", "14.9 (Debian 14.9-1)");
    let programs = system.programs();
    assert_eq!(programs.postgres(None), None);
    assert!(missing(USER, &programs, SERVERS, &[]).iter().any(|need| need.program.starts_with("postgres 15")));
    postgres("usr/lib/postgresql/15/bin", "15.4");
    assert_eq!(programs.postgres(None), Some(system.dir.path().join("usr/lib/postgresql/15/bin")));
    let on_path = system.dir.path().join("bin").canonicalize().unwrap();
    assert_eq!(programs.postgres(Some(14)), Some(on_path), "data that it made need it");
    assert_eq!(programs.postgres(Some(16)), None);
}
