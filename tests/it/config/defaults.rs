//! What holds when nobody says anything, and what the README says that must be said.

use super::{nodes, output, printed};

#[test]
fn the_gateway_listens_on_its_port_of_this_machine() {
    let nodes = nodes(std::path::Path::new("/nowhere"));
    let all = printed("gateway", &[], &[("HIGHWATER_NODES", &nodes)]);
    assert_eq!(all["listen"], ("\"127.0.0.1:7420\"".to_owned(), "default".to_owned()));
}

/// With the first port, and where the data are.
#[test]
fn what_compose_says_of_itself() {
    for (name, args) in [("help_compose", ["--help"].as_slice()), ("help_compose_up", &["up", "--help"])] {
        let help = output("compose", args, &[]);
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        insta::assert_snapshot!(name, String::from_utf8(help.stdout).unwrap());
    }
}

#[test]
fn the_least_that_the_readme_gives_a_gateway_is_enough() {
    let readme = include_str!("../../../README.md");
    let (_, after) = readme.split_once("The least a gateway needs:\n\n").unwrap();
    let block = after.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let block = block.map(str::trim_start).collect::<Vec<_>>().join("\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, block).unwrap();
    let config = file.display().to_string();
    let all = printed("gateway", &["--config", &config], &[]);
    for (key, value) in [("listen", "127.0.0.1:7420"), ("nodes[0].secret_key_file", "/etc/highwater/node-a.key")] {
        assert_eq!(all[key], (format!("{value:?}"), format!("file {config}")));
    }
}
