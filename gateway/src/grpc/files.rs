//! `highwater.v1.Files`.

use bytes::Bytes;
use futures::StreamExt as _;
use proto::v1;
use proto::v1::upload_request::Payload;
use tonic::{Request, Response, Status, Streaming};

use super::messages::Messages;
use super::{answer, convert, download, pages};

mod folders;
mod spaces;
mod uploads;
mod versions;
mod watch;

use crate::error::{Code, Error, Result};
use crate::files::Files;
use crate::files::request::{self, Range};

/// The service.
pub(crate) struct Service {
    files: Files,
}

impl Service {
    /// A service on `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self { files }
    }

    async fn store(&self, stream: Streaming<v1::UploadRequest>) -> Result<v1::UploadResponse> {
        let mut messages = Messages::new(stream, self.files.limits());
        let first = messages.first().await?.and_then(|message| message.payload);
        let Some(Payload::Metadata(metadata)) = first else {
            let problem = "the first message of an upload must be its metadata";
            return Err(Error::new(Code::MetadataMissing, problem));
        };
        let file = convert::new_file(&metadata)?;
        let uploaded = self.files.store(file, messages.chunks(None, chunk_of)).await?;
        Ok(v1::UploadResponse { receipt: Some(convert::receipt(uploaded.receipt)), instant: uploaded.instant })
    }

    async fn open(&self, request: v1::DownloadRequest) -> Result<answer::Messages<v1::DownloadResponse>> {
        let place = request::place(&request.space, &request.path)?;
        let version_id = request::version_id(&request.version_id)?;
        let range = Range { offset: request.offset, limit: request.limit };
        let at_least = request::min_sequence(&request.min_sequence)?;
        let at = request::at(&request.at)?;
        let reading = self.files.read(&place, version_id, range, at, at_least).await?;
        let version = &reading.file.version;
        let header = v1::DownloadHeader {
            version: Some(convert::version(&version.row, Some(&version.blob), self.files.incarnation()?)),
            offset: reading.offset,
            length: reading.length,
        };
        let message = |payload| v1::DownloadResponse { payload: Some(payload) };
        let header = message(v1::download_response::Payload::Header(header));
        let chunks = download::chunks(&self.files, reading, |chunk: Bytes| v1::DownloadResponse {
            payload: Some(v1::download_response::Payload::Chunk(chunk)),
        });
        Ok(Box::pin(futures::stream::iter([Ok(header)]).chain(chunks)))
    }

    async fn look_up(&self, request: v1::GetFileRequest) -> Result<v1::GetFileResponse> {
        let place = request::place(&request.space, &request.path)?;
        let at_least = request::min_sequence(&request.min_sequence)?;
        let version_id = request::version_id(&request.version_id)?;
        let file = self.files.file_or_trashed(&place, version_id, None, at_least).await?;
        Ok(v1::GetFileResponse { file: Some(convert::file(&place, &file, self.files.incarnation()?)) })
    }

    async fn list(&self, request: v1::ListFilesRequest) -> Result<v1::ListFilesResponse> {
        let space = request::space(&request.space)?;
        let folder = request::folder(&request.folder)?;
        let at_least = request::min_sequence(&request.min_sequence)?;
        let ask = |page_size| self.files.list(&space, folder.as_ref(), page_size, &request.page_token, at_least);
        let incarnation = self.files.incarnation()?;
        let mut page = ask(request.page_size).await?;
        let mut files = convert::listing(&space, &page.files, incarnation);
        let fitting = pages::fitting(&files, self.files.limits().page_bytes);
        if (fitting as usize) < files.len() {
            page = ask(fitting).await?;
            files = convert::listing(&space, &page.files, incarnation);
        }
        Ok(v1::ListFilesResponse { files, next_page_token: page.next_page_token })
    }

    async fn receipt(&self, request: v1::GetReceiptRequest) -> Result<v1::GetReceiptResponse> {
        let event_id = request::event_id(&request.event_id)?;
        let at_least = request::min_sequence(&request.min_sequence)?;
        let receipt = self.files.receipt(event_id, at_least).await?;
        Ok(v1::GetReceiptResponse { receipt: Some(convert::receipt(receipt)) })
    }
}

fn chunk_of(message: v1::UploadRequest) -> Result<Bytes> {
    match message.payload {
        Some(Payload::Chunk(chunk)) => Ok(chunk),
        Some(Payload::Metadata(_)) => {
            Err(Error::new(Code::MetadataTwice, "only the first message of an upload may be its metadata"))
        }
        None => Err(Error::new(Code::MessageInvalid, "a message of the upload has neither metadata nor a chunk")),
    }
}

#[tonic::async_trait]
impl v1::files_server::Files for Service {
    type DownloadStream = answer::Messages<v1::DownloadResponse>;
    type WatchStream = answer::Messages<v1::WatchResponse>;

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadResponse>, Status> {
        Ok(Response::new(self.store(request.into_inner()).await?))
    }

    async fn download(&self, request: Request<v1::DownloadRequest>) -> Result<Response<Self::DownloadStream>, Status> {
        Ok(Response::new(self.open(request.into_inner()).await?))
    }

    async fn get_file(&self, request: Request<v1::GetFileRequest>) -> Result<Response<v1::GetFileResponse>, Status> {
        Ok(Response::new(self.look_up(request.into_inner()).await?))
    }

    async fn list_files(
        &self,
        request: Request<v1::ListFilesRequest>,
    ) -> Result<Response<v1::ListFilesResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        Ok(Response::new(self.receipt(request.into_inner()).await?))
    }

    async fn create_space(
        &self,
        request: Request<v1::CreateSpaceRequest>,
    ) -> Result<Response<v1::CreateSpaceResponse>, Status> {
        Ok(Response::new(Self::create_space(self, request.into_inner()).await?))
    }

    async fn list_spaces(
        &self,
        request: Request<v1::ListSpacesRequest>,
    ) -> Result<Response<v1::ListSpacesResponse>, Status> {
        Ok(Response::new(Self::list_spaces(self, request.into_inner()).await?))
    }

    async fn rename_space(
        &self,
        request: Request<v1::RenameSpaceRequest>,
    ) -> Result<Response<v1::RenameSpaceResponse>, Status> {
        Ok(Response::new(Self::rename_space(self, request.into_inner()).await?))
    }

    async fn delete_space(
        &self,
        request: Request<v1::DeleteSpaceRequest>,
    ) -> Result<Response<v1::DeleteSpaceResponse>, Status> {
        Ok(Response::new(Self::delete_space(self, request.into_inner()).await?))
    }

    async fn set_retention(
        &self,
        request: Request<v1::SetRetentionRequest>,
    ) -> Result<Response<v1::SetRetentionResponse>, Status> {
        Ok(Response::new(Self::set_retention(self, request.into_inner()).await?))
    }

    async fn prune(&self, request: Request<v1::PruneRequest>) -> Result<Response<v1::PruneResponse>, Status> {
        Ok(Response::new(Self::prune(self, request.into_inner()).await?))
    }

    async fn create_folder(
        &self,
        request: Request<v1::CreateFolderRequest>,
    ) -> Result<Response<v1::CreateFolderResponse>, Status> {
        Ok(Response::new(Self::create_folder(self, request.into_inner()).await?))
    }

    async fn list_folder(
        &self,
        request: Request<v1::ListFolderRequest>,
    ) -> Result<Response<v1::ListFolderResponse>, Status> {
        Ok(Response::new(Self::list_folder(self, request.into_inner()).await?))
    }

    async fn get_usage(&self, request: Request<v1::GetUsageRequest>) -> Result<Response<v1::GetUsageResponse>, Status> {
        Ok(Response::new(Self::get_usage(self, request.into_inner()).await?))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        Ok(Response::new(Self::delete(self, request.into_inner()).await?))
    }

    async fn list_trash(
        &self,
        request: Request<v1::ListTrashRequest>,
    ) -> Result<Response<v1::ListTrashResponse>, Status> {
        Ok(Response::new(Self::list_trash(self, request.into_inner()).await?))
    }

    async fn undelete(&self, request: Request<v1::UndeleteRequest>) -> Result<Response<v1::UndeleteResponse>, Status> {
        Ok(Response::new(Self::undelete(self, request.into_inner()).await?))
    }

    async fn r#move(&self, request: Request<v1::MoveRequest>) -> Result<Response<v1::MoveResponse>, Status> {
        Ok(Response::new(Self::move_item(self, request.into_inner()).await?))
    }

    async fn copy(&self, request: Request<v1::CopyRequest>) -> Result<Response<v1::CopyResponse>, Status> {
        Ok(Response::new(Self::copy(self, request.into_inner()).await?))
    }

    async fn list_versions(
        &self,
        request: Request<v1::ListVersionsRequest>,
    ) -> Result<Response<v1::ListVersionsResponse>, Status> {
        Ok(Response::new(Self::list_versions(self, request.into_inner()).await?))
    }

    async fn restore(&self, request: Request<v1::RestoreRequest>) -> Result<Response<v1::RestoreResponse>, Status> {
        Ok(Response::new(Self::restore(self, request.into_inner()).await?))
    }

    async fn wait_replicated(
        &self,
        request: Request<v1::WaitReplicatedRequest>,
    ) -> Result<Response<v1::WaitReplicatedResponse>, Status> {
        Ok(Response::new(Self::wait_replicated(self, request.into_inner()).await?))
    }

    async fn undo(&self, request: Request<v1::UndoRequest>) -> Result<Response<v1::UndoResponse>, Status> {
        Ok(Response::new(Self::undo(self, request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Self::watch(self, request.into_inner()).await?))
    }

    async fn start_upload(
        &self,
        request: Request<v1::StartUploadRequest>,
    ) -> Result<Response<v1::StartUploadResponse>, Status> {
        Ok(Response::new(Self::start_upload(self, request.into_inner()).await?))
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        Ok(Response::new(Self::get_upload(self, request.into_inner()).await?))
    }

    async fn finish_upload(
        &self,
        request: Request<v1::FinishUploadRequest>,
    ) -> Result<Response<v1::FinishUploadResponse>, Status> {
        Ok(Response::new(Self::finish_upload(self, request.into_inner()).await?))
    }

    async fn abort_upload(
        &self,
        request: Request<v1::AbortUploadRequest>,
    ) -> Result<Response<v1::AbortUploadResponse>, Status> {
        Ok(Response::new(Self::abort_upload(self, request.into_inner()).await?))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::UploadPartRequest>>,
    ) -> Result<Response<v1::UploadPartResponse>, Status> {
        Ok(Response::new(Self::upload_part(self, request.into_inner()).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_follow_the_metadata() {
        let of = |payload| chunk_of(v1::UploadRequest { payload });
        assert_eq!(of(Some(Payload::Chunk(Bytes::from_static(b"a")))).unwrap(), "a");
        let twice = of(Some(Payload::Metadata(v1::UploadMetadata::default()))).unwrap_err();
        assert_eq!(twice.code(), Code::MetadataTwice);
        assert_eq!(of(None).unwrap_err().code(), Code::MessageInvalid);
    }
}
