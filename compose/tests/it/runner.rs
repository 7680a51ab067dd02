//! The program: `up` and the commands that talk to it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use compose::PortPlan;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::stack::{is_alive, servers, until};

fn compose(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compose"));
    command.env_remove("HIGHWATER_DATA").env_remove("HIGHWATER_PORT_BASE").arg("--data").arg(data).kill_on_drop(true);
    command
}

async fn run(data: &Path, args: &[&str]) -> Output {
    compose(data).args(args).output().await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A base with all its ports free, between the range of the free plan and the one that the system gives to outgoing
/// connections; and the port after them, which marks them as taken for other tests, also of other clones. The blocks are those of
/// `tests::Runner`.
pub(crate) fn port_base() -> (u16, TcpListener) {
    const BLOCK: u16 = 8;
    const BLOCKS: u32 = 220;
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let blocks = (0..BLOCKS).map(|n| (std::process::id() + n) % BLOCKS);
    let mut bases = blocks.map(|block| 31_000 + u16::try_from(block).unwrap() * BLOCK);
    let claimed = bases.find_map(|base| {
        let claim = bind(base + BLOCK - 1)?;
        (base..base + BLOCK - 1).all(|port| bind(port).is_some()).then_some((base, claim))
    });
    claimed.unwrap()
}

fn up(data: &Path, base: u16) -> Child {
    let base = base.to_string();
    let args = ["up", "--servers-only", "--nodes", "embedded", "--install", "no", "--port-base", &base];
    let said = std::fs::File::create(said(data)).unwrap();
    compose(data).args(args).stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

/// What the last `up` printed.
fn said(data: &Path) -> PathBuf {
    data.with_extension("said")
}

async fn rows(data: &Path) -> Vec<Value> {
    let output = run(data, &["ps", "--json"]).await;
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The table once all five servers run.
async fn running(data: &Path) -> Vec<Value> {
    running_and(data, |_| true).await
}

/// The table once all five servers run and something else holds of it, too.
async fn running_and(data: &Path, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    for _ in 0..600 {
        let rows = rows(data).await;
        if rows.len() == 5 && rows.iter().all(|row| row["state"] == "running") && holds(&rows) {
            return rows;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("that is not so after a minute:\n{}", std::fs::read_to_string(said(data)).unwrap());
}

fn pids(rows: &[Value]) -> Vec<u32> {
    rows.iter().filter_map(|row| u32::try_from(row["pid"].as_u64()?).ok()).collect()
}

/// Every process with a guard of this stack's in its command line.
fn guards(data: &Path) -> Vec<u32> {
    let lease = data.canonicalize().unwrap().join("run/guards.lock");
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let of_lease = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*lease.to_string_lossy())
    };
    processes.filter(of_lease).filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[tokio::test]
async fn a_killed_runner_leaves_no_orphan_and_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (base, _claim) = port_base();
    let mut first = up(&data, base);
    let pids = pids(&running(&data).await);
    assert_eq!(pids.len(), 5);

    let second = run(&data, &["up", "--servers-only", "--install", "no"]).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&format!("(pid {})", first.id().unwrap())), "{}", stderr(&second));

    first.kill().await.unwrap();
    until("the programs end", || pids.iter().all(|pid| !is_alive(*pid))).await;
    until("the guards end", || guards(&data).iter().all(|pid| !is_alive(*pid))).await;
    let alone = run(&data, &["ps"]).await;
    assert!(stderr(&alone).contains("nothing runs on"), "{}", stderr(&alone));

    // What the killed run left does not stop the next one.
    let mut again = up(&data, base);
    running(&data).await;
    let down = run(&data, &["down"]).await;
    assert!(down.status.success(), "{}", stderr(&down));
    assert_eq!(again.wait().await.unwrap().code(), Some(0));
    assert!(run(&data, &["reset"]).await.status.success());
    assert!(!data.exists());
}

#[tokio::test]
async fn an_immediate_restart_waits_for_the_guards() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (base, _claim) = port_base();
    let mut first = up(&data, base);
    running(&data).await;
    first.kill().await.unwrap();
    let mut second = up(&data, base);
    running(&data).await;
    // Ctrl-C is SIGINT to the runner alone.
    let pid = rustix::process::Pid::from_raw(i32::try_from(second.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(second.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn verbs_reach_the_running_stack_and_what_died_alone_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (base, _claim) = port_base();
    let mut runner = up(&data, base);
    let before = running(&data).await;
    let row = |rows: &[Value], name: &str| rows.iter().find(|row| row["name"] == name).cloned().unwrap();
    let node = row(&before, "node-a");
    assert_eq!(node["log"].as_str().unwrap(), data.canonicalize().unwrap().join("logs/node-a.log").to_str().unwrap());
    assert!(node["credentials"]["secret_key"].as_str().unwrap().len() > 20);
    assert!(node["addresses"][0].as_str().unwrap().starts_with("http://127.0.0.1:"));

    assert!(run(&data, &["kill", "node-a"]).await.status.success());
    assert_eq!(row(&rows(&data).await, "node-a")["state"], "killed");
    assert!(run(&data, &["start", "node-a"]).await.status.success());
    assert!(run(&data, &["pause", "node-b"]).await.status.success());
    assert_eq!(row(&rows(&data).await, "node-b")["state"], "paused");
    assert!(run(&data, &["resume", "node-b"]).await.status.success());
    assert!(run(&data, &["stop", "nats"]).await.status.success());
    assert_eq!(row(&rows(&data).await, "nats")["state"], "stopped");
    assert!(run(&data, &["start", "nats"]).await.status.success());
    let unknown = run(&data, &["stop", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no program `nobody`"), "{}", stderr(&unknown));
    let logs = run(&data, &["logs", "nats"]).await;
    assert!(String::from_utf8_lossy(&logs.stdout).contains("Server is ready"));

    // Killed by somebody else, not by a verb: started again.
    let pid = u32::try_from(row(&before, "node-c")["pid"].as_u64().unwrap()).unwrap();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    // Until the runner has seen its end, it still has the old row.
    running_and(&data, |after| row(after, "node-c")["pid"] != row(&before, "node-c")["pid"]).await;

    assert!(run(&data, &["down"]).await.status.success());
    assert_eq!(runner.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_taken_port_gets_one_line_that_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (base, _claim) = port_base();
    let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 1)).unwrap();
    let refused = servers().data(dir.path().join("data")).ports(PortPlan::Base(base)).start().await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.starts_with(&format!("port {} (nats) is taken by ", base + 1)), "{refused}");
    assert!(refused.contains(&format!("(pid {})", std::process::id())) && refused.lines().count() == 1, "{refused}");
}

#[tokio::test]
async fn bad_flags_are_64() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["up", "--port-base", "x"][..], &["up", "--nodes", "floppy"], &["scale", "gateway=2"], &["fly"]] {
        assert_eq!(run(dir.path(), args).await.status.code(), Some(64), "{args:?}");
    }
    let missing = run(dir.path(), &["up", "--nodes-file", "/does/not/exist"]).await;
    assert_eq!(missing.status.code(), Some(64));
    assert!(stderr(&missing).contains("/does/not/exist"), "{}", stderr(&missing));
    assert!(run(dir.path(), &["s3-node", "--help"]).await.status.success());
    let help = run(dir.path(), &["--help"]).await;
    assert!(String::from_utf8_lossy(&help.stdout).contains("never for production"));
}
