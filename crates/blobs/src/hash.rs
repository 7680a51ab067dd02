//! SHA-256 of an upload and of its slices, beside the writing.

use bytes::Bytes;
use proto::{SLICE_BYTES, Sha256Digest, SliceDigests};
use sha2::Digest as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::sha256::Sha256;
use crate::slice::SliceBuffer;

pub(crate) use state::HashState;

mod state;

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

/// What is known at the end of a slice.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Of all that came so far.
    pub(crate) state: HashState,
    /// Of the slice that ends here.
    pub(crate) slice: Sha256Digest,
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
    Task { queue: mpsc::Sender<Item>, task: JoinSet<Running> },
}

/// What waits for the task.
#[derive(Debug)]
enum Item {
    Piece(Bytes),
    Mark(oneshot::Sender<Mark>),
}

/// The hashes in the making.
#[derive(Debug, Default)]
struct Running {
    size_bytes: u64,
    /// Its state can be kept, unlike that of a slice.
    whole: sha2::Sha256,
    /// The hash of the slice under way; the first slice has none, since `whole` is its hash until it ends.
    slice: Sha256,
    /// Of those that ended since the hash was begun or resumed.
    slices: SliceDigests,
}

// === impl Hasher ===

impl Hasher {
    /// A hasher whose task, once there is one, lets at most `queue` pieces of [`STRIDE`] wait.
    pub(crate) fn new(queue: usize) -> Self {
        Self { queue, state: State::Inline(Box::default()) }
    }

    /// As [`Self::new`], but going on after `size_bytes`, where a slice ended with `state`. The digests of the slices
    /// before are not known to it.
    pub(crate) fn resume(queue: usize, size_bytes: u64, state: &HashState) -> Self {
        let running = Running { size_bytes, whole: state.hash(), ..Running::default() };
        Self { queue, state: State::Inline(Box::new(running)) }
    }

    /// Adds what of a slice was not added before.
    pub(crate) async fn update_from(&mut self, slice: &mut SliceBuffer) {
        while let Some(piece) = slice.next_unhashed() {
            self.update(piece).await;
        }
    }

    /// Adds a piece. Waits while the hash is too far behind.
    pub(crate) async fn update(&mut self, piece: Bytes) {
        if let State::Inline(running) = &mut self.state {
            if running.size_bytes + piece.len() as u64 <= INLINE_BYTES {
                running.update(&piece);
                return;
            }
            let (queue, items) = mpsc::channel(self.queue);
            let mut task = JoinSet::new();
            task.spawn(run(std::mem::take(running), items));
            self.state = State::Task { queue, task };
        }
        if let State::Task { queue, .. } = &self.state {
            let mut piece = piece;
            while !piece.is_empty() {
                let stride = piece.split_to(piece.len().min(STRIDE));
                // The task ends early only when it panics; `finish` then passes the panic on.
                let _ = queue.send(Item::Piece(stride)).await;
            }
        }
    }

    /// What is known at the end of the slice under way, where that is, full or not: comes when the hash is there.
    pub(crate) async fn mark(&mut self) -> oneshot::Receiver<Mark> {
        let (sender, receiver) = oneshot::channel();
        match &self.state {
            State::Inline(running) => running.tell(sender),
            State::Task { queue, .. } => {
                let _ = queue.send(Item::Mark(sender)).await;
            }
        }
        receiver
    }

    /// The digests of all that came.
    pub(crate) async fn finish(self) -> Digests {
        match self.state {
            State::Inline(running) => running.finish(),
            State::Task { queue, task } => {
                drop(queue);
                let mut ended = task.join_all().await;
                ended.pop().expect("the set holds the one task").finish()
            }
        }
    }
}

async fn run(mut running: Box<Running>, mut items: mpsc::Receiver<Item>) -> Running {
    while let Some(item) = items.recv().await {
        match item {
            Item::Piece(piece) => running.update(&piece),
            Item::Mark(sender) => running.tell(sender),
        }
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
        let digest = self.slice_so_far();
        self.slice = Sha256::new();
        self.slices.push(digest);
    }

    /// The digest of the slice under way.
    fn slice_so_far(&self) -> Sha256Digest {
        if self.size_bytes > SLICE_BYTES {
            return self.slice.clone().finish();
        }
        Sha256Digest::new(self.whole.clone().finalize().into())
    }

    fn tell(&self, sender: oneshot::Sender<Mark>) {
        let ended = self.slices.len().checked_sub(1).and_then(|last| self.slices.get(last));
        let slice = match ended {
            Some(digest) if self.size_bytes.is_multiple_of(SLICE_BYTES) => digest,
            _ => self.slice_so_far(),
        };
        // Who does not wait for it any more needs no mark.
        let _ = sender.send(Mark { state: HashState::of(&self.whole), slice });
    }

    fn finish(mut self) -> Digests {
        if !self.size_bytes.is_multiple_of(SLICE_BYTES) && self.size_bytes > SLICE_BYTES {
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

    #[tokio::test]
    async fn a_hash_goes_on_from_any_mark() {
        let slice = usize::try_from(SLICE_BYTES).unwrap();
        let content: Vec<u8> = (0..2 * slice + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut hasher = Hasher::new(2);
        for (index, part) in content.chunks(slice).enumerate() {
            for piece in part.chunks(300_000) {
                hasher.update(Bytes::copy_from_slice(piece)).await;
            }
            let mark = hasher.mark().await.await.unwrap();
            assert_eq!(mark.slice, Sha256Digest::of(part));
            let so_far = index * slice + part.len();
            assert_eq!(mark.state.digest(), Sha256Digest::of(&content[..so_far]));
            hasher = Hasher::resume(2, so_far as u64, &mark.state);
        }
        let mut short = Hasher::new(2);
        short.update(Bytes::from_static(b"abc")).await;
        let mark = short.mark().await.await.unwrap();
        assert_eq!((mark.slice, mark.state.digest()), (Sha256Digest::of(b"abc"), Sha256Digest::of(b"abc")));
    }
}
