//! A Postgres of the tests' own: made by initdb in a temporary folder, on a free port of 127.0.0.1, gone with the tests.

use std::fs::Permissions;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// A running server.
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// A shell that ends the server when its input ends: also when the tests are killed.
    guard: Mutex<Option<Child>>,
}

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

// === impl Cluster ===

impl Cluster {
    /// The server that tests share, each in its own databases; it stops with the last test that uses it.
    pub(crate) fn shared() -> anyhow::Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Ok(cluster);
        }
        let cluster = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&cluster);
        Ok(cluster)
    }

    /// A server of a test's own, to be stopped and started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        // Under the system's folder for such things: a user of its own must be able to enter it.
        let folder =
            tempfile::Builder::new().prefix("catalog-").permissions(Permissions::from_mode(0o777)).tempdir()?;
        // A process' umask may have narrowed that.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
        let data = folder.path().join("data");
        let made = as_server(&programs.join("initdb"))?
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .context("start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let cluster = Self { folder, programs, port, guard: Mutex::new(None) };
        cluster.resume()?;
        Ok(cluster)
    }

    /// Starts the server again after [`Self::stop`], on the same port.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let script = "\"$0\" \"$@\" & server=$!; cat >/dev/null; kill -QUIT $server; wait $server";
        let mut command = as_server(Path::new("/bin/sh"))?;
        command.args(["-c", script]).arg(self.programs.join("postgres")).arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string()]);
        for option in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "shared_buffers=16MB",
            "max_connections=200",
        ] {
            command.args(["-c", option]);
        }
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().context("start Postgres")?;
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let started = Instant::now();
        while !self.answers() {
            let words = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            ensure!(started.elapsed() < Duration::from_mins(1), "Postgres does not start: {words}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Stops the server as a crash would.
    pub(crate) fn stop(&self) {
        let child = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            drop(child.stdin.take());
            child.wait().ok();
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.run("createdb", &[name]).map(drop)
    }

    pub(crate) fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        self.run("dropdb", &["--force", name]).map(drop)
    }

    /// Runs SQL as somebody else would, behind the catalog's back.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let options = ["--dbname", database, "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command", sql];
        self.run("psql", &options)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let done = Command::new(self.programs.join(program))
            .args(["--host=127.0.0.1", "--username=postgres", "--port", &self.port.to_string()])
            .args(arguments)
            .output()?;
        ensure!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    fn answers(&self) -> bool {
        // A crashed server accepts connections again before it answers questions.
        TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.sql("postgres", "SELECT 1").is_ok()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        // The folder has files of another user, which only root may remove; else they are this user's own.
        std::fs::remove_dir_all(self.folder.path().join("data")).ok();
    }
}

/// A command that runs as a user that Postgres accepts: it refuses root.
fn as_server(program: &Path) -> io::Result<Command> {
    let user = Command::new("id").arg("-u").output()?;
    if user.stdout.trim_ascii() != b"0" {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    Ok(command)
}

/// Where Postgres is installed: on Debian beside PATH, one folder for each major version.
fn programs() -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        for entry in std::fs::read_dir(parent).into_iter().flatten() {
            found.push(entry?.path().join("bin"));
        }
    }
    found.sort();
    let installed = found.into_iter().rev().find(|folder| folder.join("initdb").exists());
    if let Some(folder) = installed {
        return Ok(folder);
    }
    let shell = Command::new("sh").args(["-c", "command -v initdb"]).output()?;
    let path = PathBuf::from(String::from_utf8(shell.stdout)?.trim());
    let folder = path.parent().filter(|_| shell.status.success());
    folder.map(Path::to_owned).context("no initdb on PATH or in /usr/lib/postgresql: install Postgres (15 or newer)")
}
