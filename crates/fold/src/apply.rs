//! Deciding one event.

mod blob_condemned;
mod blob_erased;
mod blob_erasure_ordered;
mod file_copied;
mod file_deleted;
mod file_moved;
mod file_undeleted;
mod folder_created;
mod folder_deleted;
mod node_joined;
mod node_retired;
mod node_wiped;
mod placement_changed;
mod replica_lost;
mod replica_stored;
mod replication_parked;
mod replication_redriven;
mod retention_set;
mod space_created;
mod space_deleted;
mod space_renamed;
mod uploaded;
mod version_restored;
mod versions_pruned;

use proto::{BlobId, Event, Fact, FileId, Path, Recorded, SpaceId, SpaceName, VersionId};

use crate::place::Spot;
use crate::rows::{EventRow, Outcome, ReceiptRow};
use crate::stop::Stop;
use crate::{Missing, View};

/// What stands at a sequence of the journal.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// An event.
    Event(&'a Event),
    /// Bytes that no version can ever decode.
    Undecodable,
}

/// What one kind of event decided; becomes the receipt and the event's row.
#[derive(Debug, Clone, Default)]
struct Decision {
    outcome: Option<Outcome>,
    reason: Option<&'static str>,
    space_id: Option<SpaceId>,
    space: Option<SpaceName>,
    path: Option<Path>,
    file_id: Option<FileId>,
    version_id: Option<VersionId>,
    /// The one blob that the receipt names.
    blob_id: Option<BlobId>,
    /// All blobs that the event's row names.
    blob_ids: Vec<BlobId>,
}

/// Applies what stands at `recorded` and answers what became of it. When rows are missing, nothing was changed.
///
/// An event id is applied at most once, for ever: a second event with it is [`Outcome::Repeated`] and changes nothing but
/// the list of known blobs.
pub fn apply(view: &mut View, recorded: &Recorded, input: Input<'_>) -> Result<Outcome, Missing> {
    let event = match input {
        Input::Event(event) => event,
        Input::Undecodable => return Ok(undecodable(view, recorded)),
    };
    let repeated = view.receipt(event.id)?.is_some();
    let decided = if repeated { repeat(view, recorded.n, event) } else { decide(view, recorded.n, event) };
    let decision = match decided {
        Ok(decision) => decision,
        Err(Stop::Rejected(reason)) => Decision::rejected(reason),
        Err(Stop::Missing(missing)) => return Err(missing),
    };
    let outcome = if repeated { Outcome::Repeated } else { decision.outcome.unwrap_or(Outcome::Applied) };
    record(view, recorded, event, outcome, decision);
    Ok(outcome)
}

/// Whether the events after this one must be applied to a new view, after saving: because it changes more rows than a
/// view can hold, or because it frees the name of a space, which another space may take only once that is saved.
pub fn ends_batch(event: &Event) -> bool {
    match &event.fact {
        Fact::NodeJoined(_)
        | Fact::NodeWiped(_)
        | Fact::NodeRetired(_)
        | Fact::SpaceRenamed(_)
        | Fact::SpaceDeleted(_) => true,
        Fact::PlacementChanged(_)
        | Fact::SpaceCreated(_)
        | Fact::FolderCreated(_)
        | Fact::FolderDeleted(_)
        | Fact::FileUploaded(_)
        | Fact::FileDeleted(_)
        | Fact::FileUndeleted(_)
        | Fact::FileMoved(_)
        | Fact::FileCopied(_)
        | Fact::VersionRestored(_)
        | Fact::RetentionSet(_)
        | Fact::VersionsPruned(_)
        | Fact::BlobCondemned(_)
        | Fact::BlobErasureOrdered(_)
        | Fact::BlobErased(_)
        | Fact::ReplicaStored(_)
        | Fact::ReplicationParked(_)
        | Fact::ReplicaLost(_)
        | Fact::ReplicationRedriven(_)
        | Fact::JournalRestored(_) => false,
    }
}

fn decide(view: &mut View, n: u64, event: &Event) -> Result<Decision, Stop> {
    match &event.fact {
        Fact::NodeJoined(joined) => node_joined::decide(view, n, joined),
        Fact::PlacementChanged(changed) => placement_changed::decide(view, n, changed),
        Fact::SpaceCreated(created) => space_created::decide(view, n, event, created),
        Fact::SpaceRenamed(renamed) => space_renamed::decide(view, renamed),
        Fact::SpaceDeleted(deleted) => space_deleted::decide(view, n, deleted),
        Fact::FolderCreated(created) => folder_created::decide(view, n, event, created),
        Fact::FolderDeleted(deleted) => folder_deleted::decide(view, n, deleted),
        Fact::FileUploaded(uploaded) => uploaded::decide(view, n, event, uploaded),
        Fact::FileDeleted(deleted) => file_deleted::decide(view, n, event, deleted),
        Fact::FileUndeleted(undeleted) => file_undeleted::decide(view, n, event, undeleted),
        Fact::FileMoved(moved) => file_moved::decide(view, n, event, moved),
        Fact::FileCopied(copied) => file_copied::decide(view, n, event, copied),
        Fact::VersionRestored(restored) => version_restored::decide(view, n, event, restored),
        Fact::RetentionSet(set) => retention_set::decide(view, set),
        Fact::VersionsPruned(pruned) => versions_pruned::decide(view, n, event, pruned),
        Fact::BlobCondemned(condemned) => blob_condemned::decide(view, n, event, condemned),
        Fact::BlobErasureOrdered(ordered) => blob_erasure_ordered::decide(view, n, ordered),
        Fact::BlobErased(erased) => blob_erased::decide(view, n, erased),
        Fact::ReplicaStored(stored) => replica_stored::decide(view, n, stored),
        Fact::ReplicationParked(parked) => replication_parked::decide(view, n, parked),
        Fact::NodeWiped(wiped) => node_wiped::decide(view, n, wiped),
        Fact::NodeRetired(retired) => node_retired::decide(view, n, retired),
        Fact::ReplicaLost(lost) => replica_lost::decide(view, n, lost),
        Fact::ReplicationRedriven(redriven) => replication_redriven::decide(view, n, redriven),
        // It tells something of sequences, and changes no row.
        Fact::JournalRestored(_) => Ok(Decision::default()),
    }
}

/// The blob of a repeated upload is another one than the first's: it is registered, so that it has an owner and can be
/// erased one day. No other kind brings a blob.
fn repeat(view: &mut View, n: u64, event: &Event) -> Result<Decision, Stop> {
    let Fact::FileUploaded(uploaded) = &event.fact else { return Ok(Decision::default()) };
    if !uploaded.instant {
        crate::replicas::register(view, n, event, uploaded, uploaded.space_id)?;
    }
    Ok(Decision { blob_ids: vec![uploaded.blob_id], ..Decision::default() })
}

fn undecodable(view: &mut View, recorded: &Recorded) -> Outcome {
    view.add_event(EventRow {
        seq: recorded.n,
        event_id: None,
        kind: "undecodable".to_owned(),
        space_id: None,
        path: None,
        from_path: None,
        file_id: None,
        blob_ids: Vec::new(),
        outcome: Outcome::Rejected,
        reason: Some("undecodable".to_owned()),
        raw: recorded.payload.to_vec(),
    });
    Outcome::Rejected
}

fn record(view: &mut View, recorded: &Recorded, event: &Event, outcome: Outcome, decision: Decision) {
    let reason = decision.reason.map(str::to_owned);
    let mut blob_ids = decision.blob_ids;
    blob_ids.extend(decision.blob_id);
    blob_ids.sort_unstable();
    blob_ids.dedup();
    // A repeated event is no change of a space: who watches one has seen the first.
    let change = (outcome != Outcome::Repeated).then_some(&event.fact);
    view.add_event(EventRow {
        seq: recorded.n,
        event_id: Some(event.id),
        kind: event.fact.kind().cloud_event_type().to_owned(),
        space_id: decision.space_id.or(change.and_then(Fact::space_id)),
        path: decision.path.clone().or(change.and_then(Fact::path).cloned()),
        from_path: change.and_then(Fact::from_path).cloned(),
        file_id: decision.file_id,
        blob_ids,
        outcome,
        reason: reason.clone(),
        raw: recorded.payload.to_vec(),
    });
    if outcome != Outcome::Repeated {
        let receipt = ReceiptRow {
            event_id: event.id,
            seq: recorded.n,
            outcome,
            reason,
            fingerprint: event.fingerprint,
            space: decision.space,
            path: decision.path,
            file_id: decision.file_id,
            version_id: decision.version_id,
            blob_id: decision.blob_id,
        };
        view.receipts.put(event.id, receipt);
    }
}

// === impl Decision ===

impl Decision {
    fn rejected(reason: &'static str) -> Self {
        Self { outcome: Some(Outcome::Rejected), reason: Some(reason), ..Self::default() }
    }

    /// What was asked for took effect at this spot.
    fn at(spot: Spot) -> Self {
        Self {
            outcome: Some(if spot.conflict.is_some() { Outcome::ConflictedCopy } else { Outcome::Applied }),
            reason: spot.conflict,
            space_id: Some(spot.root.space_id),
            space: Some(spot.root.space),
            path: Some(spot.path),
            ..Self::default()
        }
    }
}
