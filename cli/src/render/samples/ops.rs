//! What people see who run the system.

use proto::v1;

use super::{INCARNATION, at, events, file, receipt, sequence};

pub(in crate::render) fn status() -> v1::GetStatusResponse {
    let node = |node: &str, health: v1::NodeHealth| v1::Node {
        node: node.to_owned(),
        health: health.into(),
        reason: String::new(),
        blobs_stored: 12,
        blobs_pending: 0,
        bytes_pending: 0,
        events_behind: 0,
        blobs_parked: 0,
        blobs_lost: 0,
        oldest_pending_at: None,
        blobs_erasing: 0,
        eta: None,
        refill: None,
        archived_sequence: sequence(42),
    };
    let away = v1::Node {
        reason: "connection refused".to_owned(),
        blobs_stored: 9,
        blobs_pending: 3,
        blobs_erasing: 2,
        eta: Some(prost_types::Duration { seconds: 95, nanos: 500_000_000 }),
        refill: Some(v1::Refill {
            cause: sequence(30),
            position: sequence(12),
            until: sequence(30),
            blobs_copied: 4,
            bytes_copied: 4096,
            started_at: Some(at(1)),
            eta: Some(prost_types::Duration { seconds: 15, nanos: 0 }),
        }),
        bytes_pending: 209_715_300,
        events_behind: 3,
        archived_sequence: sequence(12),
        oldest_pending_at: Some(at(0)),
        ..node("node-c", v1::NodeHealth::Unavailable)
    };
    v1::GetStatusResponse {
        journal: Some(v1::Journal {
            incarnation: INCARNATION.to_owned(),
            head: sequence(42),
            stored_bytes: 24_576,
            max_bytes: 8_589_934_592,
        }),
        catalog: Some(v1::Catalog {
            checkpoint: sequence(41),
            events_behind: 1,
            generation: 2,
            undecodable_events: 0,
            verified: Some(v1::Verified {
                at: Some(at(2)),
                sequence: sequence(38),
                rows: 250,
                differing: 1,
                took: Some(prost_types::Duration { seconds: 3, nanos: 500_000_000 }),
            }),
            verify_failures: 2,
        }),
        nodes: vec![node("node-a", v1::NodeHealth::Healthy), node("node-b", v1::NodeHealth::Healthy), away],
    }
}

pub(in crate::render) fn parked() -> Vec<v1::ParkedReplica> {
    let one = v1::ParkedReplica {
        node: "node-b".to_owned(),
        blob_id: receipt().blob_id,
        size_bytes: 209_715_200,
        state: v1::ReplicaState::Parked.into(),
        reason: "refused: AccessDenied".to_owned(),
        attempts: 5,
        sequence: sequence(23),
        path: "main/docs/a.txt".to_owned(),
    };
    let erasing = v1::ParkedReplica { state: v1::ReplicaState::Erasing.into(), path: String::new(), ..one.clone() };
    vec![one, erasing]
}

pub(in crate::render) fn explained() -> v1::ExplainResponse {
    let explain = |replica: v1::Replica| v1::ExplainedReplica {
        explanation: format!("{} is as it is\x1b", replica.node),
        replica: Some(replica),
    };
    v1::ExplainResponse {
        blob_id: receipt().blob_id,
        size_bytes: 209_715_200,
        sha256: receipt().sha256,
        state: "live".to_owned(),
        references: 1,
        replicas: file().replicas.into_iter().map(explain).collect(),
        events: events(),
        events_cut: true,
    }
}

pub(in crate::render) fn retired() -> v1::RetireNodeResponse {
    v1::RetireNodeResponse { sequence: sequence(50), ..v1::RetireNodeResponse::default() }
}

pub(in crate::render) fn placement() -> v1::Placement {
    let node =
        |node: &str, weight, zone: &str| v1::PlacementNode { node: node.to_owned(), weight, zone: zone.to_owned() };
    let nodes = vec![node("node-a", 3, "north"), node("node-b", 1, "north"), node("node-c", 1, "")];
    v1::Placement { copies: 2, nodes, sequence: sequence(12) }
}
