//! `put` of files that are sent in parts.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::Command;
use proto::Sha256Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{Fault, Gateway};
use crate::{highwater, said, signal};

const MIB: u64 = 1024 * 1024;
/// More than one slice, and no whole number of parts.
const LENGTH: usize = 20 * 1024 * 1024 + 3;

/// A file to store, and a home of its own to remember it in.
struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("large.bin");
        std::fs::write(&file, content()).unwrap();
        Self { folder, file }
    }

    fn put(&self, gateway: &Gateway) -> Command {
        let mut command = highwater();
        command.env("XDG_STATE_HOME", self.folder.path());
        command.arg("put").arg(&self.file).args(["docs/", "--addr", &gateway.addr]);
        command
    }

    fn remembered(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("highwater/uploads"));
        entries.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }

    /// Puts until the gateway stands still, then sends the signal.
    #[cfg(unix)]
    fn put_and_stop(&self, gateway: &Gateway, more: &[&str]) -> std::process::Output {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
            .env("XDG_STATE_HOME", self.folder.path())
            .arg("put")
            .arg(&self.file)
            .args(["docs/", "--addr", &gateway.addr])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stands_still = || {
            let sessions = gateway.state.sessions.lock().unwrap();
            sessions.open.values().any(|session| session.offset() == 6 * MIB)
        };
        while !stands_still() {
            std::thread::yield_now();
        }
        signal("INT", &child);
        child.wait_with_output().unwrap()
    }
}

fn content() -> Vec<u8> {
    (0..LENGTH).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

fn offsets(gateway: &Gateway) -> Vec<u64> {
    std::mem::take(&mut gateway.state.sessions.lock().unwrap().offsets)
}

fn is_stored(gateway: &Gateway, path: &Path) -> bool {
    gateway.content("docs/large.bin").unwrap() == std::fs::read(path).unwrap()
}

#[test]
fn a_large_file_goes_in_parts_and_leaves_nothing_behind() {
    for more in [&[][..], &["--no-checksum"]] {
        let (gateway, place) = (Gateway::with_parts(&[]), Place::new());
        let output = place.put(&gateway).arg("--json").args(more).output().unwrap();
        assert_eq!(said(&output.stderr), "");
        let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(receipt["sha256"], Sha256Digest::of(&content()).to_string());
        assert_eq!(receipt["instant"], false);
        assert_eq!(offsets(&gateway), [0, 4 * MIB, 8 * MIB, 12 * MIB, 16 * MIB, 20 * MIB]);
        assert!(is_stored(&gateway, &place.file));
        assert!(place.remembered().is_empty() && gateway.uploads().is_empty());
        let started = gateway.state.sessions.lock().unwrap().started.clone();
        assert_eq!(started[0].sha256.is_some(), more.is_empty());
    }
}

#[test]
fn known_content_costs_no_bytes() {
    let (gateway, place) = (Gateway::with_parts(&[]), Place::new());
    gateway.hold("other", &content());
    let output = place.put(&gateway).output().unwrap();
    assert!(said(&output.stdout).contains("instant"), "{}", said(&output.stdout));
    assert!(offsets(&gateway).is_empty() && place.remembered().is_empty());
}

#[test]
fn a_broken_part_goes_on_at_the_gateways_offset() {
    for more in [&[][..], &["--no-checksum"]] {
        let faults = [Fault::Fine, Fault::PartBroken, Fault::AnswerLost];
        let (gateway, place) = (Gateway::with_parts(&faults), Place::new());
        let output = place.put(&gateway).args(more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output.stderr));
        assert!(said(&output.stderr).starts_with("the node is away; trying to go on for up to 30s\n"));
        assert_eq!(offsets(&gateway), [0, 4 * MIB, 6 * MIB, 10 * MIB, 14 * MIB, 18 * MIB]);
        assert!(is_stored(&gateway, &place.file));
    }
}

#[cfg(unix)]
#[test]
fn the_same_command_goes_on_after_ctrl_c() {
    for more in [&[][..], &["--no-checksum"]] {
        let (gateway, place) = (Gateway::with_parts(&[Fault::Fine, Fault::Hangs]), Place::new());
        let output = place.put_and_stop(&gateway, more);
        assert_eq!(output.status.code(), Some(130));
        let expected = format!("highwater: interrupted; the same command goes on with {}\n", place.file.display());
        assert_eq!(said(&output.stderr), expected);
        assert_eq!((offsets(&gateway), place.remembered().len()), (vec![0, 4 * MIB], 1));

        let output = place.put(&gateway).args(more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output.stderr));
        let expected = format!("going on with {} at 6.0 MiB of 20.0 MiB\n", place.file.display());
        assert_eq!(said(&output.stderr), expected);
        assert_eq!(offsets(&gateway), [6 * MIB, 10 * MIB, 14 * MIB, 18 * MIB]);
        assert!(is_stored(&gateway, &place.file));
        assert!(place.remembered().is_empty());
        assert_eq!(gateway.state.sessions.lock().unwrap().started.len(), 1);
    }
}

#[cfg(unix)]
#[test]
fn what_was_begun_can_be_given_up_also_without_the_file() {
    let (gateway, place) = (Gateway::with_parts(&[Fault::Fine, Fault::Hangs]), Place::new());
    place.put_and_stop(&gateway, &[]);
    std::fs::remove_file(&place.file).unwrap();
    let output = place.put(&gateway).arg("--abort").output().unwrap();
    let expected = format!("gave up the upload of {} (upload-1)\n", place.file.display());
    assert_eq!((said(&output.stdout), said(&output.stderr)), (expected, String::new()));
    assert!(place.remembered().is_empty());
    assert_eq!(gateway.state.sessions.lock().unwrap().aborted, ["upload-1"]);
    let output = place.put(&gateway).args(["--abort", "--json"]).output().unwrap();
    assert_eq!(said(&output.stdout), "{\"path\":\"docs/large.bin\",\"upload_id\":null}\n");
    let output = place.put(&gateway).arg("--abort").output().unwrap();
    assert_eq!(said(&output.stdout), format!("nothing is left of an upload of {}\n", place.file.display()));
    assert!(gateway.uploads().is_empty());
}

#[cfg(unix)]
#[test]
fn changed_content_or_another_request_begins_anew() {
    for more in [&[][..], &["--actor", "alice"]] {
        let (gateway, place) = (Gateway::with_parts(&[Fault::Fine, Fault::Hangs]), Place::new());
        place.put_and_stop(&gateway, &[]);
        if more.is_empty() {
            let mut changed = content();
            changed.push(b'!');
            std::fs::write(&place.file, changed).unwrap();
        }
        let output = place.put(&gateway).args(more).output().unwrap();
        assert!(said(&output.stderr).contains("has changed since it was begun"), "{}", said(&output.stderr));
        assert!(is_stored(&gateway, &place.file));
        let sessions = gateway.state.sessions.lock().unwrap();
        assert_eq!((sessions.started.len(), &sessions.aborted[..]), (2, &["upload-1".to_owned()][..]));
        assert_ne!(sessions.started[0].request_id, sessions.started[1].request_id);
        assert!(place.remembered().is_empty());
    }
}

#[cfg(unix)]
#[test]
fn an_outcome_that_was_not_heard_is_answered_again() {
    let (gateway, place) = (Gateway::with_parts(&[Fault::Fine, Fault::Hangs]), Place::new());
    place.put_and_stop(&gateway, &[]);
    let finish_lost = [Fault::Fine, Fault::Fine, Fault::Fine, Fault::Fine, Fault::AnswerLost];
    gateway.state.fail_with(&finish_lost);
    let output = place.put(&gateway).args(["--retry-for", "0s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output.stderr));
    assert!(said(&output.stderr).contains("the answer is lost; the same command goes on"));
    let output = place.put(&gateway).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", said(&output.stderr));
    let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&receipt["outcome"], &receipt["instant"]), (&"applied".into(), &false.into()));
    let sessions = gateway.state.sessions.lock().unwrap();
    assert_eq!(sessions.started[0], sessions.started[1]);
    assert!(place.remembered().is_empty());
}

#[test]
fn what_would_fail_again_is_given_up() {
    let faults = [Fault::Fine; 6].into_iter().chain([Fault::OtherBytes]).collect::<Vec<_>>();
    let (gateway, place) = (Gateway::with_parts(&faults), Place::new());
    let output = place.put(&gateway).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stderr).ends_with("(digest_mismatch)\n"));
    assert!(place.remembered().is_empty());
    assert_eq!(gateway.state.sessions.lock().unwrap().aborted, ["upload-1"]);
}

#[test]
fn a_gateway_without_parts_gets_the_file_whole() {
    let (gateway, place) = (Gateway::start(&[]), Place::new());
    let output = place.put(&gateway).output().unwrap();
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(gateway.uploads().len(), 1);
    assert!(is_stored(&gateway, &place.file));
}
