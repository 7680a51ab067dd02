//! The calls of uploads that can be resumed.

use bytes::Bytes;
use proto::v1;
use tonic::Streaming;

use super::Service;
use crate::error::{Code, Error, Result};
use crate::files::request;
use crate::files::{PART_BYTES, Standing, Started};
use crate::grpc::convert;
use crate::grpc::messages::Messages;

impl Service {
    pub(super) async fn start_upload(&self, asked: v1::StartUploadRequest) -> Result<v1::StartUploadResponse> {
        use v1::start_upload_response::Outcome;
        let metadata = asked.metadata.ok_or_else(|| {
            Error::new(Code::MetadataMissing, "the request has no metadata: nothing says what will be uploaded")
        })?;
        let (outcome, instant) = match self.files.start_upload(convert::new_file(&metadata)?).await? {
            Started::Session(standing) => (Outcome::Session(session(&standing)), false),
            Started::Done(uploaded) => (Outcome::Receipt(convert::receipt(uploaded.receipt)), uploaded.instant),
        };
        Ok(v1::StartUploadResponse { outcome: Some(outcome), instant })
    }

    pub(super) async fn upload_part(&self, stream: Streaming<v1::UploadPartRequest>) -> Result<v1::UploadPartResponse> {
        use v1::upload_part_request::Payload;
        let mut messages = Messages::new(stream, self.files.limits());
        let Some(Payload::Header(header)) = messages.first().await?.and_then(|message| message.payload) else {
            return Err(Error::new(Code::MetadataMissing, "the first message of a part must be its header"));
        };
        let upload_id = request::upload_id(&header.upload_id)?;
        let standing =
            Box::pin(self.files.upload_part(upload_id, header.offset, messages.chunks(None, chunk_of))).await?;
        Ok(v1::UploadPartResponse { session: Some(session(&standing)) })
    }

    pub(super) async fn get_upload(&self, asked: v1::GetUploadRequest) -> Result<v1::GetUploadResponse> {
        let standing = self.files.get_upload(request::upload_id(&asked.upload_id)?).await?;
        Ok(v1::GetUploadResponse { session: Some(session(&standing)) })
    }

    pub(super) async fn finish_upload(&self, asked: v1::FinishUploadRequest) -> Result<v1::FinishUploadResponse> {
        let uploaded = Box::pin(self.files.finish_upload(request::upload_id(&asked.upload_id)?)).await?;
        Ok(v1::FinishUploadResponse { receipt: Some(convert::receipt(uploaded.receipt)) })
    }

    pub(super) async fn abort_upload(&self, asked: v1::AbortUploadRequest) -> Result<v1::AbortUploadResponse> {
        self.files.abort_upload(request::upload_id(&asked.upload_id)?).await?;
        Ok(v1::AbortUploadResponse {})
    }
}

fn session(standing: &Standing) -> v1::UploadSession {
    v1::UploadSession {
        upload_id: standing.upload_id.to_string(),
        offset: standing.offset,
        expires_at: Some(convert::timestamp(standing.expires_at)),
        part_bytes: PART_BYTES,
    }
}

fn chunk_of(message: v1::UploadPartRequest) -> Result<Bytes> {
    use v1::upload_part_request::Payload;
    match message.payload {
        Some(Payload::Chunk(chunk)) => Ok(chunk),
        Some(Payload::Header(_)) => {
            Err(Error::new(Code::MetadataTwice, "only the first message of a part may be its header"))
        }
        None => Err(Error::new(Code::MessageInvalid, "a message of the part has neither header nor a chunk")),
    }
}
