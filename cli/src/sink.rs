//! Where `get` writes: a file that takes its name only when it is complete, or a stream such as stdout.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::exit::{Exit, Failure};
use crate::output::stdout_failure;
use crate::source::{Content, Tally};

/// Chunks held between the network and the disk.
const CHUNKS_AHEAD: usize = 4;

/// Where content goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// stdout.
    Stdout,
    /// A pipe or device that exists; a new file must not take its place.
    Stream(PathBuf),
    /// A file that is there or not.
    File(PathBuf),
}

/// A target being written.
pub(crate) struct Sink {
    target: Target,
    /// Beside the target, until it takes its name.
    temporary: Option<NamedTempFile>,
    chunks: mpsc::Sender<Bytes>,
    writer: JoinHandle<io::Result<Content>>,
}

// === impl Target ===

impl Target {
    /// Finds out what the argument of `get` means for the file `path`.
    pub(crate) fn find(argument: Option<&Path>, path: &proto::Path, force: bool) -> Result<Self, Failure> {
        let name = path.name();
        let file = match argument {
            Some(argument) if argument.as_os_str() == "-" => return Ok(Self::Stdout),
            Some(argument) if argument.is_dir() || ends_with_slash(argument) => argument.join(name.as_str()),
            Some(argument) => argument.to_owned(),
            None => PathBuf::from(name.as_str()),
        };
        let shown = file.display();
        match std::fs::metadata(&file) {
            Ok(metadata) if metadata.is_dir() => Err(Failure::usage(format!("{shown} is a folder"))),
            Ok(metadata) if !metadata.is_file() => Ok(Self::Stream(file)),
            Ok(_) if !force => Err(exists(&file)),
            // A link stays a link; what it points to is replaced.
            Ok(_) => Ok(Self::File(std::fs::canonicalize(&file).map_err(|error| unwritable(&file, &error))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::File(file)),
            Err(error) => Err(unwritable(&file, &error)),
        }
    }

    /// As people know it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "-".to_owned(),
            Self::Stream(path) | Self::File(path) => path.display().to_string(),
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match self {
            Self::Stdout => stdout_failure(error),
            Self::Stream(path) | Self::File(path) => unwritable(path, error),
        }
    }
}

// === impl Sink ===

impl Sink {
    /// Opens the target and starts the thread that writes and hashes.
    pub(crate) fn open(target: Target) -> Result<Self, Failure> {
        let temporary = match &target {
            Target::File(path) => Some(temporary_beside(path).map_err(|error| target.failure(&error))?),
            Target::Stdout | Target::Stream(_) => None,
        };
        let writer = open_writer(&target, temporary.as_ref()).map_err(|error| target.failure(&error))?;
        let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let writer = tokio::task::spawn_blocking(move || write_all(writer, receiver));
        Ok(Self { target, temporary, chunks, writer })
    }

    /// Hands a chunk over; waits while the disk is slower than the network.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<(), Failure> {
        if self.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        match (&mut self.writer).await.expect("writing does not panic") {
            Ok(_) => unreachable!("the writer ends well only after the last chunk"),
            Err(error) => Err(self.target.failure(&error)),
        }
    }

    /// Waits until all is written (and, for a file, on disk), and answers what was.
    pub(crate) async fn flush(self) -> (Flushed, Result<Content, Failure>) {
        drop(self.chunks);
        let written = self.writer.await.expect("writing does not panic").map_err(|error| self.target.failure(&error));
        (Flushed { target: self.target, temporary: self.temporary }, written)
    }

    /// Removes what was written.
    pub(crate) fn discard(self) {
        discard(self.temporary);
    }
}

/// A target that is written but has not got its name yet.
pub(crate) struct Flushed {
    target: Target,
    temporary: Option<NamedTempFile>,
}

// === impl Flushed ===

impl Flushed {
    /// Gives the content its name; without `force` only if nothing took it meanwhile.
    pub(crate) fn keep(self, force: bool) -> Result<(), Failure> {
        let (Target::File(path), Some(temporary)) = (&self.target, self.temporary) else { return Ok(()) };
        let kept = if force { temporary.persist(path) } else { temporary.persist_noclobber(path) };
        kept.map_err(|failed| {
            discard(Some(failed.file));
            match failed.error.kind() {
                io::ErrorKind::AlreadyExists => exists(path),
                _ => unwritable(path, &failed.error),
            }
        })?;
        sync_folder(path).map_err(|error| unwritable(path, &error))
    }

    /// Removes what was written.
    pub(crate) fn discard(self) {
        discard(self.temporary);
    }
}

fn discard(temporary: Option<NamedTempFile>) {
    // A file that cannot be removed keeps its `.partial` name, which nobody takes for the content.
    let _ = temporary.map(NamedTempFile::close);
}

fn open_writer(target: &Target, temporary: Option<&NamedTempFile>) -> io::Result<Writer> {
    Ok(match (target, temporary) {
        (_, Some(temporary)) => Writer::File(temporary.as_file().try_clone()?),
        (Target::Stream(path) | Target::File(path), None) => {
            Writer::Stream(Box::new(File::options().write(true).open(path)?))
        }
        (Target::Stdout, None) => Writer::Stream(Box::new(io::stdout())),
    })
}

enum Writer {
    File(File),
    Stream(Box<dyn Write + Send>),
}

fn write_all(mut writer: Writer, mut chunks: mpsc::Receiver<Bytes>) -> io::Result<Content> {
    let mut tally = Tally::default();
    while let Some(chunk) = chunks.blocking_recv() {
        match &mut writer {
            Writer::File(file) => file.write_all(&chunk)?,
            Writer::Stream(stream) => stream.write_all(&chunk)?,
        }
        tally.add(&chunk);
    }
    match &mut writer {
        Writer::File(file) => file.sync_all()?,
        Writer::Stream(stream) => stream.flush()?,
    }
    Ok(tally.content())
}

/// A new file in the target's folder, so that taking the name is one rename. It gets the mode that any new file gets.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".highwater-").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path))
}

/// Makes the rename last through a power cut.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last() == Some(&b'/')
}

fn exists(file: &Path) -> Failure {
    let message = format!("{} exists; --force replaces it", file.display());
    Failure::new(Exit::Other, Code::AlreadyExists, "target_exists", message)
}

fn unwritable(file: &Path, error: &io::Error) -> Failure {
    let failure = Failure::local(&format!("cannot write {}", file.display()), error);
    // A missing folder on this side is not the file that was asked for.
    let exit = if failure.exit == Exit::FileNotFound { Exit::FolderNotFound } else { failure.exit };
    Failure { exit, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> proto::Path {
        "docs/a.txt".parse().unwrap()
    }

    #[test]
    fn the_target_is_found_from_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let find = |argument: &Path, force| Target::find(Some(argument), &path(), force);
        assert_eq!(Target::find(None, &path(), false), Ok(Target::File("a.txt".into())));
        assert_eq!(find(Path::new("-"), false), Ok(Target::Stdout));
        assert_eq!(find(folder.path(), false), Ok(Target::File(at("a.txt"))));
        assert_eq!(find(&at("new"), false), Ok(Target::File(at("new"))));
        std::fs::write(at("old"), "old").unwrap();
        assert_eq!(find(&at("old"), false).unwrap_err().reason, "target_exists");
        let real = std::fs::canonicalize(at("old")).unwrap();
        assert_eq!(find(&at("old"), true), Ok(Target::File(real.clone())));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("old"), at("link")).unwrap();
            assert_eq!(find(&at("link"), true), Ok(Target::File(real)));
            assert_eq!(find(Path::new("/dev/null"), false), Ok(Target::Stream("/dev/null".into())));
        }
    }

    #[tokio::test]
    async fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let names = || std::fs::read_dir(folder.path()).unwrap().count();

        let mut sink = Sink::open(Target::File(file.clone())).unwrap();
        sink.write(Bytes::from_static(b"half")).await.unwrap();
        assert!(!file.exists());
        sink.discard();
        assert_eq!(names(), 0);

        let mut sink = Sink::open(Target::File(file.clone())).unwrap();
        sink.write(Bytes::from_static(b"whole")).await.unwrap();
        let (flushed, content) = sink.flush().await;
        assert_eq!(content.unwrap().sha256, proto::Sha256Digest::of(b"whole"));
        std::fs::write(&file, "taken meanwhile").unwrap();
        assert_eq!(flushed.keep(false).unwrap_err().reason, "target_exists");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "taken meanwhile");
        assert_eq!(names(), 1);

        let mut sink = Sink::open(Target::File(file.clone())).unwrap();
        sink.write(Bytes::from_static(b"whole")).await.unwrap();
        let (flushed, _) = sink.flush().await;
        flushed.keep(true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "whole");
        assert_eq!(names(), 1);
    }
}
