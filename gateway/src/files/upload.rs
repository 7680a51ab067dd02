//! Storing one file: begin, write, commit or abort.

use std::pin::pin;
use std::time::Duration;

use blobs::{Expected, ObjectMeta};
use bytes::Bytes;
use catalog::ReceiptRow;
use futures::{Stream, StreamExt as _};
use proto::{BlobId, Event, EventId, Fact, Fingerprint, RULES, Sha256Digest, SpaceId};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tracing::info;

use super::request::{NewFile, Stored};
use super::{Files, Receipt, publish};
use crate::error::{Code, Error, Result};

/// The `source` of the gateway's events.
pub(crate) const SOURCE: &str = "/highwater/gateway";

/// Chunks are copied in pieces of at most so many bytes. Without that, each would keep alive the buffer of its
/// connection, which is up to twice as large, for as long as its slice is in memory; and the connection would need a
/// new one each time.
const PIECE_BYTES: usize = 256 * 1024;

/// How long an upload may take to clean up once everything is being let go of.
const LET_GO: Duration = Duration::from_secs(3);

/// An upload under way. It ends with [`Writing::commit`] or [`Writing::abort`]; one that is dropped leaves its parts to
/// the sweep.
pub(crate) struct Writing {
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
    pub(crate) async fn store<S>(&self, file: NewFile, chunks: S) -> Result<Receipt>
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

    async fn store_all(&self, file: NewFile, chunks: impl Stream<Item = Result<Bytes>> + Send) -> Result<Receipt> {
        let mut writing = self.begin(file).await?;
        match writing.write_all(chunks).await {
            Ok(()) => writing.commit().await,
            Err(error) => {
                writing.abort().await;
                Err(error)
            }
        }
    }

    /// Begins an upload, if it could be committed as things are now.
    pub(crate) async fn begin(&self, file: NewFile) -> Result<Writing> {
        let place = self.place(&self.inner().uploads, Code::TooManyUploads).await?;
        file.check_declared(self.limits().max_file_bytes)?;
        let nodes = &self.ready()?.nodes;
        let space_id = self.space(&file.space).await?;
        let ids = &self.inner().process.ids;
        let (event_id, first) = match &file.request_id {
            None => (EventId::new(ids.v7()), None),
            Some(request_id) => {
                let event_id = EventId::of_request(file.actor.as_str(), space_id, request_id.as_str());
                (event_id, self.catalog().receipt(event_id).await?)
            }
        };
        let sink = if let Some(first) = first {
            Sink::Again { first: Box::new(first), hash: Sha256::new() }
        } else {
            if let Some(objection) = self.objection() {
                return Err(objection);
            }
            let blob_id = BlobId::new(ids.v7());
            let meta = ObjectMeta { event_id, space: space_id, version_id: event_id.version_id() };
            Sink::Node { blob_id, upload: Box::new(nodes.begin_upload(blob_id, meta)) }
        };
        Ok(Writing { files: self.clone(), file, space_id, event_id, sink, received: 0, _place: place })
    }
}

// === impl Writing ===

impl Writing {
    /// Adds bytes. After an error only [`Writing::abort`] makes sense.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<()> {
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
    pub(crate) async fn commit(self) -> Result<Receipt> {
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
                let uploaded = file.uploaded(space_id, Stored::new(blob_id, &written));
                let fingerprint = Fingerprint::of_upload(&uploaded);
                let event = Event {
                    id: event_id,
                    source: SOURCE.to_owned(),
                    time: files.inner().process.clock.now(),
                    actor: file.actor,
                    request_id: file.request_id,
                    fingerprint: Some(fingerprint),
                    rules: RULES,
                    fact: Fact::FileUploaded(uploaded.clone()),
                };
                let receipt = files.publish(publish::Upload { event, uploaded, fingerprint, written }).await?;
                info!(
                    event.id = %event_id, blob.id = %blob_id, seq = receipt.sequence.n, size_bytes = received,
                    "stored {}/{} as event {}", file.space, file.path, receipt.sequence.n
                );
                Ok(receipt)
            }
        }
    }

    /// Throws away what was written.
    pub(crate) async fn abort(self) {
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
    use crate::files::request;

    #[test]
    fn a_request_made_again_has_the_same_fingerprint_wherever_its_bytes_went() {
        let file = NewFile {
            space: proto::SpaceName::main(),
            path: request::path("a").unwrap(),
            size_bytes: None,
            sha256: None,
            content_type: "text/plain".to_owned(),
            modified_at: None,
            request_id: None,
            actor: proto::Actor::anonymous(),
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
        };
        let first = Fingerprint::of_upload(&file.uploaded(space_id, stored));
        assert_eq!(fingerprint_of(&file, space_id, 3, sha256), first);
        assert_ne!(fingerprint_of(&file, space_id, 3, Sha256Digest::of(b"abd")), first);
        let elsewhere = NewFile { path: request::path("b").unwrap(), ..file };
        assert_ne!(fingerprint_of(&elsewhere, space_id, 3, sha256), first);
    }
}
