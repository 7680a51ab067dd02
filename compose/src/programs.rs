//! Finding the programs of others, and our own beside this one.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use runtime::config::Environment;

/// The oldest nats-server whose `sync_interval: always` keeps what it acknowledged and that answers all we ask.
pub(crate) const NATS_VERSION: [u32; 3] = [2, 15, 1];

/// The oldest Postgres that the catalog is tested with.
pub(crate) const POSTGRES_MAJOR: u32 = 15;

/// The oldest buf whose standard rules our .proto files are written for.
const BUF_VERSION: [u32; 3] = [1, 75, 0];

/// What Postgres's folder of programs must hold.
const POSTGRES_PROGRAMS: [&str; 5] = ["postgres", "initdb", "createdb", "dropdb", "psql"];

/// What only tests, checks and the benchmark use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// Checks docker-compose.yml
    DockerCompose,
    /// Checks the .proto files
    Buf,
    /// Is measured beside the replicator
    Rclone,
    /// MinIO's client: is measured beside the replicator, and sets up MinIO's own replication
    Mc,
}

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    path: Vec<PathBuf>,
    /// `/`; tests have a system of their own.
    root: PathBuf,
    /// Where we install what is missing.
    cache: PathBuf,
}

impl Programs {
    pub(crate) fn new(env: &Environment) -> Self {
        let path = env.var("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
        Self { path, root: PathBuf::from("/"), cache: cache_dir(env) }
    }

    /// The same programs of another system, which is below this folder.
    #[cfg(test)]
    pub(crate) fn of_system(mut self, root: &Path) -> Self {
        self.root = root.to_path_buf();
        self
    }

    /// Whether this is Debian, or made from it.
    pub(crate) fn is_debian(&self) -> bool {
        self.root.join("etc/debian_version").exists() && self.on_path("apt-get").is_some()
    }

    /// A folder of this user's own for what is installed and prepared once.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folders that programs are looked for in, as one variable.
    pub(crate) fn path(&self) -> anyhow::Result<OsString> {
        std::env::join_paths(&self.path).context("join the folders of PATH")
    }

    pub(crate) fn on_path(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|file| is_program(file))
    }

    /// A nats-server that is new enough. One on PATH that is too old is passed over.
    pub(crate) fn nats_server(&self) -> Option<PathBuf> {
        self.candidates("nats-server").find(|file| is_new_enough(file, NATS_VERSION))
    }

    pub(crate) fn minio(&self) -> Option<PathBuf> {
        self.candidates("minio").next()
    }

    /// One that is new enough.
    pub(crate) fn tool(&self, tool: Tool) -> Option<PathBuf> {
        match tool {
            Tool::Buf => self.candidates("buf").find(|file| is_new_enough(file, BUF_VERSION)),
            // Its first line knows neither the name of a project nor secrets from the environment. One made by Go does
            // not know its own version.
            Tool::DockerCompose => self.candidates("docker-compose").find(|file| {
                let output = Command::new(file).args(["version", "--short"]).output();
                output.is_ok_and(|output| output.status.success() && !output.stdout.starts_with(b"1."))
            }),
            Tool::Rclone => self.candidates("rclone").find(|file| says(file, "rclone v")),
            // The Midnight Commander is called so, too.
            Tool::Mc => self.candidates("mc").find(|file| says(file, "mc version ")),
        }
    }

    /// The folder with Postgres's programs: of one major version, when given, else the first one that is new enough. One
    /// on PATH that is too old is passed over.
    pub(crate) fn postgres(&self, major: Option<u32>) -> Option<PathBuf> {
        self.postgres_folders().into_iter().find(|dir| match (postgres_major(dir), major) {
            (Some(found), Some(major)) => found == major,
            (Some(found), None) => found >= POSTGRES_MAJOR,
            (None, _) => false,
        })
    }

    /// Where a program that `go install` makes for us goes.
    pub(crate) fn installed(&self, name: &str) -> PathBuf {
        self.installed_in().join(name)
    }

    /// The folder of these programs.
    pub(crate) fn installed_in(&self) -> PathBuf {
        self.cache.join("bin")
    }

    /// In order; Go is asked for its folder only when the others were not good enough.
    fn candidates(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let on_path = self.path.iter().map(move |dir| dir.join(name));
        let by_go = std::iter::once_with(|| self.go_bin()).flatten().map(move |dir| dir.join(name));
        on_path.chain([self.installed(name)]).chain(by_go).filter(|file| is_program(file))
    }

    fn go_bin(&self) -> Option<PathBuf> {
        let go = self.on_path("go")?;
        let ask = |key: &str| {
            let output = Command::new(&go).args(["env", key]).output().ok()?;
            let value = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            (!value.is_empty()).then(|| PathBuf::from(value))
        };
        ask("GOBIN").or_else(|| ask("GOPATH").map(|path| path.join("bin")))
    }

    fn postgres_folders(&self) -> Vec<PathBuf> {
        // A link on PATH leads to the folder that has the rest.
        let linked = self.on_path("postgres").and_then(|file| file.canonicalize().ok());
        let mut folders: Vec<PathBuf> = linked.iter().filter_map(|file| file.parent()).map(Path::to_path_buf).collect();
        folders.extend(numbered(&self.root.join("usr/lib/postgresql"), ""));
        for opt in ["opt/homebrew/opt", "usr/local/opt"].map(|opt| self.root.join(opt)) {
            folders.extend(numbered(&opt, "postgresql@"));
            folders.push(opt.join("postgresql/bin"));
        }
        folders.retain(|dir| POSTGRES_PROGRAMS.iter().all(|name| is_program(&dir.join(name))));
        folders
    }
}

/// Our own programs: beside this one, or in the folder above when this one is a test (`target/debug/deps`).
pub(crate) fn own(given: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let beside = exe.parent().context("this program has no folder")?;
    let beside = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    let file = given.unwrap_or(beside).join(name);
    if !is_program(&file) {
        bail!("no program {}: build all programs first (`cargo build --workspace`)", file.display());
    }
    Ok(file)
}

/// The major version of the Postgres in a folder.
pub(crate) fn postgres_major(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version.split(|end: char| !end.is_ascii_digit()).next()?.parse().ok()
}

/// Asks a program for its version.
fn is_new_enough(file: &Path, oldest: [u32; 3]) -> bool {
    Command::new(file).arg("--version").output().is_ok_and(|output| {
        version_in(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= oldest)
    })
}

/// Whether what a program says of its version begins like this.
fn says(file: &Path, begin: &str) -> bool {
    Command::new(file).arg("--version").output().is_ok_and(|output| output.stdout.starts_with(begin.as_bytes()))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `<root>/<prefix><number>/bin`, the highest number first.
fn numbered(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn version_in(text: &str) -> Option<[u32; 3]> {
    let word = text.split_whitespace().find_map(|word| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|first: char| first.is_ascii_digit()).then_some(digits)
    })?;
    let mut parts = word.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

fn cache_dir(env: &Environment) -> PathBuf {
    let absolute = |key: &str| env.var(key).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    match base {
        Some(base) => base.join("highwater"),
        None => std::env::temp_dir().join(format!("highwater-cache-{}", rustix::process::geteuid().as_raw())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_of_the_same_name_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let dir_text = dir.path().display().to_string();
        let programs = Programs::new(&Environment::of([("PATH", dir_text.clone()), ("HOME", dir_text)]));
        let other = ["/bin/false", "/usr/bin/false"].into_iter().find(|file| Path::new(file).exists()).unwrap();
        for (tool, name) in [(Tool::Mc, "mc"), (Tool::Rclone, "rclone")] {
            std::os::unix::fs::symlink(other, dir.path().join(name)).unwrap();
            assert!(programs.on_path(name).is_some());
            assert_eq!(programs.tool(tool), None);
        }
    }

    #[test]
    fn a_version_is_read_from_what_the_program_says() {
        assert_eq!(version_in("nats-server: v2.15.1\n"), Some([2, 15, 1]));
        assert_eq!(version_in("nats-server: v2.16.0-RC.1"), Some([2, 16, 0]));
        assert_eq!(version_in("nats-server: dev"), None);
        assert!(version_in("nats-server: v2.9.10").unwrap() < NATS_VERSION);
    }
}
