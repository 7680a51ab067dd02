//! Answers of many messages.

use std::pin::Pin;

use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::error::{Error, Result};
use crate::files::Files;

/// The messages of an answer.
pub(crate) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Messages that wait until the connection has room.
const AHEAD: usize = 64;

/// What `work` tells, each made a message by `message_of`: until it ends, nobody listens any more, or the gateway stops.
pub(crate) fn told<S, T, F>(
    files: &Files,
    name: &'static str,
    work: impl FnOnce(mpsc::Sender<S>) -> F,
    message_of: impl Fn(S) -> T + Clone + Send + 'static,
) -> Messages<T>
where
    S: Send + 'static,
    T: 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (ending, ended) = oneshot::channel();
    let (working, shutdown) = (work(sender), files.shutdown());
    files.spawn(name, async move {
        let outcome = tokio::select! {
            outcome = working => outcome,
            () = shutdown.soft_cancelled() => Err(Error::stopping()),
        };
        if let Err(Err(unheard)) = ending.send(outcome) {
            unheard.log();
        }
    });
    Box::pin(messages(receiver, ended, message_of))
}

/// The parts of an answer, and then the error if there was one: a download that was given up must not look like a shorter
/// file.
pub(super) fn messages<P: Send, T>(
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
    use bytes::Bytes;
    use futures::TryStreamExt as _;

    use super::*;
    use crate::error::Code;

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
