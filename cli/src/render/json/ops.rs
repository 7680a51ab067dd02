//! What people see who run the system.
#![expect(clippy::struct_field_names, reason = "the .proto files name the fields")]

use proto::v1;
use serde::Serialize;

use super::{Event, Replica, inner_event, line, replica, rfc3339};
use crate::render::{node_health, replica_state};

/// The whole status.
pub(crate) fn status(status: &v1::GetStatusResponse) -> String {
    line(&Status {
        journal: status.journal.as_ref().map(|journal| Journal {
            incarnation: &journal.incarnation,
            head: &journal.head,
            stored_bytes: journal.stored_bytes,
            max_bytes: journal.max_bytes,
        }),
        catalog: status.catalog.as_ref().map(|catalog| Catalog {
            checkpoint: &catalog.checkpoint,
            events_behind: catalog.events_behind,
            generation: catalog.generation,
            undecodable_events: catalog.undecodable_events,
            verified: catalog.verified.as_ref().map(|verified| Verified {
                at: rfc3339(verified.at.as_ref()),
                sequence: &verified.sequence,
                rows: verified.rows,
                differing: verified.differing,
                took: verified.took.as_ref().map(seconds),
            }),
            verify_failures: catalog.verify_failures,
        }),
        nodes: status.nodes.iter().map(node).collect(),
    })
}

/// A copy or an erasure that was given up.
pub(crate) fn parked(parked: &v1::ParkedReplica) -> String {
    line(&Parked {
        node: &parked.node,
        blob_id: &parked.blob_id,
        size_bytes: parked.size_bytes,
        state: replica_state(parked.state),
        reason: &parked.reason,
        attempts: parked.attempts,
        sequence: &parked.sequence,
        path: &parked.path,
    })
}

/// What was asked for again.
pub(crate) fn redriven(answer: &v1::RedriveResponse) -> String {
    line(&Redriven { replicas: answer.replicas, sequence: &answer.sequence })
}

/// Why a blob is where it is.
pub(crate) fn explained(explained: &v1::ExplainResponse) -> String {
    line(&Explained {
        blob_id: &explained.blob_id,
        size_bytes: explained.size_bytes,
        sha256: hex::encode(&explained.sha256),
        state: &explained.state,
        references: explained.references,
        replicas: explained.replicas.iter().map(explained_replica).collect(),
        events: explained.events.iter().map(inner_event).collect(),
        events_cut: explained.events_cut,
    })
}

/// A node that was retired.
pub(crate) fn retired(answer: &v1::RetireNodeResponse) -> String {
    line(&Retired {
        sequence: &answer.sequence,
        waiting_for: &answer.waiting_for,
        blobs_elsewhere_pending: answer.blobs_elsewhere_pending,
    })
}

/// Where blobs are.
pub(crate) fn placement(placement: &v1::Placement) -> String {
    let node = |node: &v1::PlacementNode| PlacementNode {
        node: node.node.clone(),
        weight: node.weight,
        zone: node.zone.clone(),
    };
    line(&Placement {
        copies: placement.copies,
        nodes: placement.nodes.iter().map(node).collect(),
        sequence: &placement.sequence,
    })
}

fn explained_replica(one: &v1::ExplainedReplica) -> ExplainedReplica<'_> {
    ExplainedReplica { replica: one.replica.as_ref().map(replica), explanation: &one.explanation }
}

fn node(node: &v1::Node) -> Node<'_> {
    Node {
        node: &node.node,
        health: node_health(node.health),
        reason: &node.reason,
        blobs_stored: node.blobs_stored,
        blobs_pending: node.blobs_pending,
        bytes_pending: node.bytes_pending,
        events_behind: node.events_behind,
        blobs_parked: node.blobs_parked,
        blobs_lost: node.blobs_lost,
        oldest_pending_at: rfc3339(node.oldest_pending_at.as_ref()),
        blobs_erasing: node.blobs_erasing,
        eta: node.eta.as_ref().map(seconds),
        refill: node.refill.as_ref().map(|refill| Refill {
            cause: &refill.cause,
            position: &refill.position,
            until: &refill.until,
            blobs_copied: refill.blobs_copied,
            bytes_copied: refill.bytes_copied,
            started_at: rfc3339(refill.started_at.as_ref()),
            eta: refill.eta.as_ref().map(seconds),
        }),
        archived_sequence: &node.archived_sequence,
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds(span: &prost_types::Duration) -> f64 {
    span.seconds as f64 + f64::from(span.nanos) / 1e9
}

#[derive(Serialize)]
struct Status<'a> {
    journal: Option<Journal<'a>>,
    catalog: Option<Catalog<'a>>,
    nodes: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Journal<'a> {
    incarnation: &'a str,
    head: &'a str,
    stored_bytes: u64,
    max_bytes: u64,
}

#[derive(Serialize)]
struct Catalog<'a> {
    checkpoint: &'a str,
    events_behind: u64,
    generation: u32,
    undecodable_events: u64,
    verified: Option<Verified<'a>>,
    verify_failures: u32,
}

#[derive(Serialize)]
struct Verified<'a> {
    at: Option<String>,
    sequence: &'a str,
    rows: u64,
    differing: u64,
    took: Option<f64>,
}

#[derive(Serialize)]
struct Node<'a> {
    node: &'a str,
    health: String,
    reason: &'a str,
    blobs_stored: u64,
    blobs_pending: u64,
    bytes_pending: u64,
    events_behind: u64,
    blobs_parked: u64,
    blobs_lost: u64,
    oldest_pending_at: Option<String>,
    blobs_erasing: u64,
    eta: Option<f64>,
    refill: Option<Refill<'a>>,
    archived_sequence: &'a str,
}

#[derive(Serialize)]
struct Refill<'a> {
    cause: &'a str,
    position: &'a str,
    until: &'a str,
    blobs_copied: u64,
    bytes_copied: u64,
    started_at: Option<String>,
    eta: Option<f64>,
}

#[derive(Serialize)]
struct Parked<'a> {
    node: &'a str,
    blob_id: &'a str,
    size_bytes: u64,
    state: String,
    reason: &'a str,
    attempts: u32,
    sequence: &'a str,
    path: &'a str,
}

#[derive(Serialize)]
struct Redriven<'a> {
    replicas: u64,
    sequence: &'a str,
}

#[derive(Serialize)]
struct Explained<'a> {
    blob_id: &'a str,
    size_bytes: u64,
    sha256: String,
    state: &'a str,
    references: u64,
    replicas: Vec<ExplainedReplica<'a>>,
    events: Vec<Event<'a>>,
    events_cut: bool,
}

#[derive(Serialize)]
struct ExplainedReplica<'a> {
    replica: Option<Replica<'a>>,
    explanation: &'a str,
}

#[derive(Serialize)]
struct Placement<'a> {
    copies: u32,
    nodes: Vec<PlacementNode>,
    sequence: &'a str,
}

#[derive(Serialize)]
struct PlacementNode {
    node: String,
    weight: u32,
    zone: String,
}

#[derive(Serialize)]
struct Retired<'a> {
    sequence: &'a str,
    waiting_for: &'a str,
    blobs_elsewhere_pending: u64,
}
