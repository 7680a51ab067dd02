//! Sending a file.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::error::{Code, Error, Result};
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

/// The parts of an answer, and then the error if there was one: a download that was given up must not look like a shorter
/// file.
pub(crate) fn messages<P: Send, T>(
    parts: mpsc::Receiver<P>,
    ended: oneshot::Receiver<Result<()>>,
    message_of: impl Fn(P) -> T + Clone + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    futures::stream::try_unfold((parts, ended), move |(mut parts, ended)| {
        let message_of = message_of.clone();
        async move {
            if let Some(part) = parts.recv().await {
                return Ok(Some((message_of(part), (parts, ended))));
            }
            match ended.await {
                Ok(Ok(())) => Ok(None),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Error::internal("the task of the answer ended without saying how").into()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    async fn received(ending: Option<Result<()>>) -> (usize, Option<tonic::Code>) {
        let (sender, chunks) = mpsc::channel(2);
        let (end, ended) = oneshot::channel();
        for chunk in ["ab", "cd"] {
            sender.send(Bytes::from(chunk)).await.unwrap();
        }
        drop(sender);
        match ending {
            Some(ending) => end.send(ending).unwrap(),
            None => drop(end),
        }
        let mut messages = Box::pin(messages(chunks, ended, |chunk| chunk));
        let mut count = 0;
        loop {
            match messages.try_next().await {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, None),
                Err(status) => return (count, Some(status.code())),
            }
        }
    }

    #[tokio::test]
    async fn a_download_ends_well_only_if_it_was_read_to_its_end() {
        assert_eq!(received(Some(Ok(()))).await, (2, None));
        let idle = Error::new(Code::DownloadIdle, "no");
        assert_eq!(received(Some(Err(idle))).await, (2, Some(tonic::Code::DeadlineExceeded)));
        assert_eq!(received(None).await, (2, Some(tonic::Code::Internal)));
    }
}
