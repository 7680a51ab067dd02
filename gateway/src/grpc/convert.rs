//! Between our types and the messages.

mod ops;
mod tree;

use catalog::{Event, File, Listed, Outcome, Replica, ReplicaState};
use prost_types::{Struct, Timestamp, Value, value::Kind};
use proto::{Incarnation, OnConflict, Sequence, SpaceName, v1};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Result;
use crate::files::request::{self, NewFile, Place};
use crate::files::{Decision, NodeStatus, Receipt, Status};

pub(crate) use ops::{explained, given_up};
pub(crate) use tree::{change, deleted_space, entries, space, trash, version, versions};

/// An upload that is asked for.
pub(crate) fn new_file(metadata: &v1::UploadMetadata) -> Result<NewFile> {
    Ok(NewFile {
        space: request::space(&metadata.space)?,
        path: request::path(&metadata.path)?,
        size_bytes: metadata.size_bytes,
        sha256: metadata.sha256.as_deref().map(request::sha256).transpose()?,
        content_type: request::content_type(&metadata.content_type)?,
        modified_at: metadata.modified_at.map(|at| request::modified_at(at.seconds, at.nanos)).transpose()?,
        author: request::author(&metadata.actor, &metadata.request_id)?,
        on_conflict: request::on_conflict(metadata.on_conflict, OnConflict::Overwrite)?,
        if_version: request::version_id(&metadata.if_version)?,
        ack_replicas: metadata.ack_replicas,
    })
}

/// What a change returns.
pub(crate) fn receipt(receipt: Receipt) -> v1::Receipt {
    let projected = receipt.is_projected();
    let (size_bytes, sha256, node) = match receipt.content {
        Some(content) => (content.size_bytes, content.sha256.as_bytes().to_vec(), content.node.to_string()),
        None => (0, Vec::new(), String::new()),
    };
    v1::Receipt {
        event_id: receipt.event_id.to_string(),
        sequence: receipt.sequence.to_string(),
        outcome: decision(receipt.decision).into(),
        reason: receipt.reason.unwrap_or_default(),
        space: text(receipt.space),
        path: text(receipt.path),
        file_id: text(receipt.file_id),
        version_id: text(receipt.version_id),
        blob_id: text(receipt.blob_id),
        size_bytes,
        sha256: sha256.into(),
        node,
        projected,
    }
}

/// A file with the state of its bytes on every node.
pub(crate) fn file(place: &Place, file: &File, incarnation: Incarnation) -> v1::File {
    let replicas = &file.version.replicas;
    let stored = replicas.iter().filter(|replica| replica.state == Some(ReplicaState::Stored)).count();
    let wanted = replicas.iter().filter(|replica| replica.state.is_some()).count();
    v1::File {
        space: place.space.to_string(),
        path: place.path.to_string(),
        file_id: file.file_id.to_string(),
        version: Some(version(&file.version.row, Some(&file.version.blob), incarnation)),
        replicas: replicas.iter().map(|one| replica(one, incarnation)).collect(),
        replicas_stored: count(stored),
        replicas_wanted: count(wanted),
    }
}

/// The files of a listing.
pub(crate) fn listing(space: &SpaceName, files: &[Listed], incarnation: Incarnation) -> Vec<v1::File> {
    files.iter().map(|file| listed(space, file, incarnation)).collect()
}

/// The events of a file.
pub(crate) fn events(events: &[Event], incarnation: Incarnation) -> Vec<v1::Event> {
    events.iter().map(|one| event(one, incarnation)).collect()
}

fn listed(space: &SpaceName, listed: &Listed, incarnation: Incarnation) -> v1::File {
    v1::File {
        space: space.to_string(),
        path: listed.path.to_string(),
        file_id: listed.file_id.to_string(),
        version: Some(version(&listed.version, Some(&listed.blob), incarnation)),
        replicas: Vec::new(),
        replicas_stored: listed.replicas_stored,
        replicas_wanted: listed.replicas_wanted,
    }
}

/// How everything stands, when the journal is open and the catalog has answered.
pub(crate) fn status(status: Status) -> Result<v1::GetStatusResponse> {
    let events_behind = status.events_behind().unwrap_or_default();
    let Status { journal, catalog, nodes } = status;
    let (journal, catalog) = (journal?, catalog?);
    let (incarnation, head) = (journal.incarnation, journal.head);
    Ok(v1::GetStatusResponse {
        journal: Some(v1::Journal {
            incarnation: incarnation.uuid().simple().to_string(),
            head: head.map(|head| Sequence { incarnation, n: head.n }.to_string()).unwrap_or_default(),
            stored_bytes: head.map_or(0, |head| head.bytes),
            max_bytes: head.map_or(0, |head| head.max_bytes),
        }),
        catalog: Some(v1::Catalog {
            checkpoint: catalog.checkpoint.sequence().to_string(),
            events_behind,
            generation: catalog.generation.number(),
            undecodable_events: catalog.undecodable_events,
            verified: catalog.verification.last.map(|(verified, at)| v1::Verified {
                at: Some(timestamp(at)),
                sequence: Sequence { n: verified.n, ..catalog.checkpoint.sequence() }.to_string(),
                rows: verified.rows,
                differing: verified.differing,
                took: Some(ops::duration(verified.took)),
            }),
            verify_failures: catalog.verification.failures,
        }),
        nodes: nodes.iter().map(|one| node(one, incarnation)).collect(),
    })
}

/// An event, with what its bytes say of themselves.
pub(crate) fn event(event: &Event, incarnation: Incarnation) -> v1::Event {
    // Whatever version of the program wrote it, it is a CloudEvent; what cannot be read stays empty.
    let written: serde_json::Value = serde_json::from_slice(&event.raw).unwrap_or_default();
    let word = |name: &str| written[name].as_str().unwrap_or_default().to_owned();
    v1::Event {
        sequence: sequence(event.seq, incarnation),
        event_id: text(event.event_id),
        r#type: event.kind.clone(),
        time: OffsetDateTime::parse(&word("time"), &Rfc3339).ok().map(timestamp),
        source: word("source"),
        subject: word("subject"),
        actor: word("actor"),
        outcome: match event.outcome {
            Outcome::Applied => v1::Outcome::Applied,
            Outcome::ConflictedCopy => v1::Outcome::ConflictedCopy,
            Outcome::Rejected | Outcome::Repeated => v1::Outcome::Rejected,
        }
        .into(),
        reason: match event.outcome {
            Outcome::Repeated => "repeated".to_owned(),
            Outcome::Applied | Outcome::ConflictedCopy | Outcome::Rejected => event.reason.clone().unwrap_or_default(),
        },
        data: written["data"].as_object().map(structure),
    }
}

/// A time.
pub(crate) fn timestamp(at: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(at.nanosecond()).expect("a second has less than 2^31 nanoseconds");
    Timestamp { seconds: at.unix_timestamp(), nanos }
}

/// A position as clients see it; empty for none.
pub(crate) fn sequence(n: u64, incarnation: Incarnation) -> String {
    if n == 0 { String::new() } else { Sequence { incarnation, n }.to_string() }
}

fn decision(decision: Decision) -> v1::Outcome {
    match decision {
        Decision::Applied => v1::Outcome::Applied,
        Decision::ConflictedCopy => v1::Outcome::ConflictedCopy,
        Decision::Rejected => v1::Outcome::Rejected,
        Decision::Pending => v1::Outcome::Pending,
    }
}

fn replica(replica: &Replica, incarnation: Incarnation) -> v1::Replica {
    v1::Replica {
        node: replica.node.to_string(),
        state: ops::state(replica.state).into(),
        sequence: sequence(replica.seq, incarnation),
        reason: replica.reason.clone().unwrap_or_default(),
        attempts: replica.attempts,
    }
}

fn node(node: &NodeStatus, incarnation: Incarnation) -> v1::Node {
    let (health, reason) = match &node.health {
        None => (v1::NodeHealth::Unspecified, "this gateway is not configured for it".to_owned()),
        Some(blobs::Health::Healthy) if node.counted.is_none() => {
            (v1::NodeHealth::Healthy, "it is no part of the cluster: take it out of the configuration".to_owned())
        }
        Some(blobs::Health::Healthy) => (v1::NodeHealth::Healthy, String::new()),
        Some(blobs::Health::Unavailable { reason }) => (v1::NodeHealth::Unavailable, reason.clone()),
        Some(blobs::Health::WrongMarker { reason }) => (v1::NodeHealth::WrongMarker, reason.clone()),
    };
    let counted = node.counted.as_ref();
    v1::Node {
        node: node.node.to_string(),
        health: health.into(),
        reason,
        blobs_stored: counted.map_or(0, |counted| counted.blobs_stored),
        blobs_pending: counted.map_or(0, |counted| counted.blobs_pending),
        bytes_pending: counted.map_or(0, |counted| counted.bytes_pending),
        events_behind: counted.map_or(0, |counted| counted.events_behind),
        blobs_parked: counted.map_or(0, |counted| counted.blobs_parked),
        blobs_lost: counted.map_or(0, |counted| counted.blobs_lost),
        oldest_pending_at: counted.and_then(|counted| counted.oldest_pending_at).map(timestamp),
        blobs_erasing: counted.map_or(0, |counted| counted.blobs_erasing),
        eta: counted.and_then(|counted| counted.eta).map(ops::duration),
        refill: node.refill.as_ref().map(|refill| ops::refill(refill, incarnation)),
        archived_sequence: node
            .archived
            .as_ref()
            .map_or_else(String::new, |archived| sequence(archived.n, incarnation)),
    }
}

fn structure(object: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), json(value))).collect() }
}

fn json(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
        // Struct knows no integers: above 2^53 it is off by a little, which no size or sequence reaches.
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(list) => {
            Kind::ListValue(prost_types::ListValue { values: list.iter().map(json).collect() })
        }
        serde_json::Value::Object(object) => Kind::StructValue(structure(object)),
    };
    Value { kind: Some(kind) }
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
