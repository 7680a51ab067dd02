//! Changes that are only written down, and the answers to questions about the past.

use proto::v1;
use tonic::{Code, Status};

use super::{Fault, State, failed};

pub(crate) const INCARNATION: &str = "7f3b1c0d9e8a4b5c8d7e6f5a4b3c2d1e";
pub(crate) const OLDER: &str = "0b7a3f0e-24c1-5a55-9d3b-5a0f1c2d3e4f";
pub(crate) const NEWER: &str = "1c8b4f1f-35d2-5b66-8e4c-6b1f2d3e4f50";

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) call: &'static str,
    pub(crate) request_id: String,
    pub(crate) actor: String,
    pub(crate) what: String,
}

pub(crate) fn sequence(n: u64) -> String {
    format!("{INCARNATION}-{n}")
}

pub(super) fn spaces() -> v1::ListSpacesResponse {
    let retention = Some(v1::Retention { keep_versions: Some(10), keep_days: None });
    let space = v1::Space { name: "main".to_owned(), retention, ..v1::Space::default() };
    v1::ListSpacesResponse { spaces: vec![space] }
}

/// `docs/a` was deleted twice; the older one is on the second page.
pub(super) fn trash(request: &v1::ListTrashRequest) -> v1::ListTrashResponse {
    let entry = |file_id: &str| v1::TrashEntry {
        path: "docs/a".to_owned(),
        kind: v1::EntryKind::File.into(),
        file_id: file_id.to_owned(),
        deleted_by: "bob".to_owned(),
        sequence: sequence(9),
        ..v1::TrashEntry::default()
    };
    let (id, next) = if request.page_token.is_empty() { (NEWER, "2") } else { (OLDER, "") };
    v1::ListTrashResponse { entries: vec![entry(id)], next_page_token: next.to_owned() }
}

impl State {
    fn ask(&self, call: &'static str, request_id: &str, actor: &str, what: &str) {
        let (request_id, actor, what) = (request_id.to_owned(), actor.to_owned(), what.to_owned());
        self.asked.lock().unwrap().push(Asked { call, request_id, actor, what });
    }

    pub(super) fn change(
        &self,
        call: &'static str,
        request_id: &str,
        actor: &str,
        what: &str,
    ) -> Result<v1::Receipt, Status> {
        self.ask(call, request_id, actor, what);
        let (outcome, reason) = match self.next_fault() {
            Some(Fault::Unavailable) => return Err(Status::unavailable("the journal is away")),
            Some(Fault::Rejected) => (v1::Outcome::Rejected, "name_taken"),
            _ => (v1::Outcome::Applied, ""),
        };
        let (sequence, outcome, reason) = (sequence(17), outcome.into(), reason.to_owned());
        Ok(v1::Receipt { sequence, outcome, reason, projected: true, ..v1::Receipt::default() })
    }

    pub(super) fn undo(&self, request: &v1::UndoRequest) -> Result<v1::UndoResponse, Status> {
        let receipt = self.change("undo", &request.request_id, &request.actor, &request.of_actor)?;
        let change = v1::Change { sequence: request.from_sequence.clone(), ..v1::Change::default() };
        let (action, receipt) = ("it is deleted".to_owned(), (!request.dry_run).then_some(receipt));
        Ok(v1::UndoResponse { steps: vec![v1::UndoStep { change: Some(change), action, undone: true, receipt }] })
    }

    pub(super) fn prune(&self, request: &v1::PruneRequest) -> Result<v1::PruneResponse, Status> {
        let what = format!("{} {:?}", request.dry_run, request.retention);
        let receipt = self.change("prune", &request.request_id, &request.actor, &what)?;
        let because = "10 newer ones are kept".to_owned();
        let pruned = vec![v1::PrunedVersion { path: "a".to_owned(), because, ..v1::PrunedVersion::default() }];
        let receipts = if request.dry_run { Vec::new() } else { vec![receipt] };
        Ok(v1::PruneResponse { versions: 2, bytes: 2048, pruned, receipts })
    }

    /// The names in the root only.
    pub(super) fn names(&self, request: &v1::ListFolderRequest) -> v1::ListFolderResponse {
        self.ask("list_folder", "", "", &request.at);
        let files = self.files.lock().unwrap();
        let mut entries: Vec<v1::Entry> = files
            .iter()
            .map(|(path, content)| match path.split_once('/') {
                Some((folder, _)) => v1::Entry {
                    name: folder.to_owned(),
                    kind: v1::EntryKind::Folder.into(),
                    entries: 1,
                    ..v1::Entry::default()
                },
                None => v1::Entry {
                    name: path.clone(),
                    kind: v1::EntryKind::File.into(),
                    size_bytes: content.len() as u64,
                    ..v1::Entry::default()
                },
            })
            .filter(|entry| entry.name > request.page_token)
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let size = request.page_size as usize;
        let next_page_token = if entries.len() > size { entries[size - 1].name.clone() } else { String::new() };
        entries.truncate(size);
        v1::ListFolderResponse { entries, next_page_token }
    }

    pub(super) fn wait(&self, request: &v1::WaitReplicatedRequest) -> Result<v1::WaitReplicatedResponse, Status> {
        self.ask("wait", "", "", &request.version_id);
        if self.next_fault() == Some(Fault::Behind) {
            return Err(failed(Code::DeadlineExceeded, "replicas_too_few", "1 of 2 nodes hold it".to_owned()));
        }
        Ok(v1::WaitReplicatedResponse { replicas_stored: request.replicas, nodes: vec!["node-a".to_owned()] })
    }

    pub(super) fn receipt(&self, request: &v1::GetReceiptRequest) -> Result<v1::GetReceiptResponse, Status> {
        if self.next_fault() != Some(Fault::Rejected) {
            return Err(failed(Code::NotFound, "event_not_found", format!("no event {}", request.event_id)));
        }
        let (outcome, reason) = (v1::Outcome::Rejected.into(), "name_taken".to_owned());
        let receipt = v1::Receipt { outcome, reason, projected: true, ..v1::Receipt::default() };
        Ok(v1::GetReceiptResponse { receipt: Some(receipt) })
    }

    /// Three changes; the stream may break off after the first that it gives.
    pub(super) fn watch(&self, request: &v1::WatchRequest) -> Vec<Result<v1::WatchResponse, Status>> {
        self.ask("watch", "", "", &request.from_sequence);
        let after = request.from_sequence.rsplit_once('-').map_or(0, |(_, n)| n.parse().unwrap());
        let payload = |payload| Ok(v1::WatchResponse { payload: Some(payload) });
        let change = |n| v1::Change { sequence: sequence(n), path: format!("file-{n}"), ..v1::Change::default() };
        let mut messages: Vec<_> =
            (after + 1..=3).map(|n| payload(v1::watch_response::Payload::Change(change(n)))).collect();
        if self.next_fault() == Some(Fault::Broken) {
            messages.truncate(1);
            messages.push(Err(Status::unavailable("the gateway is going down")));
        } else {
            messages.push(payload(v1::watch_response::Payload::UpToSequence(sequence(5))));
        }
        messages
    }
}
