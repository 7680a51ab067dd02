//! The directories of temporary stacks, and those that runs left behind which were killed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::data::{self, Data};

/// A file in the directory of a temporary stack whose data nobody wants to keep.
const MARK: &str = "temporary";

/// How these directories begin.
const PREFIX: &str = "highwater-";

/// Hexadecimal digits after that.
const DIGITS: usize = 12;

/// A new directory below the system's temporary one, which other users can enter, unlike those of most temporary-file
/// libraries: Postgres runs as another user when this process is root.
pub(super) fn new_dir() -> PathBuf {
    std::env::temp_dir().join(format!("{PREFIX}{}", &data::random_hex()[..DIGITS]))
}

/// Says that the data may be deleted once nobody holds them. To be called by the holder.
pub(super) fn mark(data: &Data) -> anyhow::Result<()> {
    data::write_private(&data.run(MARK), b"Deleted by the next run when this one is killed.\n")
}

/// Deletes the directories of temporary stacks whose runner was killed, with what belongs to them elsewhere. Only those
/// that this user made, that are marked, and that neither a runner nor a guard holds. What cannot be deleted is left for
/// the next time.
pub(super) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for root in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| is_abandoned(path)) {
        let _ = data::delete(&root);
    }
}

fn is_abandoned(root: &Path) -> bool {
    let name = root.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
    let is_named = name.is_some_and(|name| name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_ours = || {
        let uid = rustix::process::geteuid().as_raw();
        root.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == uid)
    };
    // The mark is made by who holds the lock, and the name is never used again: whoever finds the mark and no holder
    // finds what was left.
    is_named && is_ours() && root.join("run").join(MARK).is_file() && !data::is_held(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Progress;

    #[tokio::test]
    async fn only_marked_directories_that_nobody_holds_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let dir = |name: &str| folder.path().join(name);
        let take = async |name: &str| Data::take(&dir(name), &Progress::silent()).await.unwrap();
        for name in ["highwater-00000000000a", "highwater-0000000000ab-x", "precious"] {
            mark(&take(name).await).unwrap();
        }
        // Kept on purpose.
        drop(take("highwater-00000000000b").await);
        let held = take("highwater-00000000000c").await;
        mark(&held).unwrap();
        let guarded = take("highwater-00000000000d").await;
        mark(&guarded).unwrap();
        let guard = std::fs::File::create(guarded.lease()).unwrap();
        rustix::fs::flock(&guard, rustix::fs::FlockOperation::LockShared).unwrap();
        drop(guarded);
        std::fs::create_dir(dir("highwater-00000000000e")).unwrap();

        sweep(folder.path());
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let kept = ["b", "c", "d", "e"].map(|n| format!("highwater-00000000000{n}"));
        assert_eq!(left, [kept.as_slice(), &["highwater-0000000000ab-x".to_owned(), "precious".to_owned()]].concat());
        drop((held, guard));
        sweep(folder.path());
        assert!(!dir("highwater-00000000000c").exists() && !dir("highwater-00000000000d").exists());
    }
}
