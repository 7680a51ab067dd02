//! Uploads in parts.

use std::collections::HashMap;

use proto::v1::{self, upload_part_request};
use tonic::{Code, Status, Streaming};

use super::{Fault, State, failed, settled, version};

/// Smaller than any real gateway's, so that a test needs no large files.
const PART_BYTES: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) open: HashMap<String, Session>,
    pub(crate) started: Vec<v1::UploadMetadata>,
    pub(crate) aborted: Vec<String>,
    /// Where each part began.
    pub(crate) offsets: Vec<u64>,
    /// By request id.
    finished: HashMap<String, v1::Receipt>,
}

pub(crate) struct Session {
    metadata: v1::UploadMetadata,
    content: Vec<u8>,
}

impl Session {
    pub(crate) fn offset(&self) -> u64 {
        self.content.len() as u64
    }
}

fn missing(upload_id: &str) -> Status {
    failed(Code::NotFound, "upload_not_found", format!("no upload {upload_id}"))
}

fn answer(upload_id: &str, session: &Session) -> v1::UploadSession {
    let (upload_id, offset) = (upload_id.to_owned(), session.offset());
    v1::UploadSession { upload_id, offset, part_bytes: PART_BYTES as u64, expires_at: None }
}

impl State {
    pub(super) fn start_upload(&self, request: v1::StartUploadRequest) -> Result<v1::StartUploadResponse, Status> {
        if !self.takes_parts {
            return Err(Status::unimplemented("no parts"));
        }
        let mut sessions = self.sessions.lock().unwrap();
        let metadata = request.metadata.unwrap();
        sessions.started.push(metadata.clone());
        let done = sessions.finished.get(&metadata.request_id).cloned();
        let (known, instant) = (done.is_some(), done.is_none());
        let held =
            self.files.lock().unwrap().values().any(|held| Some(&version(held).sha256) == metadata.sha256.as_ref());
        if known || held {
            let receipt = done.unwrap_or_else(|| {
                receipt(&metadata, metadata.size_bytes(), metadata.sha256.clone().unwrap_or_default())
            });
            let outcome = Some(v1::start_upload_response::Outcome::Receipt(receipt));
            return Ok(v1::StartUploadResponse { outcome, instant });
        }
        let upload_id = format!("upload-{}", sessions.started.len());
        let session = Session { metadata, content: Vec::new() };
        let outcome = Some(v1::start_upload_response::Outcome::Session(answer(&upload_id, &session)));
        sessions.open.insert(upload_id, session);
        Ok(v1::StartUploadResponse { outcome, instant: false })
    }

    pub(super) async fn upload_part(
        &self,
        mut stream: Streaming<v1::UploadPartRequest>,
    ) -> Result<v1::UploadPartResponse, Status> {
        let Some(upload_part_request::Payload::Header(header)) = stream.message().await?.and_then(|m| m.payload) else {
            return Err(Status::invalid_argument("no header"));
        };
        self.sessions.lock().unwrap().offsets.push(header.offset);
        let fault = self.next_fault();
        let mut part = Vec::new();
        while let Some(message) = stream.message().await? {
            let Some(upload_part_request::Payload::Chunk(chunk)) = message.payload else {
                return Err(Status::invalid_argument("two headers"));
            };
            part.extend_from_slice(&chunk);
            let is_half = part.len() >= 2 * PART_BYTES;
            if matches!(fault, Some(Fault::PartBroken | Fault::Hangs)) && is_half {
                self.take(&header, &part[..2 * PART_BYTES])?;
                if fault == Some(Fault::Hangs) {
                    std::future::pending::<()>().await;
                }
                return Err(Status::unavailable("the node is away"));
            }
        }
        settled().await;
        let session = self.take(&header, &part)?;
        if fault == Some(Fault::AnswerLost) {
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(v1::UploadPartResponse { session: Some(session) })
    }

    fn take(&self, header: &v1::PartHeader, part: &[u8]) -> Result<v1::UploadSession, Status> {
        let mut sessions = self.sessions.lock().unwrap();
        let session = sessions.open.get_mut(&header.upload_id).ok_or_else(|| missing(&header.upload_id))?;
        if header.offset != session.offset() {
            return Err(failed(Code::OutOfRange, "offset_wrong", "another offset".to_owned()));
        }
        session.content.extend_from_slice(part);
        Ok(answer(&header.upload_id, session))
    }

    pub(super) fn get_upload(&self, request: &v1::GetUploadRequest) -> Result<v1::GetUploadResponse, Status> {
        let sessions = self.sessions.lock().unwrap();
        let session = sessions.open.get(&request.upload_id).ok_or_else(|| missing(&request.upload_id))?;
        Ok(v1::GetUploadResponse { session: Some(answer(&request.upload_id, session)) })
    }

    pub(super) fn finish_upload(&self, request: &v1::FinishUploadRequest) -> Result<v1::FinishUploadResponse, Status> {
        let fault = self.next_fault();
        let mut sessions = self.sessions.lock().unwrap();
        let Session { metadata, mut content } =
            sessions.open.remove(&request.upload_id).ok_or_else(|| missing(&request.upload_id))?;
        if fault == Some(Fault::OtherBytes) {
            content.push(b'!');
        }
        let version = version(&content);
        if metadata.sha256.as_ref().is_some_and(|declared| *declared != version.sha256) {
            return Err(failed(Code::InvalidArgument, "digest_mismatch", "other bytes".to_owned()));
        }
        let receipt = receipt(&metadata, version.size_bytes, version.sha256);
        self.files.lock().unwrap().insert(metadata.path.clone(), content.into());
        sessions.finished.insert(metadata.request_id, receipt.clone());
        if fault == Some(Fault::AnswerLost) {
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(v1::FinishUploadResponse { receipt: Some(receipt) })
    }

    pub(super) fn abort_upload(&self, request: &v1::AbortUploadRequest) -> Result<v1::AbortUploadResponse, Status> {
        let mut sessions = self.sessions.lock().unwrap();
        sessions.aborted.push(request.upload_id.clone());
        sessions.open.remove(&request.upload_id).ok_or_else(|| missing(&request.upload_id))?;
        Ok(v1::AbortUploadResponse {})
    }
}

fn receipt(metadata: &v1::UploadMetadata, size_bytes: u64, sha256: bytes::Bytes) -> v1::Receipt {
    let (outcome, path) = (v1::Outcome::Applied.into(), metadata.path.clone());
    v1::Receipt { outcome, path, size_bytes, sha256, projected: true, ..v1::Receipt::default() }
}
