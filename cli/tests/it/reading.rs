//! `get`, `ls` and `stat`, and what they do when the gateway fails.

use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use serde_json::Value;

use crate::fake::{Fault, Gateway};
use crate::{highwater, said, signal};

fn get(gateway: &Gateway, folder: &Path) -> Command {
    let mut command = highwater();
    command.current_dir(folder).args(["get", "--addr", &gateway.addr]);
    command
}

fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_read_whole() {
    let gateway = Gateway::start(&[]);
    gateway.hold("docs/a", &content());
    gateway.hold("empty", b"");
    let folder = tempfile::tempdir().unwrap();
    let output = get(&gateway, folder.path()).arg("docs/a").output().unwrap();
    assert_eq!(said(&output.stderr), "");
    assert!(std::fs::read(folder.path().join("a")).unwrap() == content());

    let output = get(&gateway, folder.path()).args(["docs/a", "--json", "b"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["target"], &answer["length"]), (&"b".into(), &3_000_000.into()));

    assert!(get(&gateway, folder.path()).args(["empty", "e"]).output().unwrap().status.success());
    assert_eq!(std::fs::read(folder.path().join("e")).unwrap(), b"");

    let output = get(&gateway, folder.path()).args(["docs/a", "-", "--json"]).output().unwrap();
    assert!(output.stdout == content());
    assert_eq!(names(folder.path()).len(), 3);
}

#[test]
fn a_range_is_read_as_it_is() {
    let gateway = Gateway::start(&[]);
    gateway.hold("a", b"0123456789");
    let folder = tempfile::tempdir().unwrap();
    let output = get(&gateway, folder.path()).args(["a", "-", "--offset", "3", "--limit", "4"]).output().unwrap();
    assert_eq!(said(&output.stdout), "3456");
    let output = get(&gateway, folder.path()).args(["a", "part", "--offset", "8"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read(folder.path().join("part")).unwrap(), b"89");
}

#[test]
fn a_target_is_replaced_only_with_force() {
    let gateway = Gateway::start(&[]);
    gateway.hold("a", b"new");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "old").unwrap();
    let output = get(&gateway, folder.path()).arg("a").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output.stderr), "highwater: a exists; --force replaces it (target_exists)\n");
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"old");
    assert!(get(&gateway, folder.path()).args(["a", "--force"]).output().unwrap().status.success());
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"new");
}

#[test]
fn a_download_that_fails_leaves_nothing() {
    let cases =
        [(Fault::Broken, 5, "no node has the bytes"), (Fault::Short, 7, "bytes came"), (Fault::Flipped, 7, "SHA-256")];
    for (fault, code, message) in cases {
        let gateway = Gateway::start(&[fault]);
        gateway.hold("a", &content());
        let folder = tempfile::tempdir().unwrap();
        let output = get(&gateway, folder.path()).arg("a").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{fault:?}");
        assert!(said(&output.stderr).contains(message), "{fault:?}: {}", said(&output.stderr));
        assert!(names(folder.path()).is_empty(), "{fault:?}");
    }
}

#[test]
fn a_missing_file_ends_with_4_and_leaves_nothing() {
    let gateway = Gateway::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let output = get(&gateway, folder.path()).args(["a", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let expected = "{\"code\":\"NOT_FOUND\",\"reason\":\"file_not_found\",\"message\":\"no file at a\"}\n";
    assert_eq!(said(&output.stderr), expected);
    assert!(names(folder.path()).is_empty());
    let output = get(&gateway, folder.path()).args(["a", "no/such/folder/a"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn the_time_limit_removes_what_was_begun() {
    let gateway = Gateway::start(&[Fault::Hangs]);
    gateway.hold("a", &content());
    let folder = tempfile::tempdir().unwrap();
    let output = get(&gateway, folder.path()).args(["a", "--timeout", "300ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let expected = "highwater: not done after 300ms, the limit that --timeout sets (timeout)\n";
    assert_eq!(said(&output.stderr), expected);
    assert!(names(folder.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn signals_remove_what_was_begun() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let gateway = Gateway::start(&[Fault::Hangs]);
        gateway.hold("a", &content());
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
            .current_dir(folder.path())
            .args(["get", "a", "--addr", &gateway.addr])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while names(folder.path()).is_empty() {
            std::thread::yield_now();
        }
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let gateway = Gateway::start(&[]);
    gateway.hold("a", &content());
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
        .current_dir(folder.path())
        .args(["get", "a", "-", "--addr", &gateway.addr])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), said(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn ls_follows_all_pages() {
    let gateway = Gateway::start(&[]);
    for index in 0..25 {
        gateway.hold(&format!("docs/{index:02}"), b"x");
    }
    gateway.hold("other", b"x");
    let list = |args: &[&str]| {
        let output =
            highwater().args(["ls", "-R", "--addr", &gateway.addr, "--page-size", "10"]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", said(&output.stderr));
        said(&output.stdout)
    };
    assert_eq!(list(&["docs/"]).lines().count(), 25);
    let paths = |text: String| -> Vec<String> {
        let path = |line: &str| serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().to_owned();
        text.lines().map(path).collect()
    };
    let all = paths(list(&["--json"]));
    assert!(all.len() == 26 && all.is_sorted());
}

#[test]
fn stat_waits_until_the_time_limit_and_says_what_is_missing() {
    let gateway = Gateway::start(&[]);
    gateway.hold("a", b"x");
    let stat = |args: &[&str]| highwater().args(["stat", "a", "--addr", &gateway.addr]).args(args).output().unwrap();
    assert!(stat(&["--wait", "1"]).status.success());
    let output = stat(&["--wait-replicated", "--timeout", "500ms"]);
    assert_eq!(output.status.code(), Some(5));
    let stderr = said(&output.stderr);
    assert!(stderr.contains("last seen: a: 1/3 copies"), "{stderr}");
    assert_eq!(stat(&["--wait", "4"]).status.code(), Some(1));
}

#[test]
fn a_catalog_that_is_behind_is_asked_again() {
    let gateway = Gateway::start(&[Fault::Behind, Fault::Behind]);
    gateway.hold("a", b"x");
    let sequence = "7f3b1c0d9e8a4b5c8d7e6f5a4b3c2d1e-17";
    let output = highwater().args(["stat", "a", "--addr", &gateway.addr, "--min-sequence", sequence]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output.stderr));
}
