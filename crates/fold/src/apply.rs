//! Deciding one event.

mod node_joined;
mod replica_stored;
mod replication_parked;
mod space_created;
mod uploaded;

use proto::{BlobId, Event, Fact, FileId, Path, Recorded, SpaceName, VersionId};

use crate::rows::{EventRow, Outcome, ReceiptRow};
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
    space: Option<SpaceName>,
    path: Option<Path>,
    file_id: Option<FileId>,
    version_id: Option<VersionId>,
    blob_ids: Vec<BlobId>,
}

/// Applies what stands at `recorded` and answers what became of it. When rows are missing, nothing was changed.
///
/// An event id is applied at most once, for ever: a second event with it is [`Outcome::Repeated`] and changes nothing but
/// the list of known blobs.
pub fn apply(view: &mut View, recorded: &Recorded, input: Input<'_>) -> Result<Outcome, Missing> {
    let event = match input {
        Input::Event(event) => event,
        Input::Undecodable => {
            view.add_event(EventRow {
                seq: recorded.n,
                event_id: None,
                kind: "undecodable".to_owned(),
                file_id: None,
                blob_ids: Vec::new(),
                outcome: Outcome::Rejected,
                reason: Some("undecodable".to_owned()),
                raw: recorded.payload.to_vec(),
            });
            return Ok(Outcome::Rejected);
        }
    };
    let repeated = view.receipt(event.id)?.is_some();
    let decision = if repeated { repeat(view, recorded.n, event)? } else { decide(view, recorded.n, event)? };
    let outcome = if repeated { Outcome::Repeated } else { decision.outcome.unwrap_or(Outcome::Applied) };
    record(view, recorded, event, outcome, decision);
    Ok(outcome)
}

/// Whether the rows that this event changes are too many to be held in a view, so that the events after it must be
/// applied to a new one, after saving.
pub fn ends_batch(event: &Event) -> bool {
    match &event.fact {
        Fact::NodeJoined(_) => true,
        Fact::SpaceCreated(_) | Fact::FileUploaded(_) | Fact::ReplicaStored(_) | Fact::ReplicationParked(_) => false,
    }
}

fn decide(view: &mut View, n: u64, event: &Event) -> Result<Decision, Missing> {
    match &event.fact {
        Fact::NodeJoined(joined) => node_joined::decide(view, n, joined),
        Fact::SpaceCreated(created) => space_created::decide(view, n, event, created),
        Fact::FileUploaded(uploaded) => uploaded::decide(view, n, event, uploaded),
        Fact::ReplicaStored(stored) => replica_stored::decide(view, n, stored),
        Fact::ReplicationParked(parked) => replication_parked::decide(view, n, parked),
    }
}

/// The blob of a repeated upload is another one than the first's: it is registered, so that it has an owner and can be
/// erased one day.
fn repeat(view: &mut View, n: u64, event: &Event) -> Result<Decision, Missing> {
    match &event.fact {
        Fact::FileUploaded(uploaded) => {
            crate::replicas::register(view, n, event, uploaded)?;
            Ok(Decision { blob_ids: vec![uploaded.blob_id], ..Decision::default() })
        }
        Fact::NodeJoined(_) | Fact::SpaceCreated(_) | Fact::ReplicaStored(_) | Fact::ReplicationParked(_) => {
            Ok(Decision::default())
        }
    }
}

fn record(view: &mut View, recorded: &Recorded, event: &Event, outcome: Outcome, decision: Decision) {
    let reason = decision.reason.map(str::to_owned);
    let mut blob_ids = decision.blob_ids;
    blob_ids.sort_unstable();
    blob_ids.dedup();
    if outcome != Outcome::Repeated {
        let blob_id = match &event.fact {
            Fact::FileUploaded(uploaded) => Some(uploaded.blob_id),
            Fact::ReplicationParked(parked) => Some(parked.blob_id),
            Fact::NodeJoined(_) | Fact::SpaceCreated(_) | Fact::ReplicaStored(_) => None,
        };
        let receipt = ReceiptRow {
            event_id: event.id,
            seq: recorded.n,
            outcome,
            reason: reason.clone(),
            fingerprint: event.fingerprint,
            space: decision.space,
            path: decision.path,
            file_id: decision.file_id,
            version_id: decision.version_id,
            blob_id,
        };
        view.receipts.put(event.id, receipt);
    }
    view.add_event(EventRow {
        seq: recorded.n,
        event_id: Some(event.id),
        kind: event.fact.kind().cloud_event_type().to_owned(),
        file_id: decision.file_id,
        blob_ids,
        outcome,
        reason,
        raw: recorded.payload.to_vec(),
    });
}

impl Decision {
    fn rejected(reason: &'static str) -> Self {
        Self { outcome: Some(Outcome::Rejected), reason: Some(reason), ..Self::default() }
    }
}
