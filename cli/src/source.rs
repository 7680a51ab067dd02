//! What `put` sends: files and stdin, read on threads of their own.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use proto::Sha256Digest;
use proto::v1::{UploadMetadata, UploadRequest, upload_request::Payload};
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

/// A reader at work. The messages end only when [`Reading::finish`] is used: an upload whose reading failed, or that
/// nobody waits for any more, must not look complete to the gateway, and dropping a call does not end its messages.
pub(crate) struct Reading {
    /// How it ended; absent when the messages were dropped before.
    pub(crate) end: oneshot::Receiver<io::Result<Content>>,
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

    /// Starts to read it as the messages of an upload, `metadata` first.
    pub(crate) fn messages(
        &self,
        metadata: UploadMetadata,
        progress: Arc<Progress>,
    ) -> (impl Stream<Item = UploadRequest> + Send + 'static, Reading) {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (ended, end) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let source = self.clone();
        drop(tokio::task::spawn_blocking(move || {
            if let Some(how) = send_all(&source, &sender, &progress).transpose() {
                // Nobody asks when the upload was given up.
                let _ = ended.send(how);
            }
        }));
        let first = futures::stream::iter([UploadRequest { payload: Some(Payload::Metadata(metadata)) }]);
        let last = futures::stream::once(async {
            if finished.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let last = last.filter_map(|()| std::future::ready(None));
        (first.chain(ReceiverStream::new(receiver)).chain(last), Reading { end, finish })
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
}

/// `None` when nobody takes the messages any more.
fn send_all(source: &Source, sender: &mpsc::Sender<UploadRequest>, progress: &Progress) -> io::Result<Option<Content>> {
    let mut reader = source.open()?;
    let mut tally = Tally::default();
    loop {
        let chunk = read_chunk(&mut reader)?;
        if chunk.is_empty() {
            return Ok(Some(tally.content()));
        }
        let length = chunk.len() as u64;
        tally.add(&chunk);
        if sender.blocking_send(UploadRequest { payload: Some(Payload::Chunk(chunk)) }).is_err() {
            return Ok(None);
        }
        progress.add(length);
    }
}

fn read_chunk(reader: &mut impl Read) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(CHUNK_BYTES);
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
#[derive(Default)]
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

    /// All that has passed.
    pub(crate) fn content(self) -> Content {
        Content { size_bytes: self.size_bytes, sha256: Sha256Digest::new(self.hash.finalize().into()) }
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
        assert_eq!(read_chunk(&mut reader).unwrap().len(), CHUNK_BYTES);
        assert_eq!(read_chunk(&mut reader).unwrap(), Bytes::from_static(b"xxx"));
        assert!(read_chunk(&mut reader).unwrap().is_empty());
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
