//! Copying a directory tree, for the prepared Postgres data directory.

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context as _;

/// Copies a tree of directories, files and symbolic links with their permissions; everything copied belongs to `owner`,
/// when given.
pub(crate) fn copy(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> anyhow::Result<()> {
    let kind = from.symlink_metadata().with_context(|| format!("look at {}", from.display()))?;
    if kind.is_symlink() {
        let target = std::fs::read_link(from).with_context(|| format!("read the link {}", from.display()))?;
        return std::os::unix::fs::symlink(target, to).with_context(|| format!("make the link {}", to.display()));
    }
    if kind.is_dir() {
        std::fs::create_dir(to).with_context(|| format!("make the directory {}", to.display()))?;
        for entry in std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
            let name = entry.with_context(|| format!("list {}", from.display()))?.file_name();
            copy(&from.join(&name), &to.join(&name), owner)?;
        }
        std::fs::set_permissions(to, kind.permissions())
            .with_context(|| format!("set permissions of {}", to.display()))?;
    } else {
        std::fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    own(to, owner)
}

/// Gives one file or directory to `owner`, when given.
pub(crate) fn own(path: &Path, owner: Option<(u32, u32)>) -> anyhow::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    chown(path, Some(uid), Some(gid)).with_context(|| format!("give {} to user {uid}", path.display()))
}
