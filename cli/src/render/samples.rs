//! Answers with fixed values for the snapshots.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use proto::v1;

mod audit;
mod changes;
mod folders;
mod ops;
mod recover;
mod spaces;

pub(super) use self::audit::{audited, findings};
pub(super) use self::changes::{change, moved, undo, versions, waited};
pub(super) use self::folders::{entries, trash, usage};
pub(super) use self::ops::{explained, parked, placement, retired, status};
pub(super) use self::recover::{recovered, recovery};
pub(super) use self::spaces::{deleted_spaces, pruned, spaces};

const INCARNATION: &str = "7f3b1c0d9e8a4b5c8d7e6f5a4b3c2d1e";

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds: 1_782_000_000 + seconds, nanos: 250_000_000 }
}

fn sequence(n: u64) -> String {
    format!("{INCARNATION}-{n}")
}

pub(super) fn receipt() -> v1::Receipt {
    v1::Receipt {
        event_id: "01978d2c-5a00-7c3e-8b1a-0123456789ab".to_owned(),
        sequence: sequence(17),
        outcome: v1::Outcome::Applied.into(),
        reason: String::new(),
        space: "main".to_owned(),
        path: "docs/a.txt".to_owned(),
        file_id: "0b7a3f0e-24c1-5a55-9d3b-5a0f1c2d3e4f".to_owned(),
        version_id: "c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0".to_owned(),
        blob_id: "01978d2c-5a01-7000-8000-00000000002a".to_owned(),
        size_bytes: 209_715_200,
        sha256: proto::Sha256Digest::of(b"a").as_bytes().to_vec().into(),
        node: "node-b".to_owned(),
        projected: true,
    }
}

fn version() -> v1::Version {
    let receipt = receipt();
    v1::Version {
        version_id: receipt.version_id,
        blob_id: receipt.blob_id,
        size_bytes: receipt.size_bytes,
        sha256: receipt.sha256,
        content_type: "text/plain".to_owned(),
        modified_at: None,
        created_at: Some(at(0)),
        actor: "alice".to_owned(),
        event_id: receipt.event_id,
        sequence: receipt.sequence,
        kind: v1::VersionKind::Upload.into(),
        source_version_id: String::new(),
        pruned: false,
    }
}

pub(super) fn header() -> v1::DownloadHeader {
    v1::DownloadHeader { version: Some(version()), offset: 0, length: 209_715_200 }
}

pub(super) fn file() -> v1::File {
    let replica = |node: &str, state: v1::ReplicaState, n| v1::Replica {
        node: node.to_owned(),
        state: state.into(),
        sequence: sequence(n),
        reason: String::new(),
        attempts: 0,
    };
    let parked = v1::Replica {
        reason: "source_digest_mismatch".to_owned(),
        attempts: 5,
        ..replica("node-c", v1::ReplicaState::Parked, 23)
    };
    v1::File {
        space: "main".to_owned(),
        path: "docs/a.txt".to_owned(),
        file_id: receipt().file_id,
        version: Some(version()),
        replicas: vec![
            replica("node-a", v1::ReplicaState::Pending, 17),
            replica("node-b", v1::ReplicaState::Stored, 17),
            parked,
        ],
        replicas_stored: 1,
        replicas_wanted: 3,
    }
}

fn structure<const N: usize>(fields: [(&str, Kind); N]) -> Struct {
    let fields = fields.into_iter().map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) })).collect();
    Struct { fields }
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

pub(super) fn events() -> Vec<v1::Event> {
    let uploaded = structure([
        ("path", text("docs/a.txt")),
        ("size_bytes", Kind::NumberValue(209_715_200.0)),
        ("node", text("node-b")),
        ("modified_at", Kind::NullValue(0)),
    ]);
    let replica = structure([("blob_id", text(&receipt().blob_id)), ("cause", Kind::NumberValue(17.0))]);
    let replicas = vec![Value { kind: Some(Kind::StructValue(replica)) }];
    let stored = structure([("node", text("node-a")), ("replicas", Kind::ListValue(ListValue { values: replicas }))]);
    let event = |n: u64, kind: &str, actor: &str, data: Struct| v1::Event {
        sequence: sequence(n),
        event_id: receipt().event_id,
        r#type: format!("highwater.{kind}.v1"),
        time: Some(at(i64::try_from(n).unwrap())),
        source: "/highwater/gateway".to_owned(),
        subject: "main/docs/a.txt".to_owned(),
        actor: actor.to_owned(),
        outcome: v1::Outcome::Applied.into(),
        reason: String::new(),
        data: Some(data),
    };
    vec![
        event(17, "file.uploaded", "alice", uploaded),
        v1::Event {
            outcome: v1::Outcome::Rejected.into(),
            reason: "marker_not_current".to_owned(),
            ..event(21, "replica.stored", "system", stored)
        },
    ]
}
