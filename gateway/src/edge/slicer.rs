//! Cuts the chunks of an upload before tonic sees them.
//!
//! tonic gives out a message only when it has all of it, so that each upload would hold a whole chunk of its client's
//! choice in a buffer that grows to twice its size. The bytes of an upload are the same however they are cut, so a
//! chunk is passed on as it comes, each piece in a message of its own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;

/// Chunks up to this size are left as they are.
const PIECE_BYTES: usize = 256 * 1024;

/// The number of `UploadRequest.chunk`.
const CHUNK_FIELD: u32 = 2;

/// What gRPC puts before each message: a flag for compression, and the length in 32 bits.
const PREFIX_BYTES: usize = 5;

/// A body of `UploadRequest` messages with small chunks.
pub(crate) struct Slicer<B> {
    inner: B,
    /// Chunks over this are left whole: they are too large, and the client learns that from who counts their bytes.
    max_chunk_bytes: u64,
    state: State,
    /// What came and is not looked at yet.
    input: Bytes,
    /// What is passed on next.
    ready: Option<Bytes>,
}

/// Where in the stream of messages the input begins.
enum State {
    /// At the beginning of a message: what has come of its beginning.
    Start(BytesMut),
    /// In the middle of a message that is passed on as it is, with so many bytes to go.
    Whole(usize),
    /// In the middle of a chunk that is cut, with so many bytes to go.
    Chunk(usize),
}

/// What the beginning of a message says.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Too little to say anything.
    Incomplete,
    /// It is passed on as it is; so many bytes follow those that were looked at.
    Whole(usize),
    /// It is nothing but one chunk of so many bytes, which begins after so many.
    Chunk { bytes: usize, after: usize },
}

fn read_start(start: &[u8], max_chunk_bytes: u64) -> Start {
    let Some((prefix, message)) = start.split_first_chunk::<PREFIX_BYTES>() else { return Start::Incomplete };
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    let whole = || Start::Whole(length.saturating_sub(message.len()));
    if flag != 0 || length <= PIECE_BYTES {
        return whole();
    }
    // A message this long has room for any key and length, so that they need not be looked for past its end.
    let mut rest = message;
    let Some(key) = varint(&mut rest) else { return if message.len() < 10 { Start::Incomplete } else { whole() } };
    let key_wanted = u64::from(CHUNK_FIELD << 3) | WireType::LengthDelimited as u64;
    if key != key_wanted {
        return whole();
    }
    let Some(bytes) = varint(&mut rest) else { return if message.len() < 20 { Start::Incomplete } else { whole() } };
    let after = message.len() - rest.len();
    match usize::try_from(bytes) {
        Ok(bytes) if bytes.checked_add(after) == Some(length) && bytes as u64 <= max_chunk_bytes => {
            Start::Chunk { bytes, after: PREFIX_BYTES + after }
        }
        _ => whole(),
    }
}

/// The next varint; `None` when it is not all there.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    prost::encoding::decode_varint(&mut &*number).ok()
}

/// What stands before a chunk of so many bytes.
fn head(chunk_bytes: usize) -> Bytes {
    let mut fields = BytesMut::with_capacity(16);
    encode_key(CHUNK_FIELD, WireType::LengthDelimited, &mut fields);
    encode_varint(chunk_bytes as u64, &mut fields);
    let mut head = BytesMut::with_capacity(PREFIX_BYTES + fields.len());
    head.put_u8(0);
    head.put_u32(u32::try_from(fields.len() + chunk_bytes).expect("a piece is far smaller than 4 GiB"));
    head.put(fields);
    head.freeze()
}

// === impl Slicer ===

impl<B> Slicer<B> {
    /// Cuts what `inner` gives, but for chunks of more than `max_chunk_bytes`; with 0 it cuts nothing, and only sees to
    /// it that the stream ends where a message does.
    pub(crate) fn new(inner: B, max_chunk_bytes: u64) -> Self {
        let state = State::Start(BytesMut::new());
        Self { inner, max_chunk_bytes, state, input: Bytes::new(), ready: None }
    }

    /// The next bytes to be passed on that the input holds.
    fn next(&mut self) -> Option<Bytes> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        while !self.input.is_empty() {
            match &mut self.state {
                State::Start(start) => {
                    start.put_u8(self.input.get_u8());
                    match read_start(start, self.max_chunk_bytes) {
                        Start::Incomplete => {}
                        Start::Whole(left) => {
                            let start = start.split().freeze();
                            self.state = State::Whole(left);
                            self.turn(left);
                            return Some(start);
                        }
                        Start::Chunk { bytes, after } => {
                            assert_eq!(start.len(), after, "one byte at a time is looked at");
                            self.state = State::Chunk(bytes);
                        }
                    }
                }
                State::Whole(left) => {
                    let taken = self.input.split_to(self.input.len().min(*left));
                    let left = *left - taken.len();
                    self.state = State::Whole(left);
                    self.turn(left);
                    return Some(taken);
                }
                State::Chunk(left) => {
                    let piece = self.input.split_to(self.input.len().min(*left).min(PIECE_BYTES));
                    let left = *left - piece.len();
                    self.state = State::Chunk(left);
                    self.turn(left);
                    let head = head(piece.len());
                    self.ready = Some(piece);
                    return Some(head);
                }
            }
        }
        None
    }

    /// After the last byte of a message begins the next one.
    fn turn(&mut self, left: usize) {
        if left == 0 {
            self.state = State::Start(BytesMut::new());
        }
    }

    /// Whether the input ends where a message does. tonic itself takes a stream that ends after the prefix of a message
    /// for one that is complete.
    fn is_complete(&self) -> bool {
        matches!(&self.state, State::Start(start) if start.is_empty())
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Slicer<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(bytes) = self.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
                let broken = (!self.is_complete()).then(|| Err(Status::internal("it ends inside of a message")));
                // Once is enough: nothing is asked for after an error.
                self.state = State::Start(BytesMut::new());
                return Poll::Ready(broken);
            };
            match frame?.into_data() {
                Ok(data) => self.input = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
