//! A gateway that keeps files in memory and misbehaves when asked to, as no real one can be made to.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::Stream;
use proto::Sha256Digest;
use proto::v1::files_server::{Files, FilesServer};
use proto::v1::{self, download_response, upload_request};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

const CHUNK_BYTES: usize = 64 * 1024;

/// What goes wrong with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first chunk is taken, then the answer is UNAVAILABLE.
    Unavailable,
    /// The answer comes without reading: the content is refused.
    Refused,
    /// The receipt tells of other bytes.
    OtherBytes,
    /// A download breaks off in the middle, with an error.
    Broken,
    /// A download ends in the middle as if it were complete.
    Short,
    /// A download has a flipped bit.
    Flipped,
    /// The catalog has not reached the sequence that a stat asks for.
    Behind,
    /// A download stands still in the middle.
    Hangs,
}

/// A running fake; ends when dropped.
pub(crate) struct Gateway {
    pub(crate) addr: String,
    pub(crate) state: Arc<State>,
    _runtime: Runtime,
}

/// What it holds and what was asked of it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: Mutex<HashMap<String, Bytes>>,
    pub(crate) uploads: Mutex<Vec<v1::UploadMetadata>>,
    faults: Mutex<VecDeque<Fault>>,
}

struct Service(Arc<State>);

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(faults: &[Fault]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Arc::new(State { faults: Mutex::new(faults.iter().copied().collect()), ..State::default() });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = format!("http://{}", listener.local_addr().unwrap());
        let service = FilesServer::new(Service(Arc::clone(&state)));
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { addr, state, _runtime: runtime }
    }

    pub(crate) fn hold(&self, path: &str, content: &[u8]) {
        self.state.files.lock().unwrap().insert(path.to_owned(), Bytes::copy_from_slice(content));
    }

    pub(crate) fn content(&self, path: &str) -> Option<Bytes> {
        self.state.files.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn uploads(&self) -> Vec<v1::UploadMetadata> {
        self.state.uploads.lock().unwrap().clone()
    }
}

// === impl State ===

impl State {
    fn next_fault(&self) -> Option<Fault> {
        self.faults.lock().unwrap().pop_front()
    }

    fn find(&self, path: &str) -> Result<Bytes, Status> {
        let found = self.files.lock().unwrap().get(path).cloned();
        found.ok_or_else(|| failed(tonic::Code::NotFound, "file_not_found", format!("no file at {path}")))
    }
}

fn failed(code: tonic::Code, reason: &str, message: String) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, "highwater", []))
}

fn version(content: &[u8]) -> v1::Version {
    let sha256 = Sha256Digest::of(content).as_bytes().to_vec().into();
    v1::Version { size_bytes: content.len() as u64, sha256, ..v1::Version::default() }
}

fn file(path: &str, content: &[u8]) -> v1::File {
    let (path, version) = (path.to_owned(), Some(version(content)));
    v1::File { path, version, replicas_stored: 1, replicas_wanted: 3, ..v1::File::default() }
}

// === impl Service ===

#[tonic::async_trait]
impl Files for Service {
    type DownloadStream = Pin<Box<dyn Stream<Item = Result<v1::DownloadResponse, Status>> + Send>>;

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
        Ok(Response::new(v1::UploadResponse { receipt: Some(receipt) }))
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

    async fn get_receipt(
        &self,
        _request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        Err(Status::unimplemented("the program does not ask for receipts"))
    }
}
