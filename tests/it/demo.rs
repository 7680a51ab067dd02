//! `compose demo` as `make demo` runs it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use runtime::config::Environment;
use tests::{eventually, program, signal};
use tokio::process::Command;

/// Much less than an installation takes.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A demo in a folder, as in a clone; all of a machine share the one for what is temporary.
fn demo(folder: &Path, temporary: &Path) -> Command {
    let process = Environment::process();
    let mut command = Command::new(program("compose"));
    command.args(["demo", "--large-mb", "1"]).current_dir(folder).env_clear().kill_on_drop(true);
    for name in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        command.env(name, process.var(name).unwrap_or_default());
    }
    command.env("NODES", "embedded").env("INSTALL", "no").env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

/// What a run has left in a folder.
fn left_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn passable() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    // Postgres runs as another user when the tests run as root, and has to pass through.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_demos_at_once_twice_in_a_row() -> anyhow::Result<()> {
    let (one, other, temporary) = (passable()?, passable()?, passable()?);
    let demo = |clone: &tempfile::TempDir| demo(clone.path(), temporary.path()).output();
    let check = |output: Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code() == Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(said.trim_end().ends_with("That was Highwater."), "{said}");
        for word in ["1/3 copies", "3/3 copies", "SHA-256 verified", "the same as before", "equal: the catalog is"] {
            ensure!(said.contains(word), "it does not say {word:?}: {said}");
        }
        anyhow::Ok(())
    };
    for _ in 0..2 {
        let (first, second) = tokio::try_join!(demo(&one), demo(&other))?;
        check(first)?;
        check(second)?;
        for folder in [&one, &other, &temporary] {
            assert_eq!(left_in(folder.path())?, Vec::<String>::new());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_told_to_stop_while_it_installs_does_so_and_leaves_nothing() -> anyhow::Result<()> {
    let folder = passable()?;
    let (bin, temporary) = (folder.path().join("bin"), folder.path().join("tmp"));
    for dir in [&bin, &temporary] {
        std::fs::create_dir(dir)?;
    }
    let script = |name: &str, body: &str| -> anyhow::Result<()> {
        std::fs::write(bin.join(name), format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n"))?;
        Ok(std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755))?)
    };
    for name in ["postgres", "initdb", "createdb", "dropdb", "psql"] {
        script(name, "echo 'postgres (PostgreSQL) 15.1'")?;
    }
    // An installation that takes until the test has ended.
    let endless = "touch \"$HOME/installing\"; while [ -d \"$HOME\" ]; do sleep 0.1; done";
    script("go", &format!("[ \"$1\" = install ] || exit 0; {endless}"))?;
    let mut command = demo(folder.path(), &temporary);
    command.env("PATH", &bin).env("HOME", folder.path()).env("INSTALL", "yes");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    eventually("it installs", async || {
        ensure!(folder.path().join("installing").exists(), "not yet");
        Ok(())
    })
    .await;
    signal("TERM", child.id().context("it has ended")?.into())?;
    let output = tokio::time::timeout(AT_ONCE, child.wait_with_output()).await.context("it goes on")??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && said.contains("it was interrupted"), "{output:?}");
    assert_eq!(left_in(&temporary)?, Vec::<String>::new());
    Ok(())
}
