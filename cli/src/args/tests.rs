use super::*;

fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once(&"highwater").chain(words))
}

#[test]
fn the_command_line_is_consistent() {
    <Args as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn the_actor_of_undo_is_whose_changes_they_are() {
    let from = "7f3b1c0d9e8a4b5c8d7e6f5a4b3c2d1e-1";
    for actor in ["--actor", "--of"] {
        let args = parsed(&["undo", actor, "alice", "--by", "bob", "--from", from, "--to", from]).unwrap();
        let Command::Undo(undo) = args.command else { panic!("{:?}", args.command) };
        assert_eq!(undo.of_actor.unwrap().as_str(), "alice");
        assert_eq!(undo.by.unwrap().as_str(), "bob");
    }
    assert!(parsed(&["undo", "--by", "bob", "--from", from, "--to", from]).is_err());
    let others = parsed(&["rm", "a", "--actor", "alice"]).unwrap();
    assert_eq!(others.global.actor.unwrap().as_str(), "alice");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let version = "c1d2e3f4-0516-5728-8394-a5b6c7d8e9f0";
    let cases: [&[&str]; 13] = [
        &["put", "a", "--create-only", "--on-conflict", "overwrite"],
        &["put", "a", "--create-only", "--if-version", version],
        &["put", "a", "--on-conflict", "ask"],
        &["get", "a", "--at", "yesterday"],
        &["get", "a", "--at", "2026-06-21T12:00:00Z", "--version-id", version],
        &["ls", "-R", "--at", "2026-06-21T12:00:00Z"],
        &["rm", "a", "--if-version", "3"],
        &["versions"],
        &["versions", "a", "--file-id", version],
        &["wait", "a"],
        &["wait", "a", "--version-id", version, "--replicas", "2"],
        &["space", "retention", "main", "--clear", "--keep-days", "3"],
        &["space", "retention", "main", "--keep-versions", "0"],
    ];
    for words in cases {
        assert!(parsed(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_space_may_be_named_after_the_command() {
    let args = parsed(&["--space", "other", "space", "create", "photos"]).unwrap();
    let Command::Space(Space { command: SpaceCommand::Create(create) }) = args.command else {
        panic!("{:?}", args.command)
    };
    assert_eq!(create.name.as_str(), "photos");
}
