//! The programs that the benchmark measures beside Highwater. Unlike the servers they are never needed: what cannot be had
//! is left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Progress;
use crate::install::{Install, Need, by_go, lock, run};
use crate::programs::Programs;

/// A program that copies between S3 nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `rclone copy`.
    Rclone,
    /// MinIO's client: `mc mirror`, and what sets up MinIO's own replication.
    Mc,
}

// === impl Peer ===

impl Peer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rclone, Self::Mc];

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rclone => "rclone",
            Self::Mc => "mc",
        }
    }

    /// On PATH, or where it was installed for us.
    pub(crate) fn find(self, programs: &Programs) -> Option<PathBuf> {
        programs.candidates(self.name()).find(|file| self.is(file))
    }

    fn package(self) -> &'static str {
        match self {
            Self::Rclone => "github.com/rclone/rclone@v1.76.0",
            Self::Mc => "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9",
        }
    }

    /// Whether the program is what its name says: the Midnight Commander is called `mc` too.
    fn is(self, file: &Path) -> bool {
        let says = match self {
            Self::Rclone => "rclone v",
            Self::Mc => "mc version ",
        };
        Command::new(file).arg("--version").output().is_ok_and(|output| output.stdout.starts_with(says.as_bytes()))
    }
}

/// Installs those that are missing, and says which of them cannot be had.
pub(crate) fn ensure(programs: &Programs, install: Install, progress: &Progress) {
    let needs = missing(programs);
    for (_, need) in &needs {
        for command in &need.commands {
            progress.say(format!("will run: {}", command.join(" ")));
        }
    }
    if needs.is_empty() || install == Install::No {
        return without(programs, progress);
    }
    match lock(programs.cache(), progress) {
        Ok(_lock) => {
            // Another run may have installed them while this one waited.
            for (_, need) in missing(programs) {
                if let Err(error) = run(programs, &need, progress) {
                    progress.say(format!("{error:#}"));
                }
            }
        }
        Err(error) => progress.say(format!("{error:#}")),
    }
    without(programs, progress);
}

fn missing(programs: &Programs) -> Vec<(Peer, Need)> {
    let missing = Peer::ALL.into_iter().filter(|peer| peer.find(programs).is_none());
    missing.map(|peer| (peer, by_go(programs, peer.name(), peer.package(), peer.name()))).collect()
}

fn without(programs: &Programs, progress: &Progress) {
    for (peer, need) in missing(programs) {
        let reason = if need.commands.is_empty() { need.hint } else { format!("{} is not there", peer.name()) };
        progress.say(format!("{reason}; what it would show is left out"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use runtime::config::Environment;

    use super::*;

    /// Only this folder, where `name` is the system's own `false`.
    fn with_false_as(name: &str, dir: &Path) -> Programs {
        let program = ["/bin/false", "/usr/bin/false"].into_iter().find(|file| Path::new(file).exists()).unwrap();
        std::os::unix::fs::symlink(program, dir.join(name)).unwrap();
        let dir = dir.display().to_string();
        Programs::new(&Environment::of([("PATH", dir.clone()), ("HOME", dir)]))
    }

    #[test]
    fn a_program_of_the_same_name_is_no_peer() {
        let dir = tempfile::tempdir().unwrap();
        let programs = with_false_as("mc", dir.path());
        assert!(programs.on_path("mc").is_some());
        assert_eq!(Peer::Mc.find(&programs), None);
    }

    #[test]
    fn what_cannot_be_installed_is_said_and_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let progress = Progress::to(move |line| sink.lock().unwrap().push(line.to_owned()));
        ensure(&with_false_as("go", dir.path()), Install::Yes, &progress);
        let said = said.lock().unwrap().join("\n");
        for peer in Peer::ALL {
            assert!(said.contains(&format!("will run: go install {}", peer.package())), "{said}");
            assert!(said.contains(&format!("`go install {}` failed", peer.package())), "{said}");
            assert!(said.contains(&format!("{} is not there; what it would show is left out", peer.name())), "{said}");
        }
    }
}
