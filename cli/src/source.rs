//! What `put` sends: files and stdin, read on threads of their own.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use proto::Sha256Digest;
use proto::v1::{PartHeader, UploadMetadata, UploadPartRequest, UploadRequest, upload_part_request, upload_request};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::exit::Failure;
use crate::progress::Progress;

/// Length of a chunk of an upload; the gateway takes up to 4 MiB unless configured otherwise.
const CHUNK_BYTES: usize = 512 * 1024;
/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// Where content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// stdin, once.
    Stdin,
    /// A pipe or device, once.
    Stream(PathBuf),
    /// A regular file, as often as needed.
    File(PathBuf),
}

/// Content that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Its digest.
    pub(crate) sha256: Sha256Digest,
}

/// What is known of the digest of content that is sent in parts.
#[derive(Debug, Clone)]
pub(crate) enum Digest {
    /// All, before the first part.
    Known(Content),
    /// That of the bytes so far.
    Growing(Tally),
}

/// A reader at work. The messages end only when [`Reading::finish`] is used: an upload whose reading failed, or that
/// nobody waits for any more, must not look complete to the gateway, and dropping a call does not end its messages.
pub(crate) struct Reading<T> {
    /// How it ended; absent when the messages were dropped before.
    pub(crate) end: oneshot::Receiver<io::Result<T>>,
    /// Ends the messages.
    pub(crate) finish: oneshot::Sender<()>,
}

// === impl Source ===

impl Source {
    /// Finds out what the argument of `put` is.
    pub(crate) fn find(argument: &Path) -> Result<Self, Failure> {
        if argument.as_os_str() == "-" {
            return Ok(Self::Stdin);
        }
        let shown = argument.display();
        let metadata =
            std::fs::metadata(argument).map_err(|error| Failure::local(&format!("cannot read {shown}"), &error))?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!("{shown} is a folder; name the files to store")));
        }
        Ok(if metadata.is_file() { Self::File(argument.to_owned()) } else { Self::Stream(argument.to_owned()) })
    }

    /// The file that the argument names, without a look at whether it is there: nothing of it is to be read.
    #[expect(clippy::unnecessary_wraps, reason = "it stands in for `find`")]
    pub(crate) fn unseen(argument: &Path) -> Result<Self, Failure> {
        Ok(Self::File(argument.to_owned()))
    }

    /// As people know it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::Stream(path) | Self::File(path) => path.display().to_string(),
        }
    }

    /// Length and time of change, of a regular file.
    pub(crate) fn facts(&self) -> Result<Option<(u64, Option<prost_types::Timestamp>)>, Failure> {
        let Self::File(path) = self else { return Ok(None) };
        let metadata = std::fs::metadata(path).map_err(|error| self.unreadable(&error))?;
        Ok(Some((metadata.len(), metadata.modified().ok().map(Into::into))))
    }

    /// Reads it all once for its length and digest.
    pub(crate) async fn digest(&self, progress: Arc<Progress>) -> Result<Content, Failure> {
        let source = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut reader = source.open()?;
            let mut chunk = BytesMut::zeroed(CHUNK_BYTES);
            let mut tally = Tally::default();
            loop {
                let length = read_some(&mut reader, &mut chunk)?;
                if length == 0 {
                    return Ok(tally.content());
                }
                tally.add(&chunk[..length]);
                progress.add(length as u64);
            }
        })
        .await
        .expect("reading does not panic")
        .map_err(|error| self.unreadable(&error))
    }

    /// Reads its first `size_bytes` for their digest, to which later parts are added.
    pub(crate) async fn tally(&self, size_bytes: u64) -> Result<Tally, Failure> {
        let source = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut tally = Tally::default();
            source.read_part(0, size_bytes, |chunk| {
                tally.add(&chunk);
                true
            })?;
            Ok(tally)
        })
        .await
        .expect("reading does not panic")
        .map_err(|error| self.unreadable(&error))
    }

    /// Starts to read it as the messages of an upload, `metadata` first.
    pub(crate) fn messages(
        &self,
        metadata: UploadMetadata,
        progress: Arc<Progress>,
    ) -> (impl Stream<Item = UploadRequest> + Send + 'static, Reading<Content>) {
        let source = self.clone();
        let first = UploadRequest { payload: Some(upload_request::Payload::Metadata(metadata)) };
        let wrap = |chunk| UploadRequest { payload: Some(upload_request::Payload::Chunk(chunk)) };
        messages(first, wrap, move |send| {
            let mut tally = Tally::default();
            let is_whole = source.read_all(|chunk| {
                let length = chunk.len() as u64;
                tally.add(&chunk);
                let taken = send(chunk);
                progress.add(length);
                taken
            })?;
            Ok(is_whole.then(|| tally.content()))
        })
    }

    /// Starts to read `length` bytes of a regular file as the messages of a part, `header` first, which says from where.
    /// Ends with the digest as it then is.
    pub(crate) fn part(
        &self,
        header: PartHeader,
        length: u64,
        mut digest: Digest,
        progress: Arc<Progress>,
    ) -> (impl Stream<Item = UploadPartRequest> + Send + 'static, Reading<Digest>) {
        let source = self.clone();
        let from = header.offset;
        let first = UploadPartRequest { payload: Some(upload_part_request::Payload::Header(header)) };
        let wrap = |chunk| UploadPartRequest { payload: Some(upload_part_request::Payload::Chunk(chunk)) };
        messages(first, wrap, move |send| {
            let is_whole = source.read_part(from, length, |chunk| {
                let length = chunk.len() as u64;
                digest.add(&chunk);
                let taken = send(chunk);
                progress.add(length);
                taken
            })?;
            Ok(is_whole.then_some(digest))
        })
    }

    /// The failure when reading fails.
    pub(crate) fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::local(&format!("cannot read {}", self.name()), error)
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::Stream(path) | Self::File(path) => Box::new(File::open(path)?),
        })
    }

    /// Hands all of it over; false when `take` does not want more.
    fn read_all(&self, mut take: impl FnMut(Bytes) -> bool) -> io::Result<bool> {
        let mut reader = self.open()?;
        loop {
            let chunk = read_chunk(&mut reader, CHUNK_BYTES)?;
            if chunk.is_empty() {
                return Ok(true);
            }
            if !take(chunk) {
                return Ok(false);
            }
        }
    }

    /// Hands exactly `length` bytes over; false when `take` does not want more.
    fn read_part(&self, from: u64, length: u64, mut take: impl FnMut(Bytes) -> bool) -> io::Result<bool> {
        let Self::File(path) = self else { return Err(io::Error::from(io::ErrorKind::NotSeekable)) };
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::Start(from))?;
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let chunk = read_chunk(&mut reader, wanted)?;
            if chunk.len() < wanted {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile"));
            }
            left -= chunk.len() as u64;
            if !take(chunk) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads on a thread of its own. `read` hands over chunks until it is told that nobody takes them any more, and then
/// answers nothing.
fn messages<M, T>(
    first: M,
    wrap: impl Fn(Bytes) -> M + Send + 'static,
    read: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) -> io::Result<Option<T>> + Send + 'static,
) -> (impl Stream<Item = M> + Send + 'static, Reading<T>)
where
    M: Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (ended, end) = oneshot::channel();
    let (finish, finished) = oneshot::channel();
    drop(tokio::task::spawn_blocking(move || {
        if let Some(how) = read(&mut |chunk| sender.blocking_send(wrap(chunk)).is_ok()).transpose() {
            // Nobody asks when the upload was given up.
            let _ = ended.send(how);
        }
    }));
    let first = futures::stream::iter([first]);
    let last = futures::stream::once(async {
        if finished.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let last = last.filter_map(|()| std::future::ready(None));
    (first.chain(ReceiverStream::new(receiver)).chain(last), Reading { end, finish })
}

fn read_chunk(reader: &mut impl Read, wanted: usize) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(wanted);
    let length = read_some(reader, &mut chunk)?;
    chunk.truncate(length);
    Ok(chunk.freeze())
}

/// Fills `chunk` as far as there is something to read: pipes give little at a time.
fn read_some(reader: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match reader.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Length and digest of what has passed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    size_bytes: u64,
    hash: Sha256,
}

// === impl Tally ===

impl Tally {
    /// More has passed.
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        self.size_bytes += chunk.len() as u64;
        self.hash.update(chunk);
    }

    /// How much has passed.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// All that has passed.
    pub(crate) fn content(self) -> Content {
        Content { size_bytes: self.size_bytes, sha256: Sha256Digest::new(self.hash.finalize().into()) }
    }
}

// === impl Digest ===

impl Digest {
    /// That of all, after the last part.
    pub(crate) fn content(self) -> Content {
        match self {
            Self::Known(content) => content,
            Self::Growing(tally) => tally.content(),
        }
    }

    fn add(&mut self, chunk: &[u8]) {
        match self {
            Self::Known(_) => {}
            Self::Growing(tally) => tally.add(chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle(usize);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 || buffer.is_empty() {
                return Ok(0);
            }
            self.0 -= 1;
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn chunks_are_filled_from_slow_readers() {
        let mut reader = Trickle(CHUNK_BYTES + 3);
        assert_eq!(read_chunk(&mut reader, CHUNK_BYTES).unwrap().len(), CHUNK_BYTES);
        assert_eq!(read_chunk(&mut reader, CHUNK_BYTES).unwrap(), Bytes::from_static(b"xxx"));
        assert!(read_chunk(&mut reader, CHUNK_BYTES).unwrap().is_empty());
    }

    #[tokio::test]
    async fn parts_are_read_from_their_offset_and_never_short() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, b"0123456789").unwrap();
        let source = Source::find(&file).unwrap();
        let mut read = Vec::new();
        let mut keep = |chunk: Bytes| {
            read.extend_from_slice(&chunk);
            true
        };
        assert!(source.read_part(3, 4, &mut keep).unwrap());
        assert_eq!(source.read_part(8, 3, &mut keep).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(!source.read_part(0, 1, |_| false).unwrap());
        assert_eq!(read, b"3456");
        let mut digest = Digest::Growing(source.tally(4).await.unwrap());
        digest.add(b"456789");
        assert_eq!(digest.content(), Content { size_bytes: 10, sha256: Sha256Digest::of(b"0123456789") });
        assert!(Source::Stdin.read_part(0, 1, |_| true).is_err());
    }

    #[test]
    fn a_folder_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Source::find(folder.path()).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        let failure = Source::find(&folder.path().join("none")).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::FileNotFound);
    }
}
