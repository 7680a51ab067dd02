//! The library: what the integration tests of the whole system stand on.

use std::path::Path;
use std::time::Duration;

use compose::{Builder, NodeKind, Stack, State};
use tokio::net::TcpStream;

/// Where Cargo put the program; the library's own programs are looked for beside it.
pub(crate) fn bin_dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_compose")).parent().expect("a program is in a folder")
}

/// Servers only, embedded nodes.
pub(crate) fn servers() -> Builder {
    Stack::builder().services(false).nodes(NodeKind::Embedded).bin_dir(bin_dir())
}

/// Waits, bounded, until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not so after 30 s");
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // A zombie that its parent has not collected yet is dead.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn servers_start_obey_and_stop() {
    let stack = servers().start().await.unwrap();
    let rows = stack.ps();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["postgres", "nats", "node-a", "node-b", "node-c"]);
    assert!(rows.iter().all(|row| row.state == State::Running && row.pid.is_some_and(is_alive)));

    for name in ["node-a", "nats", "postgres"] {
        let pid = stack.pid(name).unwrap();
        stack.kill(name).await.unwrap();
        assert_eq!(stack.state(name).unwrap(), State::Killed);
        assert!(!is_alive(pid), "{name}");
        assert_eq!(stack.wait_exit(name).await.unwrap().signal, Some(9));
        stack.start(name).await.unwrap();
        assert_eq!(stack.state(name).unwrap(), State::Running);
    }
    stack.stop("node-b").await.unwrap();
    assert_eq!((stack.state("node-b").unwrap(), stack.pid("node-b")), (State::Stopped, None));
    assert!(TcpStream::connect(stack.addr("node-b").unwrap()).await.is_err());
    stack.restart("node-b").await.unwrap();

    let wrong = stack.stop("node-x").await.unwrap_err().to_string();
    assert!(wrong.contains("no program `node-x`") && wrong.contains("node-a"), "{wrong}");

    let pids: Vec<u32> = stack.ps().iter().filter_map(|row| row.pid).collect();
    let data = stack.data().to_path_buf();
    stack.shutdown().await.unwrap();
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(!data.exists(), "a temporary stack deletes its data");
}

#[tokio::test]
async fn a_paused_program_answers_again_when_it_goes_on() {
    let stack = servers().nats(false).postgres(false).node_count(1).start().await.unwrap();
    let node = stack.nodes()[0].clone();
    stack.pause("node-a").await.unwrap();
    assert_eq!(stack.state("node-a").unwrap(), State::Paused);
    let asked = crate::s3::send(&node, "PUT", "/highwater", &[], "");
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    stack.resume("node-a").await.unwrap();
    // Whether the request that was given up has made the bucket is the node's affair.
    let made = crate::s3::send(&node, "PUT", "/highwater", &[], "").await.unwrap();
    assert!(matches!(made.status().as_u16(), 200 | 409), "{made:?}");
    // Stopping a paused program works too.
    stack.pause("node-a").await.unwrap();
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn postgres_keeps_its_data_and_its_database() {
    let stack = servers().nats(false).node_count(0).start().await.unwrap();
    let psql = |sql: &str| {
        let mut command = tokio::process::Command::new(stack.postgres_program("psql").unwrap());
        command.env_clear().envs(stack.postgres_env().unwrap()).args(["-d", "highwater", "-Atc", sql]);
        async move { String::from_utf8(command.output().await.unwrap().stdout).unwrap().trim().to_owned() }
    };
    assert_eq!(psql("create table t as select 7 as n; select n from t").await, "SELECT 1\n7");
    stack.kill("postgres").await.unwrap();
    stack.start("postgres").await.unwrap();
    assert_eq!(psql("select n from t").await, "7");
    assert_eq!(psql("show listen_addresses").await, "127.0.0.1");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn nats_syncs_always() {
    let stack = servers().postgres(false).node_count(0).start().await.unwrap();
    let url = stack.nats_monitor_url().unwrap();
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let request = http::Request::get("/varz").header("host", "x").body(String::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let varz: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(varz["jetstream"]["config"]["sync_always"], true, "{varz}");
    assert_eq!(varz["server_name"], "highwater");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_service_is_told_is_what_it_needs() {
    let stack = servers().postgres(false).nats(false).node_count(0);
    let stack = stack.external_nats("nats://10.0.0.1:4222", None).external_database("postgres://u:p@10.0.0.2/d");
    let stack = stack.env("replicator", "HIGHWATER_X__Y", "1").env("replicator-2", "HIGHWATER_X__Y", "2");
    let stack = stack.prepare().await.unwrap();
    let replicator = stack.env_for("replicator-1").unwrap();
    assert_eq!(replicator["HIGHWATER_NATS__URL"], "nats://10.0.0.1:4222");
    assert_eq!(replicator["HIGHWATER_NODES"], "[]");
    assert!(!replicator.contains_key("HIGHWATER_DATABASE__URL"), "the replicator does not know Postgres");
    assert!(!replicator.contains_key("HIGHWATER_NATS__MONITOR_URL"));
    assert_eq!(replicator["HIGHWATER_X__Y"], "1");
    assert_eq!(stack.env_for("replicator-2").unwrap()["HIGHWATER_X__Y"], "2");
    let projector = stack.env_for("projector").unwrap();
    assert_eq!(projector["HIGHWATER_DATABASE__URL"], "postgres://u:p@10.0.0.2/d");
    assert!(!projector.contains_key("HIGHWATER_NODES"), "the projector does not know S3");
    assert!(stack.env_for("nats").is_err());
    stack.shutdown().await.unwrap();
}
