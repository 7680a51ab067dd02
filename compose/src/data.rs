//! The data directory: its layout, its lock, its secrets.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::clock::Ids;
use rustix::fs::FlockOperation;

use crate::Progress;
use crate::guard::wait_for_all;

/// A file in every data directory: only a directory that has it is ever deleted.
const MARK: &str = "highwater-data";

/// One run's data, held by this process alone.
#[derive(Debug)]
pub(crate) struct Data {
    root: PathBuf,
    /// Held as long as this value lives; the kernel releases it however the process ends.
    lock: File,
}

impl Data {
    /// Makes the directory when it is missing and takes it for this process. Refuses when another one has it, and names
    /// that one. Waits for the last run's guards, which may still be ending its programs.
    pub(crate) async fn take(root: &Path, progress: &Progress) -> anyhow::Result<Self> {
        make_dir(root, 0o711)?;
        let root = root.canonicalize().with_context(|| format!("resolve {}", root.display()))?;
        let is_empty = std::fs::read_dir(&root).with_context(|| format!("list {}", root.display()))?.next().is_none();
        if !is_empty && !root.join(MARK).is_file() {
            bail!("{} has other things in it; the data need a directory of their own", root.display());
        }
        // The user that Postgres runs as must be able to pass through.
        let mode = root.metadata().with_context(|| format!("look at {}", root.display()))?.mode();
        std::fs::set_permissions(&root, Permissions::from_mode(mode | 0o711))
            .with_context(|| format!("set the permissions of {}", root.display()))?;
        write_private(&root.join(MARK), b"The runner of Highwater keeps its data here; `compose reset` deletes it.\n")?;
        for dir in ["run", "logs", "secrets", "nodes"] {
            make_dir(&root.join(dir), 0o700)?;
        }
        let mut lock = lock(&root).await?;
        lock.set_len(0).context("clear the lock file")?;
        lock.rewind().context("rewind the lock file")?;
        let program = std::env::args().collect::<Vec<_>>().join(" ");
        writeln!(lock, "{} {program}", std::process::id()).context("write the lock file")?;
        let data = Self { root, lock };
        wait_for_all(&data.lease(), progress).await?;
        Ok(data)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Locked (shared) by every guard whose program may be running.
    pub(crate) fn lease(&self) -> PathBuf {
        lease_path(&self.root)
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        log_path(&self.root, name)
    }

    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.root.join("nodes").join(name)
    }

    pub(crate) fn nats(&self) -> PathBuf {
        self.root.join("nats")
    }

    pub(crate) fn secret_path(&self, name: &str) -> PathBuf {
        self.root.join("secrets").join(name)
    }

    /// The secret of that name, made at random when it is first asked for.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.secret_path(name);
        match std::fs::read_to_string(&path) {
            Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("read the secret {}", path.display())),
        }
        let secret = random_hex();
        write_private(&path, secret.as_bytes())?;
        Ok(secret)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        unlock(&self.lock);
    }
}

/// Where a program's output goes.
pub(crate) fn log_path(root: &Path, name: &str) -> PathBuf {
    root.join("logs").join(format!("{name}.log"))
}

/// Where Postgres keeps its data when its user cannot enter the data directory: recorded, so that `reset` finds it.
pub(crate) fn elsewhere_path(root: &Path) -> PathBuf {
    root.join("run/postgres-data")
}

/// Who has the directory now, as `compose up (pid 123)`; nothing when nobody has.
pub(crate) fn holder(root: &Path) -> Option<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(lock_path(root)).ok()?;
    if is_free(&file) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (pid, program) = text.trim().split_once(' ')?;
    Some(format!("`{program}` (pid {pid})"))
}

/// Whether a runner or a guard has the directory.
pub(crate) fn is_held(root: &Path) -> bool {
    [lock_path(root), lease_path(root)].iter().any(|path| match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => !is_free(&file),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    })
}

/// Deletes everything that a run left in the directory. Refuses a directory that is not the runner's.
pub(crate) fn delete(root: &Path) -> anyhow::Result<()> {
    if !root.exists() {
        return Ok(());
    }
    if !root.join(MARK).is_file() {
        bail!("{} was not made by this program (no file {MARK} in it); nothing deleted", root.display());
    }
    if let Ok(elsewhere) = std::fs::read_to_string(elsewhere_path(root)) {
        let elsewhere = Path::new(elsewhere.trim());
        if elsewhere.join(MARK).is_file() {
            remove(elsewhere)?;
        }
    }
    remove(root)
}

/// Marks a directory outside the data directory as made by the runner.
pub(crate) fn mark(dir: &Path) -> anyhow::Result<()> {
    write_private(&dir.join(MARK), b"Part of a data directory of Highwater.\n")
}

/// Makes a directory and its parents; the parents that it makes can be passed through, not listed.
pub(crate) fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        make_dir(parent, 0o711)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        outcome => outcome.with_context(|| format!("make the directory {}", path.display())),
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// 244 random bits.
pub(crate) fn random_hex() -> String {
    let ids = Ids::system();
    format!("{}{}", ids.v4().simple(), ids.v4().simple())
}

/// The first directory on the way to `path` that this user may not pass through, judged by the permission bits.
pub(crate) fn barrier(path: &Path, uid: u32, gid: u32) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|dir| {
            dir.metadata().is_ok_and(|meta| {
                let bit = match (meta.uid() == uid, meta.gid() == gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                meta.mode() & bit == 0
            })
        })
        .map(Path::to_path_buf)
}

async fn lock(root: &Path) -> anyhow::Result<File> {
    let file = open_shared(&lock_path(root))?;
    // Somebody who asks who the holder is holds it himself for a moment: so more than one attempt.
    for _ in 0..5 {
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(file);
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    bail!("{} is in use by {}", root.display(), holder(root).unwrap_or_else(|| "another run".to_owned()))
}

/// Whether nobody has the file locked.
fn is_free(file: &File) -> bool {
    let is_free = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if is_free {
        unlock(file);
    }
    is_free
}

/// Closing the file is not enough: a child that another thread has just forked has it open too, until it becomes the
/// program that it is to run.
fn unlock(file: &File) {
    // It fails only for what is no open file.
    let _unlocked = rustix::fs::flock(file, FlockOperation::Unlock);
}

fn lease_path(root: &Path) -> PathBuf {
    root.join("run/guards.lock")
}

fn lock_path(root: &Path) -> PathBuf {
    root.join("run/lock")
}

/// Opens a file for being locked.
pub(crate) fn open_shared(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// Deletes a tree; a program that is ending may still write into it for a moment.
pub(crate) fn remove(dir: &Path) -> anyhow::Result<()> {
    let mut last = std::fs::remove_dir_all(dir);
    for _ in 0..20 {
        match &last {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
        last = std::fs::remove_dir_all(dir);
    }
    last.with_context(|| format!("delete {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_holder_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let first = Data::take(&root, &Progress::silent()).await.unwrap();
        let refused = Data::take(&root, &Progress::silent()).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        drop(first);
        assert_eq!(holder(&root), None);
        Data::take(&root, &Progress::silent()).await.unwrap();
    }

    #[tokio::test]
    async fn a_secret_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::take(&dir.path().join("data"), &Progress::silent()).await.unwrap();
        let secret = data.secret("node-a").unwrap();
        assert_eq!(secret, data.secret("node-a").unwrap());
        assert_ne!(secret, data.secret("node-b").unwrap());
        let mode = data.secret_path("node-a").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_folder_with_other_things_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("precious"), b"x").unwrap();
        let refused = Data::take(dir.path(), &Progress::silent()).await.unwrap_err().to_string();
        assert!(refused.contains("a directory of their own"), "{refused}");
        assert!(!dir.path().join("run").exists());
    }

    #[test]
    fn only_the_runners_own_directory_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("precious"), b"x").unwrap();
        assert!(delete(dir.path()).unwrap_err().to_string().contains("nothing deleted"));
        assert!(dir.path().join("precious").exists());
        mark(dir.path()).unwrap();
        delete(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_closed_parent_is_a_barrier_for_another_user() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        make_dir(&inner, 0o711).unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let uid = dir.path().metadata().unwrap().uid();
        assert_eq!(barrier(&inner, uid.wrapping_add(1), u32::MAX), Some(dir.path().to_path_buf()));
        assert_eq!(barrier(dir.path(), uid, u32::MAX), None);
    }
}
