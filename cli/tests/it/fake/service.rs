//! The calls, one by one.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use proto::v1::files_server::Files;
use proto::v1::{self, download_response, upload_request};
use tonic::{Request, Response, Status, Streaming};

use super::{CHUNK_BYTES, Fault, Service, changes, failed, file, settled, version};

#[tonic::async_trait]
impl Files for Service {
    type DownloadStream = Pin<Box<dyn Stream<Item = Result<v1::DownloadResponse, Status>> + Send>>;
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadResponse>, Status> {
        let mut stream = request.into_inner();
        let Some(upload_request::Payload::Metadata(metadata)) = stream.message().await?.and_then(|m| m.payload) else {
            return Err(Status::invalid_argument("no metadata"));
        };
        self.0.uploads.lock().unwrap().push(metadata.clone());
        let fault = self.0.next_fault();
        if fault == Some(Fault::Refused) {
            return Err(Status::resource_exhausted("the journal is full"));
        }
        let mut content = Vec::new();
        while let Some(message) = stream.message().await? {
            if fault == Some(Fault::Unavailable) {
                return Err(Status::unavailable("the journal is away"));
            }
            let Some(upload_request::Payload::Chunk(chunk)) = message.payload else {
                return Err(Status::invalid_argument("two metadata"));
            };
            content.extend_from_slice(&chunk);
        }
        settled().await;
        if fault == Some(Fault::OtherBytes) {
            content.push(b'!');
        }
        let version = version(&content);
        self.0.files.lock().unwrap().insert(metadata.path.clone(), content.into());
        let receipt = v1::Receipt {
            outcome: v1::Outcome::Applied.into(),
            path: metadata.path,
            size_bytes: version.size_bytes,
            sha256: version.sha256,
            ..v1::Receipt::default()
        };
        Ok(Response::new(v1::UploadResponse { receipt: Some(receipt), instant: false }))
    }

    async fn download(&self, request: Request<v1::DownloadRequest>) -> Result<Response<Self::DownloadStream>, Status> {
        let request = request.into_inner();
        let content = self.0.find(&request.path)?;
        let version = version(&content);
        let from = usize::try_from(request.offset).unwrap().min(content.len());
        let length = request.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
        let part = content.slice(from..from.saturating_add(length).min(content.len()));
        let fault = self.0.next_fault();
        let payload = |payload| Ok(v1::DownloadResponse { payload: Some(payload) });
        let header = v1::DownloadHeader { version: Some(version), offset: request.offset, length: part.len() as u64 };
        let mut messages = vec![payload(download_response::Payload::Header(header))];
        let mut chunks: Vec<Bytes> = part.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect();
        match fault {
            Some(Fault::Flipped) => chunks[0] = chunks[0].iter().map(|byte| byte ^ 1).collect(),
            Some(Fault::Short | Fault::Broken | Fault::Hangs) => chunks.truncate(chunks.len() / 2),
            _ => {}
        }
        messages.extend(chunks.into_iter().map(|chunk| payload(download_response::Payload::Chunk(chunk))));
        if fault == Some(Fault::Broken) {
            messages.push(Err(Status::unavailable("no node has the bytes")));
        }
        let sent = futures::stream::iter(messages);
        Ok(Response::new(if fault == Some(Fault::Hangs) {
            Box::pin(futures::StreamExt::chain(sent, futures::stream::pending()))
        } else {
            Box::pin(sent)
        }))
    }

    async fn get_file(&self, request: Request<v1::GetFileRequest>) -> Result<Response<v1::GetFileResponse>, Status> {
        let v1::GetFileRequest { path, min_sequence, .. } = request.into_inner();
        if self.0.next_fault() == Some(Fault::Behind) {
            let message = format!("the catalog has not reached {min_sequence}");
            return Err(failed(tonic::Code::Unavailable, "catalog_behind", message));
        }
        let content = self.0.find(&path)?;
        Ok(Response::new(v1::GetFileResponse { file: Some(file(&path, &content)) }))
    }

    async fn list_files(
        &self,
        request: Request<v1::ListFilesRequest>,
    ) -> Result<Response<v1::ListFilesResponse>, Status> {
        let request = request.into_inner();
        let held = self.0.files.lock().unwrap().clone();
        let mut files: Vec<v1::File> = held
            .iter()
            .filter(|(path, _)| path.starts_with(&request.folder) && **path > request.page_token)
            .map(|(path, content)| file(path, content))
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let size = request.page_size as usize;
        let next_page_token = if files.len() > size { files[size - 1].path.clone() } else { String::new() };
        files.truncate(size);
        Ok(Response::new(v1::ListFilesResponse { files, next_page_token }))
    }

    async fn create_space(
        &self,
        request: Request<v1::CreateSpaceRequest>,
    ) -> Result<Response<v1::CreateSpaceResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change("create_space", &request.request_id, &request.actor, &request.space)?);
        Ok(Response::new(v1::CreateSpaceResponse { receipt }))
    }

    async fn rename_space(
        &self,
        request: Request<v1::RenameSpaceRequest>,
    ) -> Result<Response<v1::RenameSpaceResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "rename_space",
            &request.request_id,
            &request.actor,
            &format!("{} {}", request.space, request.new_name),
        )?);
        Ok(Response::new(v1::RenameSpaceResponse { receipt }))
    }

    async fn delete_space(
        &self,
        request: Request<v1::DeleteSpaceRequest>,
    ) -> Result<Response<v1::DeleteSpaceResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "delete_space",
            &request.request_id,
            &request.actor,
            &format!("{} {}", request.space, request.force),
        )?);
        Ok(Response::new(v1::DeleteSpaceResponse { receipt }))
    }

    async fn set_retention(
        &self,
        request: Request<v1::SetRetentionRequest>,
    ) -> Result<Response<v1::SetRetentionResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "set_retention",
            &request.request_id,
            &request.actor,
            &format!("{:?}", request.retention),
        )?);
        Ok(Response::new(v1::SetRetentionResponse { receipt }))
    }

    async fn create_folder(
        &self,
        request: Request<v1::CreateFolderRequest>,
    ) -> Result<Response<v1::CreateFolderResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change("create_folder", &request.request_id, &request.actor, &request.path)?);
        Ok(Response::new(v1::CreateFolderResponse { receipt }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "delete",
            &request.request_id,
            &request.actor,
            &format!("{} {}", request.path, request.recursive),
        )?);
        Ok(Response::new(v1::DeleteResponse { receipt }))
    }

    async fn r#move(&self, request: Request<v1::MoveRequest>) -> Result<Response<v1::MoveResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "move",
            &request.request_id,
            &request.actor,
            &format!("{} {} {}", request.from, request.to, request.on_conflict),
        )?);
        Ok(Response::new(v1::MoveResponse { receipt }))
    }

    async fn copy(&self, request: Request<v1::CopyRequest>) -> Result<Response<v1::CopyResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "copy",
            &request.request_id,
            &request.actor,
            &format!("{} {} {}", request.from, request.to, request.version_id),
        )?);
        Ok(Response::new(v1::CopyResponse { receipt }))
    }

    async fn restore(&self, request: Request<v1::RestoreRequest>) -> Result<Response<v1::RestoreResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "restore",
            &request.request_id,
            &request.actor,
            &format!("{} {}", request.path, request.version_id),
        )?);
        Ok(Response::new(v1::RestoreResponse { receipt }))
    }

    async fn undelete(&self, request: Request<v1::UndeleteRequest>) -> Result<Response<v1::UndeleteResponse>, Status> {
        let request = request.into_inner();
        let receipt = Some(self.0.change(
            "undelete",
            &request.request_id,
            &request.actor,
            &format!("{} {}", request.file_id, request.path),
        )?);
        Ok(Response::new(v1::UndeleteResponse { receipt }))
    }

    async fn list_spaces(
        &self,
        _request: Request<v1::ListSpacesRequest>,
    ) -> Result<Response<v1::ListSpacesResponse>, Status> {
        Ok(Response::new(changes::spaces()))
    }

    async fn prune(&self, request: Request<v1::PruneRequest>) -> Result<Response<v1::PruneResponse>, Status> {
        self.0.prune(&request.into_inner()).map(Response::new)
    }

    async fn undo(&self, request: Request<v1::UndoRequest>) -> Result<Response<v1::UndoResponse>, Status> {
        self.0.undo(&request.into_inner()).map(Response::new)
    }

    async fn list_folder(
        &self,
        request: Request<v1::ListFolderRequest>,
    ) -> Result<Response<v1::ListFolderResponse>, Status> {
        Ok(Response::new(self.0.names(&request.into_inner())))
    }

    async fn list_trash(
        &self,
        request: Request<v1::ListTrashRequest>,
    ) -> Result<Response<v1::ListTrashResponse>, Status> {
        Ok(Response::new(changes::trash(&request.into_inner())))
    }

    async fn wait_replicated(
        &self,
        request: Request<v1::WaitReplicatedRequest>,
    ) -> Result<Response<v1::WaitReplicatedResponse>, Status> {
        self.0.wait(&request.into_inner()).map(Response::new)
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        self.0.receipt(&request.into_inner()).map(Response::new)
    }

    async fn start_upload(
        &self,
        request: Request<v1::StartUploadRequest>,
    ) -> Result<Response<v1::StartUploadResponse>, Status> {
        self.0.start_upload(request.into_inner()).map(Response::new)
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        self.0.get_upload(&request.into_inner()).map(Response::new)
    }

    async fn finish_upload(
        &self,
        request: Request<v1::FinishUploadRequest>,
    ) -> Result<Response<v1::FinishUploadResponse>, Status> {
        self.0.finish_upload(&request.into_inner()).map(Response::new)
    }

    async fn abort_upload(
        &self,
        request: Request<v1::AbortUploadRequest>,
    ) -> Result<Response<v1::AbortUploadResponse>, Status> {
        self.0.abort_upload(&request.into_inner()).map(Response::new)
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::UploadPartRequest>>,
    ) -> Result<Response<v1::UploadPartResponse>, Status> {
        self.0.upload_part(request.into_inner()).await.map(Response::new)
    }

    async fn get_usage(
        &self,
        _request: Request<v1::GetUsageRequest>,
    ) -> Result<Response<v1::GetUsageResponse>, Status> {
        let files = self.0.files.lock().unwrap();
        let bytes = files.values().map(|content| content.len() as u64).sum();
        Ok(Response::new(v1::GetUsageResponse { files: files.len() as u64, folders: 0, bytes }))
    }

    async fn list_versions(
        &self,
        request: Request<v1::ListVersionsRequest>,
    ) -> Result<Response<v1::ListVersionsResponse>, Status> {
        let versions = vec![version(&self.0.find(&request.into_inner().path)?)];
        Ok(Response::new(v1::ListVersionsResponse { versions, ..v1::ListVersionsResponse::default() }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let messages = self.0.watch(&request.into_inner());
        Ok(Response::new(Box::pin(futures::stream::iter(messages))))
    }
}
