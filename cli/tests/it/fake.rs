//! A gateway that keeps files in memory and misbehaves when asked to, as no real one can be made to.

mod changes;
mod service;
mod sessions;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proto::Sha256Digest;
use proto::v1;
use proto::v1::files_server::FilesServer;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) use self::changes::{Asked, NEWER, OLDER, sequence};

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
    /// A download, or a part, stands still in the middle.
    Hangs,
    /// Nothing yet: the call after this one shall fail.
    Fine,
    /// A part breaks off in the middle; what came before is kept.
    PartBroken,
    /// What is asked is done, but the answer is UNAVAILABLE.
    AnswerLost,
    /// The change is rejected.
    Rejected,
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
    /// Whether it knows of uploads in parts.
    takes_parts: bool,
    pub(crate) sessions: Mutex<sessions::Sessions>,
    /// What was asked of it in calls that change something, or that matter for other reasons.
    pub(crate) asked: Mutex<Vec<changes::Asked>>,
    faults: Mutex<VecDeque<Fault>>,
}

struct Service(Arc<State>);

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(faults: &[Fault]) -> Self {
        Self::serve(faults, false)
    }

    /// One that takes uploads in parts.
    pub(crate) fn with_parts(faults: &[Fault]) -> Self {
        Self::serve(faults, true)
    }

    fn serve(faults: &[Fault], takes_parts: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state =
            Arc::new(State { faults: Mutex::new(faults.iter().copied().collect()), takes_parts, ..State::default() });
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
    /// What goes wrong from now on.
    pub(crate) fn fail_with(&self, faults: &[Fault]) {
        *self.faults.lock().unwrap() = faults.iter().copied().collect();
    }

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

/// The messages of a call that was cancelled end as if they were complete. The call itself is dropped as soon as it has
/// to wait, so that nothing comes of them.
async fn settled() {
    tokio::task::yield_now().await;
}

fn version(content: &[u8]) -> v1::Version {
    let sha256 = Sha256Digest::of(content).as_bytes().to_vec().into();
    v1::Version { size_bytes: content.len() as u64, sha256, ..v1::Version::default() }
}

fn file(path: &str, content: &[u8]) -> v1::File {
    let (path, version) = (path.to_owned(), Some(version(content)));
    v1::File { path, version, replicas_stored: 1, replicas_wanted: 3, ..v1::File::default() }
}
