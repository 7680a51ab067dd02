//! `put`, and what it does when the gateway fails.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use assert_cmd::Command;
use proto::Sha256Digest;
use serde_json::Value;

use crate::fake::{Fault, Gateway};
use crate::{highwater, said, signal};

/// More than a connection's window, so that an upload is in the middle when something happens.
const LARGE: usize = 20 * 1024 * 1024;

fn put(gateway: &Gateway) -> Command {
    let mut command = highwater();
    command.args(["put", "--addr", &gateway.addr]);
    command
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

fn local(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_file_is_declared_and_arrives() {
    let gateway = Gateway::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    for (name, length) in [("empty", 0), ("small", 10), ("large", LARGE)] {
        let content = content(length);
        let output = put(&gateway).arg(local(&folder, name, &content)).args(["docs/", "--json"]).output().unwrap();
        assert_eq!(said(&output.stderr), "");
        let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(receipt["path"], format!("docs/{name}"));
        assert_eq!(receipt["sha256"], Sha256Digest::of(&content).to_string());
        assert!(gateway.content(&format!("docs/{name}")).unwrap() == content);
    }
    let uploads = gateway.uploads();
    let large = &uploads[2];
    assert_eq!((large.path.as_str(), large.space.as_str(), large.size_bytes), ("docs/large", "main", Some(20 << 20)));
    assert_eq!(large.sha256.as_deref(), Some(&Sha256Digest::of(&content(LARGE)).as_bytes()[..]));
    assert!(large.modified_at.is_some());
    assert!(!large.request_id.is_empty() && large.request_id != uploads[1].request_id);
}

#[test]
fn several_files_go_to_a_folder() {
    let gateway = Gateway::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let files = [local(&folder, "a", b"1"), local(&folder, "b", b"2")];
    let output = put(&gateway).args(&files).args(["--to", "x/", "--quiet", "--actor", "alice"]).output().unwrap();
    assert_eq!((said(&output.stdout), said(&output.stderr)), (String::new(), String::new()));
    assert_eq!((gateway.content("x/a").unwrap(), gateway.content("x/b").unwrap()), ("1".into(), "2".into()));
    assert_eq!(gateway.uploads()[0].actor, "alice");
    for of_one in [["--request-id", "r"], ["--if-version", "c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0"]] {
        let output = put(&gateway).args(&files).args(["--to", "x/"]).args(of_one).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{of_one:?}");
    }
}

#[test]
fn what_is_asked_of_an_upload_is_sent_with_it() {
    use proto::v1::OnConflict;

    let gateway = Gateway::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = local(&folder, "a", b"1");
    let version = "c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0";
    for more in [
        &[][..],
        &["--create-only"],
        &["--on-conflict", "keep-both", "--if-version", version],
        &["--ack-replicas", "2", "--content-type", "text/plain"],
    ] {
        let output = put(&gateway).arg(&file).args(more).output().unwrap();
        assert!(output.status.success(), "{more:?}: {}", said(&output.stderr));
    }
    let uploads = gateway.uploads();
    let rules: Vec<i32> = uploads.iter().map(|metadata| metadata.on_conflict).collect();
    let [unspecified, fail, keep_both] =
        [OnConflict::Unspecified, OnConflict::Fail, OnConflict::KeepBoth].map(i32::from);
    assert_eq!(rules, [unspecified, fail, keep_both, unspecified]);
    assert_eq!((uploads[1].if_version.as_str(), uploads[2].if_version.as_str()), ("", version));
    assert_eq!((uploads[3].ack_replicas, uploads[3].content_type.as_str()), (2, "text/plain"));
}

#[test]
fn stdin_is_stored_and_compared_with_the_receipt() {
    let gateway = Gateway::start(&[]);
    let output = put(&gateway).args(["-", "piped"]).write_stdin(content(LARGE)).output().unwrap();
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert!(gateway.content("piped").unwrap() == content(LARGE));
    let metadata = &gateway.uploads()[0];
    assert_eq!((metadata.size_bytes, &metadata.sha256, metadata.request_id.as_str()), (None, &None, ""));

    let gateway = Gateway::start(&[Fault::OtherBytes]);
    let output = put(&gateway).args(["-", "piped"]).write_stdin("abc").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(said(&output.stderr).contains("was stored with other bytes than were read"));
}

#[test]
fn without_checksum_the_receipt_is_still_compared() {
    let gateway = Gateway::start(&[Fault::OtherBytes]);
    let folder = tempfile::tempdir().unwrap();
    let file = local(&folder, "a", b"abc");
    let output = put(&gateway).arg(file).arg("--no-checksum").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let metadata = &gateway.uploads()[0];
    assert_eq!((metadata.size_bytes, &metadata.sha256), (Some(3), &None));
}

#[test]
fn a_file_is_sent_again_as_the_same_request() {
    let gateway = Gateway::start(&[Fault::Unavailable, Fault::Unavailable]);
    let folder = tempfile::tempdir().unwrap();
    let file = local(&folder, "a", &content(LARGE));
    let output = put(&gateway).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(said(&output.stderr), "the journal is away; trying again for up to 30s\n");
    let uploads = gateway.uploads();
    assert_eq!(uploads.len(), 3);
    assert!(uploads.iter().all(|metadata| *metadata == uploads[0]));
    assert!(gateway.content("a").unwrap() == content(LARGE));
}

#[test]
fn nothing_else_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = local(&folder, "a", &content(LARGE));
    // stdin cannot be read twice.
    let gateway = Gateway::start(&[Fault::Unavailable]);
    let output = put(&gateway).args(["-", "a"]).write_stdin("abc").output().unwrap();
    assert_eq!((output.status.code(), gateway.uploads().len()), (Some(5), 1));
    // Nobody wants it.
    let gateway = Gateway::start(&[Fault::Unavailable]);
    let output = put(&gateway).arg(&file).args(["--retry-for", "0s"]).output().unwrap();
    assert_eq!((output.status.code(), gateway.uploads().len()), (Some(5), 1));
    // It would not help; the answer arrives although the content was not read.
    let gateway = Gateway::start(&[Fault::Refused]);
    let output = put(&gateway).arg(&file).output().unwrap();
    assert_eq!((output.status.code(), gateway.uploads().len()), (Some(5), 1));
    assert_eq!(said(&output.stderr), "highwater: the journal is full (RESOURCE_EXHAUSTED)\n");
}

/// A file of /proc that can be opened but not read at its start.
#[cfg(target_os = "linux")]
#[test]
fn content_that_cannot_be_read_is_not_stored() {
    let gateway = Gateway::start(&[]);
    let output = put(&gateway).args(["/proc/self/mem", "a", "--no-checksum"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stderr).starts_with("highwater: cannot read /proc/self/mem: "));
    assert_eq!(gateway.content("a"), None);
}

/// However much of it was sent: an upload that is stopped must not look complete.
#[cfg(unix)]
#[test]
fn an_interrupted_upload_is_not_stored() {
    let gateway = Gateway::start(&[]);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["put", "-", "a", "--addr", &gateway.addr])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&content(LARGE)).unwrap();
    signal("INT", &child);
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!((output.status.code(), said(&output.stderr).as_str()), (Some(130), "highwater: interrupted\n"));
    assert_eq!((gateway.uploads().len(), gateway.content("a")), (1, None));
}
