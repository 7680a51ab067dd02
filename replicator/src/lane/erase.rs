//! Erasing the blobs of one order from the target.

use blobs::Node;
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream;
use journal::{Delivery, Ended, Slot};
use proto::{BlobId, MarkerId};
use runtime::retry::{self, Backoff};

use super::Lane;
use crate::confirm::{Done, NotReported};
use crate::job::Order;

/// What became of one attempt at several blobs.
#[derive(Debug, Default)]
struct Round {
    /// Erased, from the disks with these markers.
    erased: Vec<(BlobId, MarkerId)>,
    /// Those that failed for their own reason.
    failed: Vec<(BlobId, String)>,
    /// Why the round ended before all blobs had their turn.
    stopped: Option<Stopped>,
}

#[derive(Debug)]
enum Stopped {
    /// A node's fault, which says nothing of the blobs.
    Node(String),
    /// The process is to end.
    Shutdown,
}

impl Lane {
    /// Erases what the order names, and acknowledges it once the journal has what became of each blob. What is done is
    /// reported even if the order comes again for the rest. The slot is given up at once, so that no copy waits for
    /// erasures: these have places of their own, and so have the orders.
    pub(super) async fn erase(&self, delivery: Delivery, slot: Slot, order: &Order) -> Ended {
        drop(slot);
        let Ok(_place) = self.orders.try_acquire() else {
            return self.set_aside(delivery, "too many orders to erase are worked on").await;
        };
        let mut backoff = Backoff::new(&self.settings.retry);
        let mut left = order.blob_ids.clone();
        let mut attempts = 0;
        loop {
            let round = self.round(&left).await;
            if let Err(error) = self.report_erased(order, &round.erased).await {
                return self.unreported(delivery, error).await;
            }
            match round.stopped {
                Some(Stopped::Node(reason)) => return self.give_back(delivery, &reason).await,
                Some(Stopped::Shutdown) => return delivery.give_back().await,
                None if round.failed.is_empty() => return delivery.ack().await,
                None => {}
            }
            attempts += 1;
            if attempts >= self.settings.park_after {
                return self.park_all(delivery, order, attempts, round.failed).await;
            }
            for (blob_id, reason) in &round.failed {
                tracing::info!(
                    seq = order.cause, blob.id = %blob_id, node.id = %self.target,
                    "attempt {attempts} to erase blob {blob_id} from node {} failed: {reason}", self.target
                );
            }
            left = round.failed.into_iter().map(|(blob_id, _)| blob_id).collect();
            if !retry::sleep(backoff.next_delay(), self.shutdown.soft_token()).await {
                return delivery.give_back().await;
            }
        }
    }

    /// Tries each of `blobs` once, several at a time. What is under way when it stops is done again by whoever gets the
    /// order then.
    async fn round(&self, blobs: &[BlobId]) -> Round {
        let mut round = Round::default();
        let Some(node) = self.nodes.get(&self.target) else {
            round.stopped = Some(Stopped::Node("it is not configured".to_owned()));
            return round;
        };
        let at_once = usize::from(self.settings.erase_concurrency);
        let mut ended =
            stream::iter(blobs.iter().copied()).map(|blob| self.erase_one(node, blob)).buffer_unordered(at_once);
        while let Some((blob_id, outcome)) = ended.next().await {
            match outcome {
                Ok(marker_id) => round.erased.push((blob_id, marker_id)),
                Err(error) if error.faulty_node().is_some() => round.stopped = Some(Stopped::Node(error.to_string())),
                Err(error) => round.failed.push((blob_id, error.to_string())),
            }
            if self.shutdown.is_soft() {
                round.stopped.get_or_insert(Stopped::Shutdown);
            }
            if round.stopped.is_some() {
                break;
            }
        }
        round
    }

    async fn erase_one(&self, node: &Node, blob: BlobId) -> (BlobId, Result<MarkerId, blobs::Error>) {
        // Orders that are worked on at the same time share the places.
        let _place = self.erasing.acquire().await.expect("nobody closes the semaphore of a lane");
        (blob, node.erase(blob).await)
    }

    async fn report_erased(&self, order: &Order, erased: &[(BlobId, MarkerId)]) -> Result<(), NotReported> {
        let cause = order.cause;
        let reports =
            erased.iter().copied().map(|(blob_id, marker)| self.erased.report(marker, Done { blob_id, cause }));
        try_join_all(reports).await?;
        if !erased.is_empty() {
            let (count, target) = (erased.len(), &self.target);
            tracing::debug!(seq = cause, node.id = %target, "erased {count} blobs from node {target}");
        }
        Ok(())
    }

    async fn park_all(&self, delivery: Delivery, order: &Order, attempts: u32, failed: Vec<(BlobId, String)>) -> Ended {
        for (blob_id, reason) in failed {
            if let Err(unparked) = self.park("erasure", blob_id, order.cause, attempts, reason).await {
                return self.give_back(delivery, unparked).await;
            }
        }
        delivery.ack().await
    }
}
