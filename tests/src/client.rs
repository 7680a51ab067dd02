//! A gRPC client as users write it.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use proto::v1::download_response::Payload as Down;
use proto::v1::files_client::FilesClient;
use proto::v1::operations_client::OperationsClient;
use proto::v1::upload_request::Payload as Up;
use proto::v1::{self, UploadMetadata, UploadRequest};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::Content;

/// Size of the chunks that tests send.
const CHUNK: u64 = 256 * 1024;

/// Clients of both services on one connection.
#[derive(Debug, Clone)]
pub struct Client {
    pub files: FilesClient<Channel>,
    pub operations: OperationsClient<Channel>,
    pub channel: Channel,
}

impl Client {
    pub async fn connect(gateway: SocketAddr) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{gateway}"))?
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            .connect()
            .await
            .context("connect to the gateway")?;
        let files = FilesClient::new(channel.clone()).max_decoding_message_size(16 * 1024 * 1024);
        Ok(Self { files, operations: OperationsClient::new(channel.clone()), channel })
    }

    /// Uploads and answers the receipt.
    pub async fn put(&mut self, path: &str, content: Content) -> Result<v1::Receipt, Status> {
        self.upload(metadata(path), chunks(content)).await
    }

    /// Uploads small bytes.
    pub async fn put_bytes(&mut self, path: &str, bytes: impl Into<Bytes>) -> Result<v1::Receipt, Status> {
        let bytes = bytes.into();
        self.upload(metadata(path), futures::stream::iter((!bytes.is_empty()).then_some(bytes))).await
    }

    /// Uploads with this metadata and these chunks.
    pub async fn upload(
        &mut self,
        metadata: UploadMetadata,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<v1::Receipt, Status> {
        let first = UploadRequest { payload: Some(Up::Metadata(metadata)) };
        let rest = chunks.map(|chunk| UploadRequest { payload: Some(Up::Chunk(chunk)) });
        self.send(futures::stream::iter([first]).chain(rest)).await
    }

    /// Sends these messages as an upload, right or wrong.
    pub async fn send(
        &mut self,
        messages: impl Stream<Item = UploadRequest> + Send + 'static,
    ) -> Result<v1::Receipt, Status> {
        let response = self.files.upload(messages).await?.into_inner();
        response.receipt.ok_or_else(|| Status::internal("an answer without a receipt"))
    }

    /// Downloads a whole file.
    pub async fn get(&mut self, path: &str) -> Result<Bytes, Status> {
        self.download(v1::DownloadRequest { path: path.to_owned(), ..Default::default() }).await.map(|(_, bytes)| bytes)
    }

    /// Downloads a part of a file.
    pub async fn get_range(&mut self, path: &str, offset: u64, limit: Option<u64>) -> Result<Bytes, Status> {
        let request = v1::DownloadRequest { path: path.to_owned(), offset, limit, ..Default::default() };
        self.download(request).await.map(|(_, bytes)| bytes)
    }

    /// Downloads and answers the header as well. The number of bytes must be what the header says.
    pub async fn download(&mut self, request: v1::DownloadRequest) -> Result<(v1::DownloadHeader, Bytes), Status> {
        let (mut header, mut bytes) = (None, BytesMut::new());
        self.receive(request, &mut header, &mut bytes).await?;
        let header = header.unwrap_or_default();
        if bytes.len() as u64 != header.length {
            return Err(Status::internal(format!("{} bytes instead of {}", bytes.len(), header.length)));
        }
        Ok((header, bytes.freeze()))
    }

    /// Downloads a whole file of `main` that breaks off: what came of it, and why no more did.
    pub async fn get_broken(&mut self, path: &str) -> anyhow::Result<(Bytes, Status)> {
        let request = v1::DownloadRequest { path: path.to_owned(), ..Default::default() };
        let mut bytes = BytesMut::new();
        match self.receive(request, &mut None, &mut bytes).await {
            Ok(()) => bail!("all {} bytes of {path} came", bytes.len()),
            Err(status) => Ok((bytes.freeze(), status)),
        }
    }

    async fn receive(
        &mut self,
        request: v1::DownloadRequest,
        header: &mut Option<v1::DownloadHeader>,
        bytes: &mut BytesMut,
    ) -> Result<(), Status> {
        let mut stream = self.files.download(request).await?.into_inner();
        let first = stream.message().await?.and_then(|message| message.payload);
        let Some(Down::Header(first)) = first else {
            return Err(Status::internal(format!("the first message is no header: {first:?}")));
        };
        *header = Some(first);
        while let Some(message) = stream.message().await? {
            match message.payload {
                Some(Down::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
                other => return Err(Status::internal(format!("no chunk: {other:?}"))),
            }
        }
        Ok(())
    }

    /// The file at a path of `main`.
    pub async fn file(&mut self, path: &str) -> anyhow::Result<v1::File> {
        let request = v1::GetFileRequest { path: path.to_owned(), ..Default::default() };
        match self.files.get_file(request).await?.into_inner().file {
            Some(file) => Ok(file),
            None => bail!("an answer without a file"),
        }
    }

    pub async fn status(&mut self) -> Result<v1::GetStatusResponse, Status> {
        Ok(self.operations.get_status(v1::GetStatusRequest {}).await?.into_inner())
    }

    /// All events of a path of `main`, in order.
    pub async fn events(&mut self, path: &str) -> Result<Vec<v1::Event>, Status> {
        let request = v1::ListEventsRequest { path: path.to_owned(), ..Default::default() };
        Ok(self.operations.list_events(request).await?.into_inner().events)
    }
}

/// Metadata with nothing but a path.
pub fn metadata(path: &str) -> UploadMetadata {
    UploadMetadata { path: path.to_owned(), ..Default::default() }
}

/// A content as a stream of chunks.
pub fn chunks(content: Content) -> impl Stream<Item = Bytes> + Send + 'static {
    futures::stream::iter(content.chunks(CHUNK))
}

/// The stable reason word of an error.
pub fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
