//! Slices on their way to a node, several at once.

use bytes::Bytes;
use runtime::retry;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::body::Pieces;
use crate::checksum::Checksum;
use crate::multipart::{Multipart, Part};
use crate::slice::SliceBuffer;
use crate::{Error, Nodes};

/// A slice with its share of the send budget, which it gives back when it is dropped.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) checksum: Checksum,
    pub(crate) len: u64,
    _permit: OwnedSemaphorePermit,
}

/// The parts of one multipart upload under way. After the first failure no further part is sent.
#[derive(Debug)]
pub(crate) struct Sends {
    nodes: Nodes,
    pub(crate) multipart: Multipart,
    next_number: i32,
    under_way: JoinSet<Result<Part, Error>>,
    sent: Vec<Part>,
    failed: Option<Error>,
}

// === impl Sending ===

impl Sending {
    /// Waits for its share of the budget. Only sends under way hold shares, and each of them ends by itself: uploads
    /// that pause in the middle of their stream cannot keep others waiting.
    pub(crate) async fn new(nodes: &Nodes, slice: SliceBuffer) -> Self {
        let len = slice.len();
        let share = u32::try_from(len).unwrap_or(u32::MAX);
        let permit = nodes.send_budget().clone().acquire_many_owned(share).await;
        let (pieces, checksum) = slice.finish();
        let permit = permit.expect("the semaphore is never closed");
        Self { pieces, checksum, len: len as u64, _permit: permit }
    }
}

// === impl Sends ===

impl Sends {
    /// Sends what comes as the parts from `next_number` on, which counts from 1.
    pub(crate) fn new(nodes: Nodes, multipart: Multipart, next_number: i32) -> Self {
        Self { nodes, multipart, next_number, under_way: JoinSet::new(), sent: Vec::new(), failed: None }
    }

    /// Sends a slice, sealed before, as the next part, in the background. Waits while as many parts are under way as
    /// may be, or the send budget is spent, and fails when an earlier part did.
    pub(crate) async fn send(&mut self, slice: SliceBuffer) -> Result<(), Error> {
        self.wait_below(self.nodes.config().upload_parallel_parts).await?;
        let sending = Sending::new(&self.nodes, slice).await;
        let (multipart, number) = (self.multipart.clone(), self.next_number);
        self.next_number += 1;
        self.under_way.spawn(send(multipart, number, sending, self.nodes.cancel().clone()));
        Ok(())
    }

    /// Waits until fewer than `most` parts are under way; an error as soon as one failed.
    pub(crate) async fn wait_below(&mut self, most: usize) -> Result<(), Error> {
        self.notice();
        while self.failed.is_none()
            && self.under_way.len() >= most
            && let Some(ended) = self.under_way.join_next().await
        {
            self.note(ended);
        }
        self.outcome()
    }

    /// Waits for every part under way, also when others fail; then the first error.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.under_way.join_next().await {
            self.note(ended);
        }
        self.outcome()
    }

    /// The parts that the node has by now and that were not taken before, in the order in which they arrived there.
    pub(crate) fn take_sent(&mut self) -> Vec<Part> {
        self.notice();
        std::mem::take(&mut self.sent)
    }

    /// Lets go of what is under way.
    pub(crate) async fn stop(&mut self) {
        self.under_way.shutdown().await;
    }

    fn notice(&mut self) {
        while let Some(ended) = self.under_way.try_join_next() {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<Result<Part, Error>, JoinError>) {
        match ended {
            Ok(Ok(part)) => self.sent.push(part),
            Ok(Err(error)) => self.failed = self.failed.take().or(Some(error)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn outcome(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

async fn send(multipart: Multipart, number: i32, sending: Sending, cancel: CancellationToken) -> Result<Part, Error> {
    let policy = &multipart.node.config().retry;
    retry::run(policy, &cancel, async || {
        multipart.put_part(number, Pieces::body(&sending.pieces), sending.len, sending.checksum).await
    })
    .await
}
