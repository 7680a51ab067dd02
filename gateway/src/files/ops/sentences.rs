//! The state of a blob on a node, in one sentence for people: what is so, since when, and who goes on.

use blobs::Health;
use catalog::{BlobState, Explained, Replica, ReplicaState};
use journal::Refill;
use proto::NodeId;

/// What is known of a node besides.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// How this gateway sees it; `None` for a node that it is not configured for.
    pub(super) health: Option<Health>,
    /// The filling of it that is under way, or its catching up with who brought the blob.
    pub(super) refill: Option<Refill>,
    /// Why the blob can be read from no node now, and so cannot be copied to it.
    pub(super) unread: Option<String>,
}

/// Why the blob can be read from none of those that hold it, as this gateway sees them; `None` when it can, or when a
/// gateway that is not configured for one of them cannot tell.
pub(super) fn unread(holders: &[(NodeId, Option<Health>)]) -> Option<String> {
    let mut said = Vec::with_capacity(holders.len());
    for (node, health) in holders {
        said.push(match health {
            None | Some(Health::Healthy) => return None,
            Some(Health::Unavailable { reason }) => format!("{node}, which has the blob, is unavailable: it {reason}"),
            Some(Health::WrongMarker { reason }) => {
                format!("{node}, which has the blob, must not be used: its bucket {reason}")
            }
        });
    }
    Some(if said.is_empty() { "no node is known to hold the blob".to_owned() } else { said.join("; ") })
}

/// The sentence for one pair of a blob.
pub(super) fn sentence(known: &Explained, replica: &Replica, seen: &Seen) -> String {
    let (node, seq) = (&replica.node, replica.seq);
    let cause = known.events.iter().find(|event| event.seq == seq).map(|event| event.kind.as_str()).unwrap_or_default();
    let because = replica.reason.as_deref().unwrap_or("no reason was given");
    let attempts = match replica.attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    match replica.state {
        Some(ReplicaState::Stored) if cause.starts_with("highwater.file.uploaded.") => {
            format!("stored since event {seq}: {node} took the upload")
        }
        Some(ReplicaState::Stored) => format!("stored since event {seq}: copied and verified"),
        Some(ReplicaState::Pending) => {
            format!("pending since event {seq}{}: {}", asked_by(cause), who_goes_on(node.as_str(), seen))
        }
        Some(ReplicaState::Parked) => {
            format!("parked by event {seq} after {attempts}: {because}; `highwater ops redrive` asks again")
        }
        Some(ReplicaState::Lost) if cause.starts_with("highwater.replica.lost.") => {
            format!("lost since event {seq}: {because}; {}", who_goes_on(node.as_str(), seen))
        }
        Some(ReplicaState::Lost) => {
            format!("lost since event {seq}: {because}; `highwater ops redrive` asks for a copy")
        }
        Some(ReplicaState::Erasing) if replica.reason.is_some() => format!(
            "still to be erased: event {seq} gave that up after {attempts}: {because}; `highwater ops redrive` asks again"
        ),
        Some(ReplicaState::Erasing) => {
            // What is erased need not be read.
            let seen = Seen { unread: None, ..seen.clone() };
            format!("to be erased since event {seq}: {}", who_goes_on(node.as_str(), &seen))
        }
        Some(ReplicaState::Erased) => format!("erased by event {seq}"),
        None => match known.blob.state {
            BlobState::Live => "not placed: no event asked for a copy there".to_owned(),
            BlobState::Condemned | BlobState::Erasing | BlobState::Erased => {
                "not placed: nothing names the blob any more".to_owned()
            }
        },
    }
}

/// What asked for a copy that is pending, where that is not the upload.
fn asked_by(cause: &str) -> &'static str {
    let is = |kind: &str| cause.starts_with(kind);
    if is("highwater.node.joined.") {
        " (the node joined)"
    } else if is("highwater.node.wiped.") {
        " (the node was found wiped)"
    } else if is("highwater.replication.redriven.") {
        " (it was asked for again)"
    } else {
        ""
    }
}

/// Why it is not done yet, and who goes on.
fn who_goes_on(node: &str, Seen { health, refill, unread }: &Seen) -> String {
    match health {
        None => format!("this gateway is not configured for {node}, and cannot tell how it is"),
        Some(Health::Unavailable { reason }) => {
            format!("{node} is unavailable: it {reason}; replicators go on by themselves when it is well")
        }
        Some(Health::WrongMarker { reason }) => {
            format!("{node} must not be used: its bucket {reason}; replicators go on when somebody has seen to it")
        }
        Some(Health::Healthy) => match (unread, refill) {
            (Some(unread), _) => {
                format!("{node} is healthy, but {unread}; its replicators go on by themselves when that is over")
            }
            (None, Some(Refill { source, position, until, .. })) => {
                let what = match source {
                    None => "being filled".to_owned(),
                    Some(source) => format!("catching up with {source}"),
                };
                format!("{node} is healthy and {what}, which has come to event {position} of {until}")
            }
            (None, None) => format!("{node} is healthy, and its replicators come to it by themselves"),
        },
    }
}

#[cfg(test)]
mod tests {
    use catalog::{BlobRow, Event, Outcome};
    use proto::{BlobId, Sha256Digest, SpaceId};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn known() -> Explained {
        let kinds = ["file.uploaded", "node.wiped", "replication.parked", "replica.lost", "replication.redriven"];
        let event = |(seq, kind): (u64, &str)| Event {
            seq,
            event_id: None,
            kind: format!("highwater.{kind}.v1"),
            outcome: Outcome::Applied,
            reason: None,
            raw: Vec::new(),
        };
        let blob = BlobRow {
            blob_id: BlobId::new(Uuid::nil()),
            space_id: SpaceId::NONE,
            size_bytes: 1,
            sha256: Sha256Digest::of(b""),
            slices_sha256: None,
            slice_bytes: None,
            origin_node: "node-a".parse().unwrap(),
            first_seq: 10,
            created_at: OffsetDateTime::UNIX_EPOCH,
            refs: 1,
            state: BlobState::Live,
            state_seq: 10,
            unreferenced_at: None,
        };
        Explained { blob, replicas: Vec::new(), events: (10..).zip(kinds).map(event).collect(), is_cut: false }
    }

    fn said(state: Option<ReplicaState>, seq: u64, reason: Option<&str>, health: Health) -> String {
        let node = "node-b".parse().unwrap();
        let replica = Replica { node, state, seq, attempts: 5, reason: reason.map(str::to_owned) };
        sentence(&known(), &replica, &Seen { health: Some(health), refill: None, unread: None })
    }

    #[test]
    fn every_state_has_its_sentence() {
        use ReplicaState as State;
        let down = || Health::Unavailable { reason: "refuses connections".to_owned() };
        let cases = [
            said(Some(State::Stored), 10, None, down()),
            said(Some(State::Stored), 99, None, down()),
            said(Some(State::Pending), 10, None, down()),
            said(Some(State::Pending), 11, Some("node_wiped"), Health::Healthy),
            said(Some(State::Pending), 14, None, Health::WrongMarker { reason: "has no marker".to_owned() }),
            said(Some(State::Parked), 12, Some("AccessDenied"), Health::Healthy),
            said(Some(State::Lost), 13, Some("missing"), Health::Healthy),
            said(Some(State::Lost), 10, Some("marker_outdated"), Health::Healthy),
            said(Some(State::Erasing), 12, Some("AccessDenied"), Health::Healthy),
            said(Some(State::Erasing), 15, None, down()),
            said(Some(State::Erased), 40, None, down()),
            said(None, 0, None, down()),
        ];
        let expected = [
            "stored since event 10: node-b took the upload",
            "stored since event 99: copied and verified",
            "pending since event 10: node-b is unavailable: it refuses connections; replicators go on by themselves when it \
             is well",
            "pending since event 11 (the node was found wiped): node-b is healthy, and its replicators come to it by \
             themselves",
            "pending since event 14 (it was asked for again): node-b must not be used: its bucket has no marker; replicators \
             go on when somebody has seen to it",
            "parked by event 12 after 5 attempts: AccessDenied; `highwater ops redrive` asks again",
            "lost since event 13: missing; node-b is healthy, and its replicators come to it by themselves",
            "lost since event 10: marker_outdated; `highwater ops redrive` asks for a copy",
            "still to be erased: event 12 gave that up after 5 attempts: AccessDenied; `highwater ops redrive` asks again",
            "to be erased since event 15: node-b is unavailable: it refuses connections; replicators go on by themselves \
             when it is well",
            "erased by event 40",
            "not placed: no event asked for a copy there",
        ];
        assert_eq!(cases, expected);
    }

    #[test]
    fn what_is_filled_and_what_is_caught_up_with_is_said() {
        let said = |source: Option<&str>| {
            let source = source.map(|source| source.parse().unwrap());
            let marker_id = proto::MarkerId::new(Uuid::nil());
            let refill = Refill { source, position: 7, ..Refill::new(12, marker_id, OffsetDateTime::UNIX_EPOCH) };
            who_goes_on("node-b", &Seen { health: Some(Health::Healthy), refill: Some(refill), unread: None })
        };
        assert_eq!(said(None), "node-b is healthy and being filled, which has come to event 7 of 12");
        let expected = "node-b is healthy and catching up with node-a, which has come to event 7 of 12";
        assert_eq!(said(Some("node-a")), expected);
    }

    #[test]
    fn a_blob_that_cannot_be_read_is_said_to_wait_for_who_has_it() {
        let [down, well] =
            [("node-a", Health::Unavailable { reason: "refuses connections".to_owned() }), ("node-c", Health::Healthy)]
                .map(|(node, health)| (node.parse().unwrap(), Some(health)));
        assert_eq!(unread(&[down.clone(), well]), None);
        assert_eq!(unread(&[down.clone(), ("node-x".parse().unwrap(), None)]), None);
        let waiting = Seen { health: Some(Health::Healthy), refill: None, unread: unread(&[down]) };
        let replica =
            |state| Replica { node: "node-b".parse().unwrap(), state: Some(state), seq: 10, attempts: 0, reason: None };
        assert_eq!(
            sentence(&known(), &replica(ReplicaState::Pending), &waiting),
            "pending since event 10: node-b is healthy, but node-a, which has the blob, is unavailable: it refuses \
             connections; its replicators go on by themselves when that is over"
        );
        assert_eq!(
            sentence(&known(), &replica(ReplicaState::Erasing), &waiting),
            "to be erased since event 10: node-b is healthy, and its replicators come to it by themselves"
        );
        assert_eq!(unread(&[]).unwrap(), "no node is known to hold the blob");
    }
}
