//! What people ask who run the system.

use std::time::Duration;

use catalog::{GivenUp, ReplicaState};
use journal::Refill;
use proto::{Incarnation, v1};

use super::{event, replica, sequence, timestamp};
use crate::files::{Explained, refill_eta};

/// What was given up.
pub(crate) fn given_up(given_up: &[GivenUp], incarnation: Incarnation) -> Vec<v1::ParkedReplica> {
    let one = |one: &GivenUp| v1::ParkedReplica {
        node: one.node.to_string(),
        blob_id: one.blob_id.to_string(),
        size_bytes: one.size_bytes,
        state: state(Some(one.state)).into(),
        reason: one.reason.clone(),
        attempts: one.attempts,
        sequence: sequence(one.seq, incarnation),
        path: one.path.clone().unwrap_or_default(),
    };
    given_up.iter().map(one).collect()
}

/// Why a blob is where it is.
pub(crate) fn explained(explained: &Explained, incarnation: Incarnation) -> v1::ExplainResponse {
    let Explained { known, sentences } = explained;
    let replicas = known.replicas.iter().zip(sentences).map(|(one, sentence)| v1::ExplainedReplica {
        replica: Some(replica(one, incarnation)),
        explanation: sentence.clone(),
    });
    v1::ExplainResponse {
        blob_id: known.blob.blob_id.to_string(),
        size_bytes: known.blob.size_bytes,
        sha256: known.blob.sha256.as_bytes().to_vec().into(),
        state: known.blob.state.to_string(),
        references: known.blob.refs,
        replicas: replicas.collect(),
        events: known.events.iter().map(|one| event(one, incarnation)).collect(),
        events_cut: known.is_cut,
    }
}

/// The state of a pair.
pub(super) fn state(state: Option<ReplicaState>) -> v1::ReplicaState {
    match state {
        None => v1::ReplicaState::NotPlaced,
        Some(ReplicaState::Pending) => v1::ReplicaState::Pending,
        Some(ReplicaState::Stored) => v1::ReplicaState::Stored,
        Some(ReplicaState::Parked) => v1::ReplicaState::Parked,
        Some(ReplicaState::Lost) => v1::ReplicaState::Lost,
        Some(ReplicaState::Erasing) => v1::ReplicaState::Erasing,
        Some(ReplicaState::Erased) => v1::ReplicaState::Erased,
    }
}

/// The filling of a node.
pub(super) fn refill(refill: &Refill, incarnation: Incarnation) -> v1::Refill {
    v1::Refill {
        cause: sequence(refill.cause, incarnation),
        position: sequence(refill.position, incarnation),
        until: sequence(refill.until, incarnation),
        blobs_copied: refill.blobs_copied,
        bytes_copied: refill.bytes_copied,
        started_at: Some(timestamp(refill.started_at)),
        eta: refill_eta(refill).map(duration),
    }
}

/// A time span.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    // None lasts 292 billion years.
    prost_types::Duration::try_from(span).unwrap_or_default()
}
