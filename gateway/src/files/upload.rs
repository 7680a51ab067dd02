//! Storing one file: begin, write, commit or abort.

use std::pin::pin;
use std::time::Duration;

use blobs::{Expected, ObjectMeta};
use bytes::Bytes;
use catalog::{BlobRow, Outcome, ReceiptRow};
use futures::{Stream, StreamExt as _};
use proto::{BlobId, Event, EventId, Fact, FileUploaded, Fingerprint, Sha256Digest, SpaceId};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tracing::info;

use super::change::Asked;
use super::request::{NewFile, Stored};
use super::{Decision, Files, Receipt, publish};
use crate::error::{Code, Error, Result};

/// The `source` of the gateway's events.
pub(crate) const SOURCE: &str = "/highwater/gateway";

/// Chunks are copied in pieces of at most so many bytes. Without that, each would keep alive the buffer of its
/// connection, which is up to twice as large, for as long as its slice is in memory; and the connection would need a
/// new one each time.
const PIECE_BYTES: usize = 256 * 1024;

/// How long an upload may take to clean up once everything is being let go of.
const LET_GO: Duration = Duration::from_secs(3);

/// The reasons for which the fold rejects an instant upload whose content went away: the bytes are then sent after all.
const CONTENT_GONE: [&str; 3] = ["blob_condemned", "blob_lost", "blob_unknown"];

/// What became of an upload.
#[derive(Debug)]
pub(crate) struct Uploaded {
    /// Its receipt.
    pub(crate) receipt: Receipt,
    /// Whether no bytes were needed: the space had the same content.
    pub(crate) instant: bool,
}

/// How an upload goes on.
enum Begun {
    /// It is decided.
    Done(Box<Uploaded>),
    /// Bytes are needed.
    Writing(Box<Writing>),
}

/// An upload under way. It ends with [`Writing::commit`] or [`Writing::abort`]; one that is dropped leaves its parts to
/// the sweep.
struct Writing {
    files: Files,
    file: NewFile,
    space_id: SpaceId,
    event_id: EventId,
    sink: Sink,
    received: u64,
    _place: OwnedSemaphorePermit,
}

/// Where the bytes go.
enum Sink {
    /// To a node.
    Node {
        /// The object.
        blob_id: BlobId,
        /// On its way.
        upload: Box<blobs::Upload>,
    },
    /// Nowhere: the request was decided before, and the bytes only tell whether it is the same one.
    Again {
        /// The first outcome.
        first: Box<ReceiptRow>,
        /// What came so far.
        hash: Sha256,
    },
}

impl Files {
    /// Stores one file: everything from [`Files::begin`] to the receipt.
    ///
    /// It runs in a task of its own, since the caller's future is dropped when the client goes away, and then what was
    /// written must be thrown away, or what was published must be finished.
    pub(crate) async fn store<S>(&self, file: NewFile, chunks: S) -> Result<Uploaded>
    where
        S: Stream<Item = Result<Bytes>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let files = self.clone();
        let shutdown = self.inner().process.shutdown.clone();
        let work = async move {
            let let_go = async {
                shutdown.hard_cancelled().await;
                tokio::time::sleep(LET_GO).await;
            };
            let stored = tokio::select! {
                stored = files.store_all(file, chunks) => stored,
                // Connections are cut then, so that uploads end by themselves; this is for the one that hangs.
                () = let_go => Err(Error::stopping()),
            };
            if let Err(Err(unheard)) = sender.send(stored) {
                unheard.log();
            }
        };
        self.spawn("gateway.upload", work);
        receiver.await.unwrap_or_else(|_| Err(Error::internal("the task of the upload ended without an answer")))
    }

    async fn store_all(&self, file: NewFile, chunks: impl Stream<Item = Result<Bytes>> + Send) -> Result<Uploaded> {
        let replicas = self.ack_replicas(&file);
        self.check_replicas(replicas)?;
        let uploaded = match self.begin(file).await? {
            Begun::Done(uploaded) => *uploaded,
            Begun::Writing(mut writing) => match writing.write_all(chunks).await {
                Ok(()) => Uploaded { receipt: writing.commit().await?, instant: false },
                Err(error) => {
                    writing.abort().await;
                    return Err(error);
                }
            },
        };
        self.hold_back(&uploaded, replicas).await?;
        Ok(uploaded)
    }

    /// How many nodes shall hold the file before it is acknowledged.
    pub(super) fn ack_replicas(&self, file: &NewFile) -> u32 {
        match file.ack_replicas {
            0 => self.limits().ack_replicas,
            asked => asked,
        }
    }

    /// Waits until so many nodes hold the file.
    pub(super) async fn hold_back(&self, uploaded: &Uploaded, replicas: u32) -> Result<()> {
        match (uploaded.receipt.version_id, uploaded.receipt.decision) {
            (Some(version_id), Decision::Applied | Decision::ConflictedCopy | Decision::Pending) => {
                self.acked(version_id, uploaded.receipt.sequence, replicas).await
            }
            _ => Ok(()),
        }
    }

    /// Begins an upload, if it could be committed as things are now.
    async fn begin(&self, file: NewFile) -> Result<Begun> {
        let place = self.place(&self.inner().uploads, Code::TooManyUploads).await?;
        file.check_declared(self.limits().max_file_bytes)?;
        let space_id = self.space_of_upload(&file.space, &file.author).await?;
        let (event_id, sink) = match self.decide_early(&file, space_id).await? {
            Early::Done(uploaded) => return Ok(Begun::Done(uploaded)),
            Early::Again(first) => (first.event_id, Sink::Again { first, hash: Sha256::new() }),
            Early::Bytes(event_id) => {
                if let Some(objection) = self.objection() {
                    return Err(objection);
                }
                let nodes = &self.ready()?.nodes;
                let blob_id = BlobId::new(self.inner().process.ids.v7());
                let meta = ObjectMeta { event_id, space: space_id, version_id: event_id.version_id() };
                (event_id, Sink::Node { blob_id, upload: Box::new(nodes.begin_upload(blob_id, meta)) })
            }
        };
        let files = self.clone();
        Ok(Begun::Writing(Box::new(Writing { files, file, space_id, event_id, sink, received: 0, _place: place })))
    }

    /// What can be said of an upload before its bytes: whether its request was decided before, and whether the space has
    /// its content already.
    pub(super) async fn decide_early(&self, file: &NewFile, space_id: SpaceId) -> Result<Early> {
        // Looked up before the receipts: content that an earlier attempt of this very request has brought comes with the
        // receipt of that attempt.
        let known = match (file.sha256, file.size_bytes) {
            (Some(sha256), Some(size_bytes)) => self.catalog().content(space_id, sha256, size_bytes).await?,
            _ => None,
        };
        let mut event_id = match &file.author.request_id {
            None => EventId::new(self.inner().process.ids.v7()),
            Some(id) => EventId::of_request(file.author.actor.as_str(), space_id, id.as_str()),
        };
        if file.author.request_id.is_some() {
            while let Some(first) = self.catalog().receipt(event_id).await? {
                if !is_content_gone(&first) {
                    return self.answer_early(file, space_id, first).await;
                }
                // Every attempt sees that the first try without bytes failed, and goes on under the same second id.
                event_id = event_id.second_try();
            }
        }
        let Some(blob) = known else { return Ok(Early::Bytes(event_id)) };
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let receipt = self.publish_instant(file, space_id, event_id, &blob).await?;
        if receipt.reason.as_deref().is_some_and(|reason| CONTENT_GONE.contains(&reason)) {
            return Ok(Early::Bytes(event_id.second_try()));
        }
        Ok(Early::Done(Box::new(Uploaded { receipt, instant: true })))
    }

    /// A request that was decided before is answered at once when its digest was declared, else after its bytes.
    async fn answer_early(&self, file: &NewFile, space_id: SpaceId, first: ReceiptRow) -> Result<Early> {
        let (Some(sha256), Some(size_bytes)) = (file.sha256, file.size_bytes) else {
            return Ok(Early::Again(Box::new(first)));
        };
        let fingerprint = fingerprint_of(file, space_id, size_bytes, sha256);
        let receipt = self.answer_again(first, fingerprint).await?;
        Ok(Early::Done(Box::new(Uploaded { receipt, instant: false })))
    }

    async fn publish_instant(
        &self,
        file: &NewFile,
        space_id: SpaceId,
        event_id: EventId,
        blob: &BlobRow,
    ) -> Result<Receipt> {
        let fact = Fact::FileUploaded(FileUploaded { instant: true, ..file.uploaded(space_id, Stored::before(blob)) });
        self.change(Asked { event_id, author: file.author.clone() }, fact).await
    }
}

/// What is known of an upload before its bytes.
pub(super) enum Early {
    /// It is decided.
    Done(Box<Uploaded>),
    /// Its request was decided before; its bytes only tell whether it is the same one.
    Again(Box<ReceiptRow>),
    /// Its bytes are needed; it is to be published under this id.
    Bytes(EventId),
}

pub(super) fn is_content_gone(receipt: &ReceiptRow) -> bool {
    receipt.outcome == Outcome::Rejected && receipt.reason.as_deref().is_some_and(|why| CONTENT_GONE.contains(&why))
}

// === impl Writing ===

impl Writing {
    /// Adds bytes. After an error only [`Writing::abort`] makes sense.
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.received = self.received.saturating_add(chunk.len() as u64);
        self.file.check_so_far(self.received, self.files.limits().max_file_bytes)?;
        match &mut self.sink {
            Sink::Node { upload, .. } => {
                for piece in chunk.chunks(PIECE_BYTES) {
                    upload.write(Bytes::copy_from_slice(piece)).await?;
                }
            }
            Sink::Again { hash, .. } => hash.update(&chunk),
        }
        Ok(())
    }

    /// Checks what was declared, makes the object, publishes the event, and answers once that is certain.
    async fn commit(self) -> Result<Receipt> {
        if let Err(error) = self.file.check_size(self.received) {
            self.abort().await;
            return Err(error);
        }
        let Self { files, file, space_id, event_id, sink, received, _place } = self;
        match sink {
            Sink::Again { first, hash } => {
                let sha256 = Sha256Digest::new(hash.finalize().into());
                file.check_digest(sha256)?;
                let fingerprint = fingerprint_of(&file, space_id, received, sha256);
                files.answer_again(*first, fingerprint).await
            }
            Sink::Node { blob_id, upload } => {
                let expected = Expected { size_bytes: file.size_bytes, sha256: file.sha256 };
                let written = upload.finish_if(expected).await?;
                let layout = files.ready()?.nodes.layout();
                let uploaded = file.uploaded(space_id, Stored::new(blob_id, &written, &layout));
                let (fingerprint, fact) = (Fingerprint::of_upload(&uploaded), Fact::FileUploaded(uploaded.clone()));
                let event = Event {
                    id: event_id,
                    source: SOURCE.to_owned(),
                    time: files.inner().process.clock.now(),
                    actor: file.author.actor.clone(),
                    request_id: file.author.request_id.clone(),
                    fingerprint: Some(fingerprint),
                    rules: fact.rules(),
                    fact,
                };
                let may_be_rejected = file.may_be_rejected();
                let upload = publish::Upload { event, uploaded, fingerprint, written, may_be_rejected };
                let receipt = files.publish(upload).await?;
                info!(
                    event.id = %event_id, blob.id = %blob_id, seq = receipt.sequence.n, size_bytes = received,
                    "stored {}/{} as event {}", file.space, file.path, receipt.sequence.n
                );
                Ok(receipt)
            }
        }
    }

    /// Throws away what was written.
    async fn abort(self) {
        match self.sink {
            Sink::Node { upload, .. } => upload.abort().await,
            Sink::Again { .. } => {}
        }
    }

    async fn write_all(&mut self, chunks: impl Stream<Item = Result<Bytes>> + Send) -> Result<()> {
        let deadline = Instant::now() + self.files.limits().upload_timeout;
        let mut chunks = pin!(chunks);
        loop {
            let next = tokio::time::timeout_at(deadline, chunks.next()).await.map_err(|_| {
                let problem = "the upload takes longer than the gateway allows";
                Error::new(Code::UploadTooLong, problem)
            })?;
            match next {
                Some(chunk) => self.write(chunk?).await?,
                None => return Ok(()),
            }
        }
    }
}

/// The fingerprint that the upload would have had, whatever object it would have made.
fn fingerprint_of(file: &NewFile, space_id: SpaceId, size_bytes: u64, sha256: Sha256Digest) -> Fingerprint {
    Fingerprint::of_upload(&file.uploaded(space_id, Stored::nowhere(size_bytes, sha256)))
}

#[cfg(test)]
mod tests {
    use proto::{MarkerId, NodeId};
    use uuid::Uuid;

    use super::*;
    use crate::files::request::{self, Author};

    #[test]
    fn a_request_made_again_has_the_same_fingerprint_wherever_its_bytes_went() {
        let file = NewFile {
            space: proto::SpaceName::main(),
            path: request::path("a").unwrap(),
            size_bytes: None,
            sha256: None,
            content_type: "text/plain".to_owned(),
            modified_at: None,
            author: Author { actor: proto::Actor::anonymous(), request_id: None },
            on_conflict: proto::OnConflict::Overwrite,
            if_version: None,
            ack_replicas: 0,
        };
        let (space_id, sha256) = (SpaceId::new(Uuid::from_u128(1)), Sha256Digest::of(b"abc"));
        let stored = Stored {
            blob_id: BlobId::new(Uuid::from_u128(2)),
            size_bytes: 3,
            sha256,
            slices_sha256: None,
            slice_bytes: None,
            node: "node-b".parse::<NodeId>().unwrap(),
            marker_id: MarkerId::new(Uuid::from_u128(3)),
            targets: Some(vec!["node-c".parse().unwrap()]),
        };
        let first = Fingerprint::of_upload(&file.uploaded(space_id, stored));
        assert_eq!(fingerprint_of(&file, space_id, 3, sha256), first);
        assert_ne!(fingerprint_of(&file, space_id, 3, Sha256Digest::of(b"abd")), first);
        let elsewhere = NewFile { path: request::path("b").unwrap(), ..file };
        assert_ne!(fingerprint_of(&elsewhere, space_id, 3, sha256), first);
    }
}
