//! Finding the programs of others, and our own beside this one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use runtime::config::Environment;

/// The oldest nats-server whose `sync_interval: always` keeps what it acknowledged and that answers all we ask.
pub(crate) const NATS_VERSION: [u32; 3] = [2, 15, 1];

/// What Postgres's folder of programs must hold.
const POSTGRES_PROGRAMS: [&str; 5] = ["postgres", "initdb", "createdb", "dropdb", "psql"];

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    path: Vec<PathBuf>,
    /// Where we install what is missing.
    cache: PathBuf,
}

impl Programs {
    pub(crate) fn new(env: &Environment) -> Self {
        let path = env.var("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
        Self { path, cache: cache_dir(env) }
    }

    /// A folder of this user's own for what is installed and prepared once.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(crate) fn on_path(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|file| is_program(file))
    }

    /// A nats-server that is new enough. One on PATH that is too old is passed over.
    pub(crate) fn nats_server(&self) -> Option<PathBuf> {
        self.candidates("nats-server").find(|file| {
            Command::new(file).arg("--version").output().is_ok_and(|output| {
                version_in(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= NATS_VERSION)
            })
        })
    }

    pub(crate) fn minio(&self) -> Option<PathBuf> {
        self.candidates("minio").next()
    }

    /// The folder with Postgres's programs; of one major version, when given, else the newest.
    pub(crate) fn postgres(&self, major: Option<u32>) -> Option<PathBuf> {
        let found = self.postgres_folders();
        match major {
            Some(major) => found.into_iter().find(|dir| postgres_major(dir) == Some(major)),
            None => found.into_iter().next(),
        }
    }

    /// Where a program that `go install` makes for us goes.
    pub(crate) fn installed(&self, name: &str) -> PathBuf {
        self.cache.join("bin").join(name)
    }

    /// In order; Go is asked for its folder only when the others were not good enough.
    pub(crate) fn candidates(&self, name: &str) -> impl Iterator<Item = PathBuf> {
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
        folders.extend(numbered("/usr/lib/postgresql", ""));
        for opt in ["/opt/homebrew/opt", "/usr/local/opt"] {
            folders.extend(numbered(opt, "postgresql@"));
            folders.push(Path::new(opt).join("postgresql/bin"));
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

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `<root>/<prefix><number>/bin`, the highest number first.
fn numbered(root: &str, prefix: &str) -> Vec<PathBuf> {
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
    fn a_version_is_read_from_what_the_program_says() {
        assert_eq!(version_in("nats-server: v2.15.1\n"), Some([2, 15, 1]));
        assert_eq!(version_in("nats-server: v2.16.0-RC.1"), Some([2, 16, 0]));
        assert_eq!(version_in("nats-server: dev"), None);
        assert!(version_in("nats-server: v2.9.10").unwrap() < NATS_VERSION);
    }
}
