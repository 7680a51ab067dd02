//! The messages of an upload's stream, with their time-outs and limits.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tonic::{Status, Streaming};

use crate::config::Limits;
use crate::edge;
use crate::error::{Code, Error, Result};

/// Room for the fields around a chunk, so that a chunk that is a little too large gets our sentence.
pub(crate) const MESSAGE_OVERHEAD_BYTES: u64 = 64 * 1024;

/// The messages that a client streams.
pub(crate) struct Messages<T> {
    stream: Streaming<T>,
    chunk_bytes: u64,
    metadata_timeout: Duration,
    idle_timeout: Duration,
}

impl<T: Send + 'static> Messages<T> {
    /// Wraps what tonic gave.
    pub(crate) fn new(stream: Streaming<T>, limits: &Limits) -> Self {
        Self {
            stream,
            chunk_bytes: limits.chunk_bytes,
            metadata_timeout: limits.metadata_timeout,
            idle_timeout: limits.idle_timeout,
        }
    }

    /// The first message; `None` when the client ended the stream without one.
    pub(crate) async fn first(&mut self) -> Result<Option<T>> {
        self.next(self.metadata_timeout).await
    }

    /// The bytes in all further messages, as `chunk_of` takes them out; `before` comes first.
    pub(crate) fn chunks(
        self,
        before: Option<Bytes>,
        chunk_of: impl Fn(T) -> Result<Bytes> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let state = (self, before, chunk_of);
        futures::stream::try_unfold(state, |(mut messages, before, chunk_of)| async move {
            let chunk = match before {
                Some(chunk) => chunk,
                None => match messages.next(messages.idle_timeout).await? {
                    Some(message) => chunk_of(message)?,
                    None => return Ok(None),
                },
            };
            check_chunk(&chunk, messages.chunk_bytes)?;
            Ok(Some((chunk, (messages, None, chunk_of))))
        })
    }

    async fn next(&mut self, timeout: Duration) -> Result<Option<T>> {
        match tokio::time::timeout(timeout, self.stream.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(failed(&status, self.chunk_bytes)),
            Err(_) => {
                let problem = format!("the client sent nothing for {} seconds", timeout.as_secs_f32());
                Err(Error::new(Code::UploadIdle, problem))
            }
        }
    }
}

fn check_chunk(chunk: &Bytes, limit: u64) -> Result<()> {
    if chunk.len() as u64 > limit {
        return Err(too_large(limit).fact("size_bytes", chunk.len()));
    }
    Ok(())
}

fn too_large(limit: u64) -> Error {
    Error::new(Code::ChunkTooLarge, format!("a chunk has more than the {limit} bytes that are allowed"))
        .fact("limit", limit)
}

/// Why tonic could not give the next message. It has no types for this, only codes and sentences.
fn failed(status: &Status, chunk_bytes: u64) -> Error {
    if edge::is_cut(status) {
        return Error::new(Code::UploadCut, "the upload was cancelled, or its connection broke");
    }
    if let Some(error) = edge::undecodable_message(status) {
        return error;
    }
    match status.code() {
        tonic::Code::OutOfRange => too_large(chunk_bytes),
        _ => Error::new(Code::MessageInvalid, format!("the stream could not be read: {}", status.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tonic_says_becomes_one_of_our_codes() {
        let code = |status: Status| failed(&status, 4).code();
        assert_eq!(code(edge::cut()), Code::UploadCut);
        assert_eq!(code(Status::out_of_range("Error, decoded message length too large")), Code::ChunkTooLarge);
        assert_eq!(code(Status::internal("failed to decode Protobuf message: x")), Code::MessageInvalid);
        assert_eq!(code(Status::internal("Unexpected EOF decoding stream.")), Code::MessageInvalid);
    }

    #[test]
    fn a_chunk_has_a_largest_size() {
        assert!(check_chunk(&Bytes::from_static(b"1234"), 4).is_ok());
        let error = check_chunk(&Bytes::from_static(b"12345"), 4).unwrap_err();
        assert_eq!(error.code(), Code::ChunkTooLarge);
        assert_eq!(error.to_string(), "a chunk has more than the 4 bytes that are allowed");
    }
}
