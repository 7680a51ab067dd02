//! Uploads that can be resumed: over broken connections, restarts, and by another gateway.
//!
//! What is known of one lies in the journal's bucket for uploads, and its bytes as parts on one node. Parts are written
//! down before the session says that they are safe, and the session with compare and set: of two streams of one upload
//! only one goes on. The event's id is fixed when the upload starts, so that finishing twice finishes once.

use std::pin::pin;

use blobs::{ObjectMeta, PartRecord, Progress};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use journal::{Bucket, BucketName, Entry};
use proto::{BlobId, Event, Fact, Fingerprint, SLICE_BYTES};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::request::{NewFile, Stored};
use super::upload::{Early, Uploaded};
use super::{Decision, Files, Receipt, SOURCE, publish};
use crate::error::{Code, Error, Result};
use crate::uploads::{Session, part_key, part_prefix, session_key};

/// Where an upload stands, as its client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) upload_id: Uuid,
    pub(crate) offset: u64,
    pub(crate) expires_at: OffsetDateTime,
}

/// What starting an upload comes to.
pub(crate) enum Started {
    /// Bytes are needed.
    Session(Standing),
    /// It is decided.
    Done(Box<Uploaded>),
}

/// Length of a part: any but the last of an upload has this length.
pub(crate) const PART_BYTES: u64 = SLICE_BYTES;

impl Files {
    /// Starts an upload that can be resumed.
    pub(crate) async fn start_upload(&self, file: NewFile) -> Result<Started> {
        let Some(size_bytes) = file.size_bytes else {
            let problem = "an upload that can be resumed must declare its size";
            return Err(Error::new(Code::MetadataMissing, problem));
        };
        file.check_declared(self.limits().max_file_bytes)?;
        self.check_replicas(self.ack_replicas(&file))?;
        let space_id = self.space_of_upload(&file.space, &file.author).await?;
        let event_id = match self.decide_early(&file, space_id).await? {
            Early::Done(uploaded) => {
                self.hold_back(&uploaded, self.ack_replicas(&file)).await?;
                return Ok(Started::Done(uploaded));
            }
            // Its content was not declared: finishing compares it with the first one's.
            Early::Again(first) => first.event_id,
            Early::Bytes(event_id) => event_id,
        };
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let opened = self.ready()?;
        let blob_id = BlobId::new(self.inner().process.ids.v7());
        let meta = ObjectMeta { event_id, space: space_id, version_id: event_id.version_id() };
        let upload = opened.nodes.start_resumable(blob_id, meta, size_bytes, file.sha256).await?;
        let expires_at = self.inner().process.clock.now() + opened.journal.upload_ttl();
        let session = Session { upload, event_id, space_id, file, expires_at };
        let upload_id = self.inner().process.ids.v7();
        let bucket = self.sessions().await?;
        if bucket.create(&session_key(upload_id), session.to_bytes()?).await?.is_none() {
            return Err(Error::internal("a new upload's id is taken"));
        }
        Ok(Started::Session(Standing { upload_id, offset: 0, expires_at }))
    }

    /// Where an upload stands.
    pub(crate) async fn get_upload(&self, upload_id: Uuid) -> Result<Standing> {
        let (session, _) = self.session(&self.sessions().await?, upload_id).await?;
        Ok(session.standing(upload_id))
    }

    /// Adds bytes at the session's offset. What was safe before an error stays.
    pub(crate) async fn upload_part<S>(&self, upload_id: Uuid, offset: u64, chunks: S) -> Result<Standing>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let _place = self.place(&self.inner().uploads, Code::TooManyUploads).await?;
        let bucket = self.sessions().await?;
        let (mut session, mut revision) = self.session(&bucket, upload_id).await?;
        let mut resumed = self.ready()?.nodes.resume(session.upload.clone(), offset).await?;
        let deadline = Instant::now() + self.limits().upload_timeout;
        let mut chunks = pin!(chunks);
        let outcome = loop {
            let next = match tokio::time::timeout_at(deadline, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => break Err(error),
                Ok(None) => break Ok(()),
                Err(_) => {
                    break Err(Error::new(Code::UploadTooLong, "the part takes longer than the gateway allows"));
                }
            };
            if let Err(error) = resumed.write(next).await {
                break Err(error.into());
            }
            if let Some(progress) = resumed.progress().await {
                revision = save(&bucket, upload_id, &mut session, revision, progress).await?;
            }
        };
        // Whatever ended the stream: what came before is safe, or soon will be.
        let settled = resumed.settle().await;
        if let Some(progress) = resumed.progress().await {
            save(&bucket, upload_id, &mut session, revision, progress).await?;
        }
        outcome?;
        settled?;
        Ok(session.standing(upload_id))
    }

    /// Makes the file of what was uploaded. Called again, it answers the first outcome.
    pub(crate) async fn finish_upload(&self, upload_id: Uuid) -> Result<Uploaded> {
        let bucket = self.sessions().await?;
        let (session, _) = self.session(&bucket, upload_id).await?;
        let replicas = self.ack_replicas(&session.file);
        let receipt = match self.session_receipt(&session).await? {
            Some(receipt) => receipt,
            // Not decided, or its request id was, with other bytes: publishing tells whether they are the same.
            None => match self.publish_session(&bucket, upload_id, &session).await {
                Ok(receipt) => receipt,
                // Another call may have finished it meanwhile, and removed its parts.
                Err(error) => self.session_receipt(&session).await.ok().flatten().ok_or(error)?,
            },
        };
        if receipt.decision != Decision::Pending && receipt.blob_id == Some(session.upload.blob_id()) {
            forget_parts(&bucket, upload_id).await;
        }
        let uploaded = Uploaded { receipt, instant: false };
        self.hold_back(&uploaded, replicas).await?;
        Ok(uploaded)
    }

    /// Throws an upload away. One that was finished stays.
    pub(crate) async fn abort_upload(&self, upload_id: Uuid) -> Result<()> {
        let bucket = self.sessions().await?;
        let (session, _) = self.session(&bucket, upload_id).await?;
        self.ready()?.nodes.abort_resumable(&session.upload).await?;
        bucket.delete(&session_key(upload_id)).await?;
        bucket.delete_under(&part_prefix(upload_id)).await?;
        Ok(())
    }

    /// What became of a session that was finished.
    async fn session_receipt(&self, session: &Session) -> Result<Option<Receipt>> {
        match self.catalog().receipt(session.event_id).await? {
            Some(first) if first.blob_id == Some(session.upload.blob_id()) => {
                Ok(Some(self.decided_receipt(first).await?))
            }
            Some(_) | None => Ok(None),
        }
    }

    async fn publish_session(&self, bucket: &Bucket, upload_id: Uuid, session: &Session) -> Result<Receipt> {
        if !session.upload.is_complete() {
            let problem = format!(
                "only {} of {} bytes were uploaded",
                session.upload.offset(),
                session.file.size_bytes.unwrap_or_default()
            );
            return Err(Error::new(Code::SizeMismatch, problem).fact("offset", session.upload.offset()));
        }
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let records: Result<Vec<PartRecord>> = bucket
            .list(&part_prefix(upload_id))
            .await?
            .into_iter()
            .map(|(_, entry)| serde_json::from_slice(&entry.value).map_err(Error::internal))
            .collect();
        let nodes = &self.ready()?.nodes;
        let written = nodes.finish_resumable(&session.upload, &records?).await?;
        let file = &session.file;
        let uploaded =
            file.uploaded(session.space_id, Stored::new(session.upload.blob_id(), &written, &nodes.layout()));
        let (fingerprint, fact) = (Fingerprint::of_upload(&uploaded), Fact::FileUploaded(uploaded.clone()));
        let event = Event {
            id: session.event_id,
            source: SOURCE.to_owned(),
            time: self.inner().process.clock.now(),
            actor: file.author.actor.clone(),
            request_id: file.author.request_id.clone(),
            fingerprint: Some(fingerprint),
            rules: fact.rules(),
            fact,
        };
        let may_be_rejected = file.may_be_rejected();
        self.publish(publish::Upload { event, uploaded, fingerprint, written, may_be_rejected }).await
    }

    async fn sessions(&self) -> Result<Bucket> {
        Ok(self.ready()?.journal.bucket(BucketName::Uploads).await?)
    }

    async fn session(&self, bucket: &Bucket, upload_id: Uuid) -> Result<(Session, u64)> {
        let entry = bucket.entry(&session_key(upload_id)).await?;
        let Some(Entry { value, revision }) = entry else { return Err(upload_not_found()) };
        let session = Session::from_bytes(&value)?;
        if session.expires_at < self.inner().process.clock.now() {
            return Err(upload_not_found());
        }
        Ok((session, revision))
    }
}

/// Writes down what became safe: the parts, then how far the session is.
async fn save(
    bucket: &Bucket,
    upload_id: Uuid,
    session: &mut Session,
    revision: u64,
    progress: Progress,
) -> Result<u64> {
    for part in &progress.parts {
        let value = serde_json::to_vec(part).map_err(Error::internal)?;
        bucket.put(&part_key(upload_id, part.number()), value.into()).await?;
    }
    session.upload = progress.state;
    let updated = bucket.update(&session_key(upload_id), session.to_bytes()?, revision).await?;
    updated.ok_or_else(|| {
        let problem = "another stream adds to the same upload; ask for its offset and go on there";
        Error::new(Code::OffsetWrong, problem)
    })
}

/// Removes what is known of the parts of an upload that is decided: they take far more room than its session, which stays
/// until it expires, to answer whoever asks to finish the upload again.
async fn forget_parts(bucket: &Bucket, upload_id: Uuid) {
    if let Err(error) = bucket.delete_under(&part_prefix(upload_id)).await {
        warn!("the parts of upload {upload_id}, which is finished, are left to expire: {error}");
    }
}

fn upload_not_found() -> Error {
    Error::new(Code::UploadNotFound, "there is no such upload: it was aborted, or it has expired")
}

impl Session {
    fn standing(&self, upload_id: Uuid) -> Standing {
        Standing { upload_id, offset: self.upload.offset(), expires_at: self.expires_at }
    }
}
