//! The commands that change what is there, and what tells of the past.

use std::process::Output;

use serde_json::Value;

use crate::fake::{Asked, Fault, Gateway, NEWER, OLDER, sequence};
use crate::{highwater, said};

const VERSION: &str = "c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0";

fn run(gateway: &Gateway, args: &[&str]) -> Output {
    highwater().args(args).args(["--addr", &gateway.addr]).output().unwrap()
}

fn asked(gateway: &Gateway) -> Vec<Asked> {
    std::mem::take(&mut gateway.state.asked.lock().unwrap())
}

#[test]
fn every_change_is_one_request_of_its_actor() {
    let cases: [(&[&str], &str, &str); 15] = [
        (&["mkdir", "docs/x/"], "create_folder", "docs/x"),
        (&["rm", "docs/a"], "delete", "docs/a false"),
        (&["rm", "-r", "docs/"], "delete", "docs true"),
        (&["mv", "docs/a", "b"], "move", "docs/a b 0"),
        (&["mv", "docs/a", "b/", "--on-conflict", "keep-both"], "move", "docs/a b/a 3"),
        (&["mv", "docs/", "/"], "move", "docs docs 0"),
        (&["cp", "docs/a", "b/"], "copy", "docs/a b/a "),
        (&["cp", "docs/a", "b", "--version-id", VERSION], "copy", "docs/a b c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0"),
        (&["restore", "a", VERSION], "restore", "a c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0"),
        (&["space", "create", "photos"], "create_space", "photos"),
        (&["space", "rename", "photos", "pictures"], "rename_space", "photos pictures"),
        (&["space", "rm", "photos", "--force"], "delete_space", "photos true"),
        (
            &["space", "retention", "main", "--keep-days", "30"],
            "set_retention",
            "Some(Retention { keep_versions: None, keep_days: Some(30) })",
        ),
        (
            &["space", "retention", "main", "--clear"],
            "set_retention",
            "Some(Retention { keep_versions: None, keep_days: None })",
        ),
        (&["space", "prune", "main"], "prune", "false None"),
    ];
    let mut ids = Vec::new();
    for (args, call, what) in cases {
        let gateway = Gateway::start(&[Fault::Unavailable, Fault::Unavailable]);
        let output = run(&gateway, &[args, &["--actor", "alice"]].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output.stderr));
        assert_eq!(said(&output.stderr), "the journal is away; trying again for up to 30s\n", "{args:?}");
        let asked = asked(&gateway);
        assert_eq!(asked.len(), 3, "{args:?}");
        assert!(asked.iter().all(|each| *each == asked[0]), "{args:?}");
        assert_eq!((asked[0].call, asked[0].what.as_str(), asked[0].actor.as_str()), (call, what, "alice"));
        ids.push(asked[0].request_id.clone());
    }
    ids.sort();
    ids.dedup();
    assert!(ids.len() == cases.len() && ids.iter().all(|id| id.len() == 36));
    let gateway = Gateway::start(&[]);
    run(&gateway, &["rm", "a", "--request-id", "mine"]);
    assert_eq!(asked(&gateway)[0].request_id, "mine");
}

#[test]
fn a_rejected_change_ends_with_1_and_says_why() {
    let from = sequence(1);
    let cases: [(&[&str], &str); 6] = [
        (&["mv", "a", "b"], "a was not moved to b: name_taken"),
        (&["rm", "a"], "a was not deleted: name_taken"),
        (&["space", "create", "x"], "the space x was not made: name_taken"),
        (&["space", "prune", "x"], "the space x was not pruned: name_taken"),
        (&["trash", "restore", "docs/a"], "docs/a was not brought back: name_taken"),
        (&["undo", "--actor", "a", "--from", &from, "--to", &from], "was not undone: name_taken"),
    ];
    for (args, message) in cases {
        let output = run(&Gateway::start(&[Fault::Rejected]), &[args, &["--quiet"]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = said(&output.stderr);
        assert!(stderr.contains(message) && stderr.ends_with("(name_taken)\n"), "{args:?}: {stderr}");
        let output = run(&Gateway::start(&[Fault::Rejected]), &[args, &["--json"]].concat());
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&error["code"], &error["reason"]), (&"FAILED_PRECONDITION".into(), &"name_taken".into()));
        assert!(said(&output.stdout).contains("\"outcome\":\"rejected\""), "{args:?}");
    }
}

#[test]
fn the_receipt_of_a_rejected_change_is_an_answer() {
    let id = "01978d2c-5a00-7c3e-8b1a-0123456789ab";
    let output = run(&Gateway::start(&[Fault::Rejected]), &["receipt", id]);
    assert_eq!((output.status.code(), said(&output.stdout).as_str()), (Some(0), "outcome   rejected: name_taken\n"));
    assert_eq!(run(&Gateway::start(&[]), &["receipt", id]).status.code(), Some(1));
    assert_eq!(run(&Gateway::start(&[]), &["receipt", "17"]).status.code(), Some(2));
}

#[test]
fn the_newest_of_a_path_is_brought_back_and_others_by_their_id() {
    let gateway = Gateway::start(&[]);
    let output = run(&gateway, &["trash", "restore", "docs/a"]);
    assert!(said(&output.stderr).contains(NEWER), "{}", said(&output.stderr));
    assert_eq!(asked(&gateway)[0].what, format!("{NEWER} "));
    run(&gateway, &["trash", "restore", OLDER, "--to", "x/"]);
    assert_eq!(asked(&gateway)[0].what, format!("{OLDER} x/a"));
    let output = run(&gateway, &["trash", "restore", "docs/b"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(asked(&gateway).is_empty());
    assert_eq!(said(&run(&gateway, &["trash", "ls"]).stdout).lines().count(), 2);
}

#[test]
fn undo_says_whose_changes_and_who_undoes_them() {
    let gateway = Gateway::start(&[]);
    let (from, to) = (sequence(1), sequence(9));
    let undo = ["undo", "--actor", "alice", "--by", "bob", "--from", &from, "--to", &to];
    let output = run(&gateway, &undo);
    assert!(said(&output.stdout).starts_with("undid 1 of 1 change\n"), "{}", said(&output.stdout));
    let asked = asked(&gateway);
    assert_eq!((asked[0].what.as_str(), asked[0].actor.as_str()), ("alice", "bob"));
    let output = run(&gateway, &[&undo[..], &["--dry-run"]].concat());
    assert!(said(&output.stdout).starts_with("would undo 1 of 1 change\n"));
}

#[test]
fn prune_can_be_tried_first() {
    let gateway = Gateway::start(&[]);
    let output = run(&gateway, &["space", "prune", "main", "--dry-run", "--keep-versions", "10"]);
    assert!(said(&output.stdout).starts_with("would prune 2 versions (2.0 KiB):\n"), "{}", said(&output.stdout));
    assert_eq!(asked(&gateway)[0].what, "true Some(Retention { keep_versions: Some(10), keep_days: None })");
    assert_eq!(run(&gateway, &["space", "prune", "main", "--keep-days", "1"]).status.code(), Some(2));
    assert_eq!(
        said(&run(&gateway, &["space", "retention", "main"]).stdout),
        "main: keep 10 versions, the trash for ever\n"
    );
    assert_eq!(run(&gateway, &["space", "retention", "other"]).status.code(), Some(3));
}

#[test]
fn watch_goes_on_after_the_last_change_it_showed() {
    let gateway = Gateway::start(&[Fault::Broken, Fault::Broken]);
    let zero = sequence(0);
    let output = run(&gateway, &["watch", "--from", &zero, "--once", "--json"]);
    assert!(output.status.success(), "{}", said(&output.stderr));
    let shown: Vec<Value> = said(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<&Value> = shown.iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, ["file-1", "file-2", "file-3"]);
    let from: Vec<String> = asked(&gateway).into_iter().map(|each| each.what).collect();
    assert_eq!(from, [zero, sequence(1), sequence(2)]);

    let gateway = Gateway::start(&[Fault::Broken]);
    let output = run(&gateway, &["watch", "--once", "--retry-for", "0s"]);
    assert_eq!((output.status.code(), said(&output.stdout).lines().count()), (Some(5), 1));
}

#[test]
fn wait_asks_again_until_there_are_enough() {
    let gateway = Gateway::start(&[Fault::Behind, Fault::Behind]);
    let output = run(&gateway, &["wait", "--version-id", VERSION, "--replicas", "2"]);
    assert_eq!(said(&output.stdout), "2 nodes hold the bytes: node-a\n");
    assert_eq!(said(&output.stderr), "1 of 2 nodes hold it\n");
    assert_eq!(asked(&gateway).len(), 3);
    let gateway = Gateway::start(&[Fault::Behind; 100]);
    let output = run(&gateway, &["wait", "--version-id", VERSION, "--replicas", "2", "--timeout", "300ms", "--quiet"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output.stderr).contains("last seen: 1 of 2 nodes hold it"), "{}", said(&output.stderr));
}

#[test]
fn a_folder_is_listed_page_by_page() {
    let gateway = Gateway::start(&[]);
    for name in ["a", "b", "c", "docs/x"] {
        gateway.hold(name, b"x");
    }
    let output = run(&gateway, &["ls", "--page-size", "2", "--at", "2026-06-21T12:00:00Z"]);
    let stdout = said(&output.stdout);
    let names: Vec<&str> = stdout.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "docs/"]);
    assert!(asked(&gateway).iter().all(|each| each.what == "2026-06-21T12:00:00Z"));
    assert_eq!(said(&run(&gateway, &["du"]).stdout), "4 files in 0 folders: 4 B\n");
}
