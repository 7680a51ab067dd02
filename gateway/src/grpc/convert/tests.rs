use proto::{EventId, Sha256Digest};
use uuid::Uuid;

use super::*;
use crate::error::Code;

const LIFE: Incarnation = Incarnation::new(Uuid::from_u128(7));

fn metadata(path: &str) -> v1::UploadMetadata {
    v1::UploadMetadata { path: path.to_owned(), ..v1::UploadMetadata::default() }
}

#[test]
fn an_upload_needs_only_a_path() {
    let file = new_file(&metadata("a.txt")).unwrap();
    assert_eq!((file.space.as_str(), file.path.as_str(), file.author.actor.as_str()), ("main", "a.txt", "anonymous"));
    assert_eq!((file.size_bytes, file.sha256, file.author.request_id), (None, None, None));
}

#[test]
fn every_field_of_an_upload_is_checked() {
    let base = || metadata("a");
    let cases = [
        (v1::UploadMetadata { path: String::new(), ..base() }, Code::PathInvalid),
        (v1::UploadMetadata { space: "..".to_owned(), ..base() }, Code::SpaceInvalid),
        (v1::UploadMetadata { sha256: Some(vec![1].into()), ..base() }, Code::DigestInvalid),
        (v1::UploadMetadata { content_type: "\n".to_owned(), ..base() }, Code::ContentTypeInvalid),
        (v1::UploadMetadata { modified_at: Some(Timestamp { seconds: 0, nanos: -1 }), ..base() }, Code::TimeInvalid),
        (v1::UploadMetadata { request_id: "\0".to_owned(), ..base() }, Code::RequestIdInvalid),
        (v1::UploadMetadata { actor: "x".repeat(129), ..base() }, Code::ActorInvalid),
    ];
    for (metadata, code) in cases {
        assert_eq!(new_file(&metadata).unwrap_err().code(), code);
    }
}

#[test]
fn an_event_is_shown_as_published() {
    let raw =
        br#"{"specversion":"1.0","time":"2026-11-23T10:00:00.5Z","source":"/highwater/gateway","subject":"main/a",
        "actor":"ann","data":{"size_bytes":3,"on_conflict":"overwrite","list":[true,null]}}"#;
    let shown = event(
        &Event {
            seq: 4,
            event_id: Some(EventId::new(Uuid::from_u128(1))),
            kind: "highwater.file.uploaded.v1".to_owned(),
            outcome: Outcome::Applied,
            reason: None,
            raw: raw.to_vec(),
        },
        LIFE,
    );
    assert_eq!(shown.sequence, "00000000000000000000000000000007-4");
    assert_eq!((shown.subject.as_str(), shown.actor.as_str()), ("main/a", "ann"));
    assert_eq!(shown.time, Some(Timestamp { seconds: 1_795_428_000, nanos: 500_000_000 }));
    let data = shown.data.unwrap();
    assert_eq!(data.fields["size_bytes"].kind, Some(Kind::NumberValue(3.0)));
    assert_eq!(data.fields["on_conflict"].kind, Some(Kind::StringValue("overwrite".to_owned())));
}

#[test]
fn bytes_that_are_no_event_are_shown_empty() {
    let shown = event(
        &Event {
            seq: 4,
            event_id: None,
            kind: "undecodable".to_owned(),
            outcome: Outcome::Rejected,
            reason: Some("undecodable".to_owned()),
            raw: vec![0xff],
        },
        LIFE,
    );
    assert_eq!((shown.event_id.as_str(), shown.r#type.as_str()), ("", "undecodable"));
    assert_eq!(shown.outcome, i32::from(v1::Outcome::Rejected));
    assert!(shown.data.is_none());
}

#[test]
fn a_pending_receipt_says_so() {
    let uploaded = crate::files::request::NewFile {
        space: proto::SpaceName::main(),
        path: "a".parse().unwrap(),
        size_bytes: None,
        sha256: None,
        content_type: String::new(),
        modified_at: None,
        author: request::Author { actor: proto::Actor::anonymous(), request_id: None },
        on_conflict: OnConflict::Overwrite,
        if_version: None,
        ack_replicas: 0,
    }
    .uploaded(
        proto::SpaceId::new(Uuid::from_u128(1)),
        crate::files::request::Stored::nowhere(3, Sha256Digest::of(b"abc")),
    );
    let event_id = EventId::new(Uuid::from_u128(9));
    let shown = receipt(Receipt::pending(event_id, Sequence { incarnation: LIFE, n: 5 }, &uploaded));
    assert!(!shown.projected);
    assert_eq!(shown.outcome, i32::from(v1::Outcome::Pending));
    assert_eq!(shown.version_id, event_id.version_id().to_string());
    assert_eq!((shown.size_bytes, shown.sha256.len(), shown.file_id.as_str()), (3, 32, ""));
}
