//! Events: every version ever published decodes for ever, and what is written is what is read.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its fixtures has failed")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proto::{
    DecodeError, Event, Fact, FileDeleted, FileId, FileUploaded, Fingerprint, Kind, Path, Recorded, Sha256Digest,
};

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    files.iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_fixture_decodes_and_encodes_to_itself() {
    for (name, bytes) in fixtures() {
        let event = Event::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written: serde_json::Value = serde_json::from_slice(&event.encode()).unwrap();
        let fixture: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(written, fixture, "{name}");
    }
}

#[test]
fn every_kind_has_a_fixture() {
    let names: Vec<String> = fixtures().into_iter().map(|(name, _)| name).collect();
    for kind in Kind::ALL {
        let wanted = format!("{}.json", kind.cloud_event_type());
        assert!(names.contains(&wanted), "no fixture {wanted}");
    }
}

#[test]
fn a_type_of_a_later_version_is_told_apart_from_garbage() {
    let later = br#"{"specversion":"1.0","id":"x","type":"highwater.file.shared.v1"}"#;
    assert!(
        matches!(Event::decode(later), Err(DecodeError::UnknownType { event_type, .. }) if event_type == "highwater.file.shared.v1")
    );
    for garbage in
        [&b"not json"[..], b"{}", b"\xff\xfe", br#"{"specversion":"0.3","id":"x","type":"highwater.file.uploaded.v1"}"#]
    {
        assert!(matches!(Event::decode(garbage), Err(DecodeError::Undecodable { .. })), "{garbage:?}");
    }
}

#[test]
fn rules_of_a_later_version_halt() {
    let (_, bytes) = fixtures().into_iter().find(|(name, _)| name == "highwater.space.created.v1.json").unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["rules"] = 99.into();
    let error = Event::decode(&serde_json::to_vec(&value).unwrap()).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownRules { rules: 99, .. }), "{error}");
}

#[test]
fn an_unknown_field_is_not_guessed_at() {
    let (_, bytes) = fixtures().into_iter().find(|(name, _)| name == "highwater.space.created.v1.json").unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["data"]["quota"] = 5.into();
    let error = Event::decode(&serde_json::to_vec(&value).unwrap()).unwrap_err();
    assert!(matches!(error, DecodeError::Undecodable { .. }), "{error}");
}

#[test]
fn the_chain_depends_on_each_part() {
    let start = Sha256Digest::of(b"");
    let one = Recorded { n: 1, subject: "hw.v1.a".into(), message_id: "m".into(), payload: "p".into() };
    let chain = one.chain(start);
    assert_ne!(Recorded { subject: "hw.v1.b".into(), ..one.clone() }.chain(start), chain);
    assert_ne!(Recorded { message_id: "n".into(), ..one.clone() }.chain(start), chain);
    assert_ne!(Recorded { payload: "q".into(), ..one.clone() }.chain(start), chain);
    assert_ne!(one.chain(chain), chain);
    assert_eq!(Recorded { n: 2, ..one.clone() }.chain(start), chain, "the place is not part of the chain");
}

#[test]
fn large_uploads_have_a_subject_of_their_own() {
    let (_, bytes) = fixtures().into_iter().find(|(name, _)| name == "highwater.file.uploaded.v1.json").unwrap();
    let event = Event::decode(&bytes).unwrap();
    let Fact::FileUploaded(mut uploaded) = event.fact else { panic!("another kind") };
    uploaded.size_bytes = proto::LARGE_BLOB_BYTES - 1;
    assert_eq!(Fact::FileUploaded(uploaded.clone()).subject(), "hw.v1.file_uploaded");
    uploaded.size_bytes = proto::LARGE_BLOB_BYTES;
    assert_eq!(Fact::FileUploaded(uploaded.clone()).subject(), "hw.v1.file_uploaded.large");
    uploaded.instant = true;
    assert_eq!(Fact::FileUploaded(uploaded).subject(), "hw.v1.file_uploaded", "of an instant upload nothing is copied");
}

#[test]
fn every_kind_has_words_of_its_own() {
    let types: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.cloud_event_type()).collect();
    let tokens: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.subject_token()).collect();
    assert_eq!((types.len(), tokens.len()), (Kind::ALL.len(), Kind::ALL.len()));
    for kind in Kind::ALL {
        assert_eq!(Kind::of_type(kind.cloud_event_type()), Some(kind));
    }
}

fn fact(name: &str) -> Fact {
    let (_, bytes) = fixtures().into_iter().find(|(fixture, _)| *fixture == format!("{name}.json")).unwrap();
    Event::decode(&bytes).unwrap().fact
}

/// Receipts hold these: a request that is asked again after an update must still have the same.
#[test]
fn fingerprints_never_change() {
    let mut told = String::new();
    for (name, bytes) in fixtures() {
        let fingerprint = Fingerprint::of_fact(&Event::decode(&bytes).unwrap().fact);
        let fingerprint = fingerprint.map_or("none".to_owned(), |found| found.to_string());
        writeln!(told, "{} {fingerprint}", name.trim_end_matches(".json")).unwrap();
    }
    assert_eq!(told, include_str!("../testdata/fingerprints.txt"));
}

#[test]
fn a_fingerprint_is_of_the_request_and_not_of_what_the_server_found() {
    let Fact::FileDeleted(deleted) = fact("highwater.file.deleted.v1") else { panic!("another kind") };
    let of = |deleted: FileDeleted| Fingerprint::of_fact(&Fact::FileDeleted(deleted));
    let nil = uuid::Uuid::nil();
    assert_eq!(of(FileDeleted { file_id: FileId::new(nil), ..deleted.clone() }), of(deleted.clone()));
    assert_ne!(of(FileDeleted { if_version: None, ..deleted.clone() }), of(deleted.clone()));
    assert_ne!(of(FileDeleted { path: "other".parse().unwrap(), ..deleted.clone() }), of(deleted.clone()));
    assert_ne!(of(FileDeleted { space_id: proto::SpaceId::new(nil), ..deleted.clone() }), of(deleted));
    let Fact::FileUploaded(uploaded) = fact("highwater.file.uploaded.v1") else { panic!("another kind") };
    let instant = FileUploaded { instant: true, blob_id: proto::BlobId::new(nil), ..uploaded.clone() };
    let of = |uploaded: FileUploaded| Fingerprint::of_fact(&Fact::FileUploaded(uploaded));
    assert_eq!(of(instant), of(uploaded), "whether bytes were sent is the server's to say");
}

#[test]
fn what_an_event_is_about_can_be_told_without_knowing_its_kind() {
    let told = |name: &str| {
        let fact = fact(name);
        (fact.space_id().is_some(), fact.path().map(Path::to_string), fact.from_path().map(Path::to_string))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told("highwater.file.moved.v1"), (true, some("archive/docs"), some("docs")));
    assert_eq!(told("highwater.file.copied.v1"), (true, some("copies/report.pdf"), some("docs/report.pdf")));
    assert_eq!(told("highwater.file.deleted.v1"), (true, some("docs/report.pdf"), None));
    assert_eq!(told("highwater.retention.set.v1"), (true, None, None));
    assert_eq!(told("highwater.blob.condemned.v1"), (false, None, None));
}

#[test]
fn hostile_paths_are_refused_with_a_sentence() {
    let long = "x".repeat(256);
    let deep = "abcdefgh/".repeat(500);
    let cases = [
        ("", "path is empty"),
        ("/a", "path starts with a slash"),
        ("a/", "path ends with a slash"),
        ("/", "path starts with a slash"),
        ("a//b", "path has an empty name (two slashes in a row)"),
        ("..", "path has the name \"..\", which is not allowed"),
        ("a/../b", "path has the name \"..\", which is not allowed"),
        ("a/./b", "path has the name \".\", which is not allowed"),
        ("a\0b", "path has the control character U+0000"),
        ("a\nb", "path has the control character U+000A"),
        ("a\u{85}b", "path has the control character U+0085"),
        (long.as_str(), "path has a name of 256 bytes; at most 255 are allowed"),
        (deep.as_str(), "path has 4500 bytes; at most 4096 are allowed"),
    ];
    for (text, sentence) in cases {
        assert_eq!(text.parse::<Path>().unwrap_err().to_string(), sentence, "{text:?}");
    }
}

#[test]
fn odd_but_honest_paths_are_kept() {
    for text in ["a", "a b/c", "%2f", "CON", "...", "name.", " lead", "🦀/é", "A/a", &"y".repeat(255)] {
        assert_eq!(text.parse::<Path>().unwrap().as_str(), text);
    }
    assert_eq!("e\u{301}".parse::<Path>().unwrap().as_str(), "é", "NFD becomes NFC");
}

proptest! {
    #[test]
    fn a_parsed_path_is_its_own_normal_form(text in "\\PC{0,40}(/\\PC{0,40}){0,4}") {
        if let Ok(path) = text.parse::<Path>() {
            prop_assert_eq!(path.as_str().parse::<Path>().unwrap(), path.clone());
            let segments: Vec<_> = path.segments().collect();
            prop_assert_eq!(Path::from_segments(&segments).unwrap(), path);
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Event::decode(&bytes).is_err());
    }

    #[test]
    fn sequences_round_trip(incarnation in any::<u128>(), n in any::<u64>()) {
        let sequence = proto::Sequence { incarnation: proto::Incarnation::new(uuid::Uuid::from_u128(incarnation)), n };
        prop_assert_eq!(sequence.to_string().parse::<proto::Sequence>().unwrap(), sequence);
    }
}
