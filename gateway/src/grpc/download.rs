//! Sending a file.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::info;

use crate::error::Error;
use crate::files::{Files, Reading};

/// The messages of a download.
pub(crate) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Chunks that wait until the connection has room: one is enough to overlap reading and sending.
const CHUNKS_AHEAD: usize = 1;

/// The bytes of `reading`, each chunk made a message by `message_of`.
///
/// A task of its own does the reading: a stream is not asked for anything while its client takes nothing, so it could
/// not notice that, and would hold its place among the downloads for ever.
pub(crate) fn chunks<T: 'static>(files: &Files, reading: Reading, message_of: fn(Bytes) -> T) -> Messages<T> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    files.spawn("gateway.download", pump(reading, sender, files.limits().idle_timeout));
    Box::pin(ReceiverStream::new(receiver).map(move |chunk| chunk.map(message_of).map_err(Status::from)))
}

async fn pump(mut reading: Reading, sender: mpsc::Sender<Result<Bytes, Error>>, idle_timeout: Duration) {
    loop {
        let chunk = tokio::select! {
            biased;
            () = sender.closed() => return,
            chunk = reading.next() => chunk,
        };
        let (message, last) = match chunk {
            Ok(Some(bytes)) => (Ok(bytes), false),
            Ok(None) => return,
            Err(error) => (Err(error), true),
        };
        match sender.send_timeout(message, idle_timeout).await {
            Ok(()) if !last => {}
            Ok(()) | Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                info!("a download was ended: its client took nothing for too long");
                return;
            }
        }
    }
}
