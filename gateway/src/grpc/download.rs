//! Sending a file.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Messages, messages};
use crate::error::{Code, Error, Result};
use crate::files::{Files, Reading};

/// Chunks that wait until the connection has room: one is enough to overlap reading and sending.
const CHUNKS_AHEAD: usize = 1;

/// The bytes of `reading`, each chunk made a message by `message_of`.
///
/// A task of its own does the reading: a stream is not asked for anything while its client takes nothing, so it could
/// not notice that, and would hold its place among the downloads for ever.
pub(crate) fn chunks<T: 'static>(files: &Files, reading: Reading, message_of: fn(Bytes) -> T) -> Messages<T> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (ending, ended) = oneshot::channel();
    let idle_timeout = files.limits().idle_timeout;
    files.spawn("gateway.download", async move {
        let outcome = pump(reading, sender, idle_timeout).await;
        if let Err(Err(unheard)) = ending.send(outcome) {
            unheard.log();
        }
    });
    Box::pin(messages(receiver, ended, message_of))
}

async fn pump(mut reading: Reading, sender: mpsc::Sender<Bytes>, idle_timeout: Duration) -> Result<()> {
    loop {
        let chunk = tokio::select! {
            biased;
            () = sender.closed() => return Ok(()),
            chunk = reading.next() => chunk?,
        };
        let Some(chunk) = chunk else { return Ok(()) };
        match sender.send_timeout(chunk, idle_timeout).await {
            Ok(()) => {}
            // The client is gone, and with it everybody who would want to know how this ended.
            Err(SendTimeoutError::Closed(_)) => return Ok(()),
            Err(SendTimeoutError::Timeout(_)) => {
                let problem = format!("the client took nothing for {} seconds", idle_timeout.as_secs_f32());
                return Err(Error::new(Code::DownloadIdle, problem));
            }
        }
    }
}
