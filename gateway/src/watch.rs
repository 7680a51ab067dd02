//! The gateway's eyes on what it depends on, and its health.
//!
//! Health is readiness: the overall status (`""`) and that of each service is SERVING while the journal is open,
//! answers and is safe, the catalog can be read, and at least one node is healthy. Liveness is the service name
//! `liveness`, which is SERVING for as long as the process answers and is not stopping: restarting it would not bring
//! back what it waits for.

use std::time::Duration;

use blobs::Nodes;
use catalog::{Checkpoint, Reader};
use journal::Journal;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::config::Watch;
use crate::error::{Code, Error};
use crate::files::{Files, JournalState};
use crate::{grpc, uploads};

/// The service name under which liveness is told.
const LIVENESS: &str = "liveness";

/// What the gateway lacks before it has looked.
const STARTING: &str = "the gateway starts";

/// Who tells clients about the gateway's health.
pub(crate) struct HealthBoard {
    reporter: HealthReporter,
    readiness: watch::Sender<Option<String>>,
    /// Why the gateway is not ready, as the log has it; `None` while it is ready.
    reason: Option<String>,
}

/// Whether the gateway is ready, for those who do not ask by gRPC. It is what the health says.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(watch::Receiver<Option<String>>);

/// Looks at everything now and then until the shutdown is soft.
pub(crate) async fn run(files: Files, config: Watch, mut health: HealthBoard, shutdown: Shutdown) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => break,
            () = look(&files, &config, &mut health) => {}
        }
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => break,
            () = tokio::time::sleep(config.interval) => {}
        }
    }
    health.close().await;
}

/// Tells the journal what the catalog was folded from, so that it notices when it is not that journal any more.
pub(crate) async fn guard(catalog: Reader, journal: Journal, shutdown: Shutdown) {
    let mut checkpoints = catalog.checkpoints();
    loop {
        if let Some(checkpoint) = checkpoints.now() {
            observe(&journal, &checkpoint);
        }
        let next = tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return,
            next = checkpoints.next() => next,
        };
        if next.is_none() {
            return;
        }
    }
}

/// See [`guard`].
pub(crate) fn observe(journal: &Journal, checkpoint: &Checkpoint) {
    journal.observe_sequence(checkpoint.sequence());
    if let Some(event_id) = checkpoint.event_id {
        journal.observe_checkpoint(checkpoint.n, event_id);
    }
}

/// Throws away, now and then, what uploads and probes left on nodes whose process died in their middle.
pub(crate) async fn sweep(nodes: Nodes, journal: Journal, config: Watch, shutdown: Shutdown) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return,
            () = sweep_once(&nodes, &journal, config.sweep_age) => {}
        }
        tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return,
            () = tokio::time::sleep(config.sweep_interval) => {}
        }
    }
}

/// Uploads that can be resumed are older than others become, and are left alone: their sessions are listed before the
/// nodes are asked, so that the list is never older than the age of what is thrown away.
async fn sweep_once(nodes: &Nodes, journal: &Journal, age: Duration) {
    match uploads::multipart_ids(journal).await {
        Ok(keep) => {
            nodes.sweep(age, &keep).await;
        }
        Err(error) => warn!("unfinished uploads are not swept now, which of them live is not known: {error:#}"),
    }
}

async fn look(files: &Files, config: &Watch, health: &mut HealthBoard) {
    if let Some(opened) = files.opened() {
        let asked = Instant::now();
        files.note_journal(journal_state(&opened.journal, config.timeout).await, asked);
    }
    health.tell(missing(files).as_ref()).await;
}

async fn journal_state(journal: &Journal, timeout: Duration) -> JournalState {
    match tokio::time::timeout(timeout, journal.head()).await {
        Ok(Ok(head)) => JournalState::Reachable(head),
        Ok(Err(_)) | Err(_) => JournalState::Unreachable,
    }
}

/// What the gateway lacks; `None` when it is ready.
fn missing(files: &Files) -> Option<Error> {
    match files.objection() {
        // Reads go on, and no other gateway could do more.
        Some(error) if error.code() == Code::JournalFull => {}
        Some(error) => return Some(error),
        None => {}
    }
    if files.catalog().checkpoints().now().is_none() {
        return Some(Error::new(Code::CatalogUnavailable, "the catalog cannot be read now"));
    }
    let nodes = files.opened().map(|opened| opened.nodes.all()).unwrap_or_default();
    let is_one_healthy = nodes.iter().any(|node| node.state().is_healthy());
    (!is_one_healthy).then(|| Error::new(Code::NoNodeAvailable, "no node is healthy"))
}

// === impl HealthBoard ===

impl HealthBoard {
    /// Everything is NOT_SERVING but the liveness.
    pub(crate) async fn new(reporter: HealthReporter) -> (Self, Readiness) {
        let (readiness, told) = watch::channel(Some(STARTING.to_owned()));
        let board = Self { reporter, readiness, reason: Some(STARTING.to_owned()) };
        board.set(ServingStatus::NotServing).await;
        board.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        (board, Readiness(told))
    }

    /// Tells a change, and logs it once.
    async fn tell(&mut self, missing: Option<&Error>) {
        let reason = missing.map(|error| format!("{error:#}"));
        if reason == self.reason {
            return;
        }
        if let Some(reason) = &reason {
            warn!("not ready: {reason}");
            self.set(ServingStatus::NotServing).await;
        } else {
            info!("ready");
            self.set(ServingStatus::Serving).await;
        }
        // Without the detail, which is for the log only.
        self.readiness.send_replace(missing.map(Error::to_string));
        self.reason = reason;
    }

    async fn set(&self, status: ServingStatus) {
        for service in grpc::SERVICES.iter().chain(&[""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Says that the gateway stops, and ends the streams of those who watch: they would hold it up.
    async fn close(mut self) {
        self.readiness.send_replace(Some("the gateway is stopping".to_owned()));
        self.set(ServingStatus::NotServing).await;
        self.reporter.set_service_status(LIVENESS, ServingStatus::NotServing).await;
        for service in grpc::SERVICES.iter().chain(&["", LIVENESS]) {
            self.reporter.clear_service_status(service).await;
        }
    }
}

// === impl Readiness ===

impl Readiness {
    /// What the gateway lacks, in a sentence; `None` when it is ready.
    pub(crate) fn lacks(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}
