//! SHA-256 of an upload and of its slices, beside the writing.

use bytes::Bytes;
use proto::{SLICE_BYTES, Sha256Digest, SliceDigests};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Up to here the hash is computed where the bytes come in: a task would cost more than it saves.
const INLINE_BYTES: u64 = 256 * 1024;
/// What is hashed without a break for the other tasks of the thread, and the longest piece in the queue.
const STRIDE: usize = 256 * 1024;

/// What was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256Digest,
    /// Present when there is more than one slice.
    pub(crate) slices: Option<SliceDigests>,
}

/// Takes the bytes in order.
#[derive(Debug)]
pub(crate) struct Hasher {
    queue: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Inline(Box<Running>),
    Task { pieces: mpsc::Sender<Bytes>, task: JoinSet<Running> },
}

/// The hashes in the making.
#[derive(Debug, Default)]
struct Running {
    size_bytes: u64,
    whole: Sha256,
    /// The hash of the slice under way; the first slice has none, since `whole` is its hash until it ends.
    slice: Sha256,
    slices: SliceDigests,
}

// === impl Hasher ===

impl Hasher {
    /// A hasher whose task, once there is one, lets at most `queue` pieces of [`STRIDE`] wait.
    pub(crate) fn new(queue: usize) -> Self {
        Self { queue, state: State::Inline(Box::default()) }
    }

    /// Adds a piece. Waits while the hash is too far behind.
    pub(crate) async fn update(&mut self, piece: Bytes) {
        if let State::Inline(running) = &mut self.state {
            if running.size_bytes + piece.len() as u64 <= INLINE_BYTES {
                running.update(&piece);
                return;
            }
            let (pieces, queue) = mpsc::channel(self.queue);
            let mut task = JoinSet::new();
            task.spawn(run(std::mem::take(running), queue));
            self.state = State::Task { pieces, task };
        }
        if let State::Task { pieces, .. } = &self.state {
            let mut piece = piece;
            while !piece.is_empty() {
                let stride = piece.split_to(piece.len().min(STRIDE));
                // The task ends early only when it panics; `finish` then passes the panic on.
                let _ = pieces.send(stride).await;
            }
        }
    }

    /// The digests of all that came.
    pub(crate) async fn finish(self) -> Digests {
        match self.state {
            State::Inline(running) => running.finish(),
            State::Task { pieces, task } => {
                drop(pieces);
                let mut ended = task.join_all().await;
                ended.pop().expect("the set holds the one task").finish()
            }
        }
    }
}

async fn run(mut running: Box<Running>, mut queue: mpsc::Receiver<Bytes>) -> Running {
    while let Some(piece) = queue.recv().await {
        running.update(&piece);
        tokio::task::yield_now().await;
    }
    *running
}

// === impl Running ===

impl Running {
    /// Adds bytes, however they lie over the borders of slices.
    fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let filled = self.size_bytes % SLICE_BYTES;
            let room = usize::try_from(SLICE_BYTES - filled).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            self.whole.update(now);
            if self.size_bytes >= SLICE_BYTES {
                self.slice.update(now);
            }
            self.size_bytes += now.len() as u64;
            if self.size_bytes.is_multiple_of(SLICE_BYTES) {
                self.end_slice();
            }
            rest = later;
        }
    }

    fn end_slice(&mut self) {
        let digest = if self.slices.is_empty() { self.whole.clone().finalize() } else { self.slice.finalize_reset() };
        self.slices.push(Sha256Digest::new(digest.into()));
    }

    fn finish(mut self) -> Digests {
        if !self.size_bytes.is_multiple_of(SLICE_BYTES) && !self.slices.is_empty() {
            self.end_slice();
        }
        Digests {
            size_bytes: self.size_bytes,
            sha256: Sha256Digest::new(self.whole.finalize().into()),
            slices: (self.slices.len() > 1).then_some(self.slices),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn digests_of(content: &[u8], chunk: usize) -> Digests {
        let mut hasher = Hasher::new(2);
        for piece in content.chunks(chunk) {
            hasher.update(Bytes::copy_from_slice(piece)).await;
        }
        hasher.finish().await
    }

    #[tokio::test]
    async fn every_length_around_the_borders() {
        let slice = usize::try_from(SLICE_BYTES).unwrap();
        let content: Vec<u8> = (0..2 * slice + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for len in [0, 1, slice - 1, slice, slice + 1, 2 * slice, 2 * slice + 5] {
            let content = &content[..len];
            let digests = digests_of(content, 300_000).await;
            assert_eq!(digests.sha256, Sha256Digest::of(content));
            assert_eq!(digests.size_bytes, len as u64);
            let expected: Vec<_> = content.chunks(slice).map(Sha256Digest::of).collect();
            match digests.slices {
                None => assert!(len <= slice),
                Some(slices) => {
                    assert!(len > slice);
                    assert_eq!((0..slices.len()).filter_map(|i| slices.get(i)).collect::<Vec<_>>(), expected);
                }
            }
        }
    }
}
