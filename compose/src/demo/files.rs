//! The files of the story.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// A file of the demo, here and in Highwater.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) sha256: String,
}

impl Sample {
    /// Makes the file `name` in `dir`, to be stored as `path`.
    pub(super) fn make(dir: &Path, name: &str, path: &str, content: &Content) -> anyhow::Result<Self> {
        let file = dir.join(name);
        content.write(&file).with_context(|| format!("write {}", file.display()))?;
        let sha256 = digest(&file)?;
        Ok(Self { file, name: name.to_owned(), path: path.to_owned(), sha256 })
    }
}

/// What is in a file.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(&'static str),
    /// So many bytes that look like nothing in particular, the same in every run.
    Noise {
        bytes: u64,
    },
}

impl Content {
    fn write(&self, file: &Path) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
        match self {
            Self::Text(text) => out.write_all(text.as_bytes())?,
            Self::Noise { bytes } => {
                let mut block = noise();
                let mut written = 0;
                while written < *bytes {
                    // Each block begins with its place, so that no two are the same.
                    block[..8].copy_from_slice(&written.to_le_bytes());
                    let take = (*bytes - written).min(block.len() as u64);
                    out.write_all(&block[..usize::try_from(take).unwrap_or(block.len())])?;
                    written += take;
                }
            }
        }
        out.flush()
    }
}

/// A block of noise, the same each time.
fn noise() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..1 << 16).flat_map(|_| next()).collect()
}

/// The SHA-256 of a file, in hex.
pub(super) fn digest(file: &Path) -> anyhow::Result<String> {
    let mut input = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = input.read(&mut buffer).with_context(|| format!("read {}", file.display()))?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_size_and_is_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let one = Sample::make(dir.path(), "one", "a/one", &Content::Noise { bytes: 100_003 }).unwrap();
        let two = Sample::make(dir.path(), "two", "a/two", &Content::Noise { bytes: 100_003 }).unwrap();
        assert_eq!(one.sha256, two.sha256);
        assert_eq!(one.file.metadata().unwrap().len(), 100_003);
        let empty = Sample::make(dir.path(), "empty", "a/empty", &Content::Text("")).unwrap();
        assert!(empty.sha256.starts_with("e3b0c442"));
    }
}
