//! Wrong usage, help, and no gateway.

use crate::{highwater, said};

/// A port that nothing listens on: bound and let go.
fn free_addr() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn help_is_as_documented() {
    let commands = [
        "",
        "put",
        "get",
        "ls",
        "du",
        "mkdir",
        "rm",
        "mv",
        "cp",
        "versions",
        "restore",
        "trash",
        "trash ls",
        "trash restore",
        "undo",
        "stat",
        "wait",
        "events",
        "receipt",
        "watch",
        "space",
        "space create",
        "space ls",
        "space rename",
        "space rm",
        "space retention",
        "space prune",
        "ops",
        "ops audit",
        "ops recover",
        "status",
        "explain",
        "ops",
        "ops status",
        "ops parked",
        "ops redrive",
        "ops explain",
        "ops retire",
        "ops placement",
    ];
    for words in commands {
        let output = highwater().args(words.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success());
        let name = if words.is_empty() { "highwater".to_owned() } else { words.replace(' ', "_") };
        insta::assert_snapshot!(format!("help_{name}"), said(&output.stdout));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let cases: [&[&str]; 26] = [
        &[],
        &["frobnicate"],
        &["put"],
        &["put", "-"],
        &["put", "a", "b", "c"],
        &["put", "/", "x"],
        &["get"],
        &["get", "../a", "-"],
        &["get", "a/", "-"],
        &["ls", "a//b"],
        &["stat", "a", "--wait", "2", "--wait-replicated"],
        &["stat", "a", "--timeout", "30"],
        &["status", "--addr", "https://127.0.0.1:1"],
        &["status", "--space", "a/b"],
        &["put", "a", "--create-only", "--on-conflict", "fail"],
        &["rm", "/"],
        &["mv", "a"],
        &["mv", "a", "b//"],
        &["cp", "a/", "b"],
        &["undo", "--from", "x"],
        &["space"],
        &["ops"],
        &["ops", "redrive"],
        &["ops", "redrive", "--all", "--node", "node-a"],
        &["ops", "recover", "--all", "01890a5d-ac96-774b-bcce-b302099a8057"],
        &["ops", "retire"],
    ];
    for args in cases {
        let output = highwater().args(args).output().unwrap();
        let stderr = said(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty() && !stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_an_object_with_json() {
    for args in [&["get", "--json", "../a", "-"][..], &["--json", "frobnicate"], &["put", "--json"]] {
        let output = highwater().args(args).output().unwrap();
        let stderr = said(&output.stderr);
        let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!((&error["code"], &error["reason"]), (&"INVALID_ARGUMENT".into(), &"usage".into()), "{stderr}");
        assert!(!error["message"].as_str().unwrap().contains('\n'));
    }
}

#[test]
fn no_gateway_ends_with_5_and_says_what_to_do() {
    let addr = free_addr();
    for args in [&["status"][..], &["ls"], &["stat", "a", "--wait", "1"], &["get", "a", "-"], &["put", "-", "a"]] {
        let output = highwater().args(args).env("HIGHWATER_ADDR", &addr).output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        let expected = format!(
            "highwater: nothing listens at {addr}: start Highwater with `make up`, or name its gateway with --addr or \
             HIGHWATER_ADDR (connection_refused)\n"
        );
        assert_eq!(said(&output.stderr), expected, "{args:?}");
        assert!(output.stdout.is_empty());
    }
    let output = highwater().args(["status", "--json", "--addr", &addr]).output().unwrap();
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&error["code"], &error["reason"]), (&"UNAVAILABLE".into(), &"connection_refused".into()));
}

#[test]
fn a_missing_local_file_is_found_missing_before_the_gateway_is_asked() {
    let output = highwater().args(["put", "no such file", "--addr", &free_addr()]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output.stderr).starts_with("highwater: cannot read no such file: "));
}
