//! `compose` as a user runs it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, ensure};
use tests::{Content, Row, Runner, eventually, signal};
use tokio::process::Command;

use crate::shapes::Redact;

const ALL: [&str; 9] =
    ["postgres", "nats", "node-a", "node-b", "node-c", "projector", "replicator-1", "replicator-2", "gateway"];

fn pids(rows: &[Row]) -> Vec<u32> {
    rows.iter().filter_map(|row| row.pid).collect()
}

/// Waits until a program has this state.
async fn becomes(runner: &Runner, name: &str, state: &str) -> Row {
    eventually(&format!("{name} is {state}"), async || {
        let row = runner.row(name)?;
        ensure!(row.state == state, "{row:?}");
        anyhow::Ok(row)
    })
    .await
}

/// The ports as offsets from the first, and the data.
fn redact(runner: &Runner) -> Redact {
    let ports = (0..7).map(|offset| (format!("127.0.0.1:{}", runner.port(offset)), format!("127.0.0.1:<+{offset}>")));
    Redact::of(ports.chain([(runner.data().display().to_string(), "<data>".to_owned())]))
}

/// Where these programs listen, by what the system says of their sockets.
fn listening(pids: &[u32]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut inodes = BTreeSet::new();
    for pid in pids {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(|file| file.ok()?.path().read_link().ok());
        let sockets = files.filter_map(|file| file.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inodes.extend(sockets.collect::<Vec<u64>>());
    }
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A is LISTEN.
        if fields[3] != "0A" || !inodes.contains(&fields[9].parse().ok()?) {
            return None;
        }
        let (ip, port) = fields[1].split_once(':')?;
        // Words of four bytes, each as a number of this machine.
        let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
        let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
        let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
        let ip = v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()?;
        Some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
    };
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(parse));
    }
    Ok(found)
}

/// What `ps --json` says of a stack that is up.
fn check_rows(runner: &Runner) -> anyhow::Result<()> {
    let rows = runner.rows()?;
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ALL, "servers first");
    let data = runner.data().canonicalize()?;
    let http = |offset| format!("http://127.0.0.1:{}", runner.port(offset));
    for row in &rows {
        assert_eq!(row.state, "running", "{row:?}");
        ensure!(row.log == data.join("logs").join(format!("{}.log", row.name)) && row.log.is_file(), "{row:?}");
        let (addresses, credentials): (Vec<String>, &[&str]) = match row.name.as_str() {
            "gateway" => (vec![http(0)], &[]),
            "nats" => (vec![format!("nats://127.0.0.1:{}", runner.port(1)), http(2)], &[]),
            "postgres" => (vec![format!("postgres://127.0.0.1:{}/highwater", runner.port(3))], &["password", "user"]),
            "node-a" => (vec![http(4)], &["access_key", "bucket", "secret_key"]),
            "node-b" => (vec![http(5)], &["access_key", "bucket", "secret_key"]),
            "node-c" => (vec![http(6)], &["access_key", "bucket", "secret_key"]),
            _ => (vec![], &[]),
        };
        assert_eq!(row.addresses, addresses, "{row:?}");
        assert_eq!(row.credentials.keys().map(String::as_str).collect::<Vec<_>>(), credentials, "{row:?}");
        ensure!(row.credentials.values().all(|value| !value.is_empty()), "{row:?}");
        let is_server = row.name == "postgres" || row.name == "nats" || row.name.starts_with("node-");
        ensure!(row.data.is_some() == is_server && row.data.iter().all(|dir| dir.is_dir()), "{row:?}");
    }
    let mut pids = pids(&rows);
    let listening = listening(&pids)?;
    ensure!(listening.iter().all(|address| address.ip() == Ipv4Addr::LOCALHOST), "{listening:?}");
    for port in (0..7).map(|offset| runner.port(offset)) {
        ensure!(listening.iter().any(|address| address.port() == port), "nobody listens on {port}: {listening:?}");
    }
    pids.dedup();
    assert_eq!(pids.len(), ALL.len(), "each program has a pid");
    Ok(())
}

/// `stop` and `kill` end a program for good, `start` brings it back.
async fn check_stop_and_kill(runner: &Runner) -> anyhow::Result<()> {
    let before = runner.row("node-b")?;
    runner.must(&["stop", "node-b"])?;
    let stopped = runner.row("node-b")?;
    assert_eq!((stopped.state.as_str(), stopped.pid), ("stopped", None));
    runner.must(&["stop", "node-b"]).context("a second stop changes nothing")?;
    runner.must(&["start", "node-b"])?;
    let started = runner.row("node-b")?;
    ensure!(started.state == "running" && started.pid.is_some() && started.pid != before.pid, "{started:?}");
    runner.must(&["start", "node-b"]).context("a second start changes nothing")?;
    assert_eq!(runner.row("node-b")?.pid, started.pid);

    let before = runner.row("replicator-1")?;
    runner.must(&["kill", "replicator-1"])?;
    let killed = runner.row("replicator-1")?;
    assert_eq!((killed.state.as_str(), killed.pid), ("killed", None));
    // Neither is started again by itself; what ended by itself is, and that one comes later.
    signal("KILL", runner.row("replicator-2")?.pid.context("no pid")?.into())?;
    becomes(runner, "replicator-2", "exited").await;
    becomes(runner, "replicator-2", "running").await;
    assert_eq!(runner.row("replicator-1")?.state, "killed");
    runner.must(&["start", "replicator-1"])?;
    ensure!(runner.row("replicator-1")?.pid != before.pid);
    Ok(())
}

/// A paused program is frozen and not gone.
async fn check_pause(runner: &Runner) -> anyhow::Result<()> {
    let before = runner.row("gateway")?;
    runner.must(&["pause", "gateway"])?;
    let paused = runner.row("gateway")?;
    assert_eq!((paused.state.as_str(), paused.pid), ("paused", before.pid));
    let status = std::fs::read_to_string(format!("/proc/{}/stat", before.pid.context("no pid")?));
    ensure!(status.map_or(true, |stat| stat.contains(") T ")), "it is not frozen");
    let why = runner.refused(&["start", "gateway"], 1)?;
    ensure!(why.contains("gateway is paused"), "{why}");
    runner.must(&["resume", "gateway"])?;
    assert_eq!(runner.row("gateway")?, before);
    let mut client = runner.client_after("b", Content::new(2, 1000)).await;
    assert_eq!(client.get("b").await?, Content::new(2, 1000).bytes());
    Ok(())
}

fn check_logs_and_scale(runner: &Runner) -> anyhow::Result<()> {
    let log = runner.must(&["logs", "gateway"])?;
    ensure!(log.starts_with("--- started\n") && log.contains("listening on"), "{log}");
    let end = runner.must(&["logs", "gateway", "-n", "2"])?;
    ensure!(end.lines().count() == 2 && log.lines().count() > 2, "{end}");
    let why = runner.refused(&["logs", "nobody"], 1)?;
    ensure!(why.contains("there is no log of `nobody`"), "{why}");

    let replicators = || -> anyhow::Result<Vec<String>> {
        Ok(runner.rows()?.into_iter().map(|row| row.name).filter(|name| name.starts_with("replicator-")).collect())
    };
    runner.must(&["scale", "replicator=3"])?;
    assert_eq!(replicators()?, ["replicator-1", "replicator-2", "replicator-3"]);
    assert_eq!(runner.row("replicator-3")?.state, "running");
    let third = runner.row("replicator-3")?;
    runner.must(&["scale", "replicator=1"])?;
    assert_eq!(replicators()?, ["replicator-1"]);
    ensure!(!std::path::Path::new(&format!("/proc/{}", third.pid.context("no pid")?)).exists(), "it still runs");
    for args in [["scale", "gateway=2"], ["scale", "replicator=many"], ["nonsense", "x"]] {
        let why = runner.refused(&args, 64)?;
        ensure!(why.starts_with("error: "), "{why}");
    }
    for verb in ["stop", "start", "kill", "pause", "resume"] {
        let why = runner.refused(&[verb, "nobody"], 1)?;
        ensure!(why.contains("no program `nobody` here") && why.contains("node-a"), "{verb}: {why}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_do_what_they_say() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    let why = runner.refused(&["ps"], 1)?;
    ensure!(why.lines().count() == 1 && why.contains("nothing runs on"), "{why}");
    let redact = redact(&runner);
    insta::assert_snapshot!("ps_nothing_runs", redact.lines(runner.refused(&["ps", "--json"], 1)?.as_bytes())?);
    insta::assert_snapshot!("ps_usage", redact.lines(runner.refused(&["ps", "--json", "--all"], 64)?.as_bytes())?);
    runner.up(&ALL).await?;
    runner.client_after("a", Content::new(1, 1000)).await;
    check_rows(&runner)?;
    insta::assert_snapshot!("ps", redact.lines(runner.must(&["ps", "--json"])?.as_bytes())?);
    let table = runner.must(&["ps"])?;
    ensure!(table.lines().count() == ALL.len() + 1 && ALL.iter().all(|name| table.contains(name)), "{table}");
    check_stop_and_kill(&runner).await?;
    check_pause(&runner).await?;
    check_logs_and_scale(&runner)?;
    let pids = pids(&runner.rows()?);
    runner.must(&["down"])?;
    assert_eq!(runner.ended().await?.code(), Some(0), "{}", runner.up_said());
    runner.nothing_left(&pids).await;
    ensure!(runner.data().is_dir(), "down keeps the data");
    let why = runner.refused(&["down"], 1)?;
    ensure!(why.contains("nothing runs on"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_the_same_data_is_refused() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    runner.up(&ALL).await?;
    let before = runner.rows()?;
    let why = runner.refused(&["up"], 1)?;
    let holder = format!("(pid {})", runner.up_pid()?);
    ensure!(why.lines().count() == 1 && why.contains("is in use by") && why.contains(&holder), "{why}");
    assert_eq!(runner.rows()?, before, "the first one is not disturbed");

    // Other data on the same ports: a line for each port, each naming its holder.
    let other = runner.folder().join("other").display().to_string();
    let why = runner.refused(&["--data", &other, "up"], 1)?;
    for (offset, name) in
        ["gateway", "nats", "nats-monitor", "postgres", "node-a", "node-b", "node-c"].iter().enumerate()
    {
        let port = runner.port(u16::try_from(offset)?);
        let holder = before.iter().find(|row| name.starts_with(row.name.as_str())).context("no row")?;
        let start = format!("port {port} ({name}) is taken by ");
        let line = why.lines().find(|line| line.contains(&start)).with_context(|| why.clone())?;
        ensure!(line.contains(&format!("(pid {})", holder.pid.context("no pid")?)), "{line}");
        ensure!(line.contains("HIGHWATER_PORT_BASE"), "{line}");
    }
    assert_eq!(why.lines().count(), 7, "{why}");
    runner.must(&["down"])?;
    assert_eq!(runner.ended().await?.code(), Some(0));
    runner.nothing_left(&pids(&before)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_taken_port_is_one_line_and_nothing_is_started() -> anyhow::Result<()> {
    let runner = Runner::new()?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, runner.port(5)))?;
    let why = runner.refused(&["up"], 1)?;
    let start = format!("port {} (node-b) is taken by ", runner.port(5));
    ensure!(why.lines().count() == 1 && why.contains(&start), "{why}");
    ensure!(why.contains(&format!("(pid {})", std::process::id())), "{why}");
    runner.nothing_left(&[]).await;
    drop(taken);
    // Bad flags and values are told apart from that.
    for args in
        [["up", "--nonsense"], ["up", "--port-base=70000"], ["up", "--nodes=tape"], ["up", "--nodes-file=/none"]]
    {
        runner.refused(&args, 64).with_context(|| args[1])?;
    }
    let help = runner.must(&["--help"])?;
    for verb in ["up", "down", "reset", "ps", "stop", "start", "kill", "pause", "resume", "logs", "scale"] {
        ensure!(help.contains(&format!("  {verb} ")), "{verb}: {help}");
    }
    ensure!(!help.contains("guard"), "{help}");
    for line in ["  +0  gateway", "  +4  node-a", "  64  a bad flag", "  70  a part of this program died"] {
        ensure!(help.contains(line), "{line}: {help}");
    }
    let why = runner.env("INSTALL", "maybe").refused(&["up"], 64)?;
    ensure!(why.lines().count() == 1 && why.contains("maybe") && why.contains("yes or no"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_all_and_keeps_the_data_until_reset() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    let content = Content::new(1, 9 * 1024 * 1024);
    runner.up(&ALL).await?;
    runner.client_after("kept", content).await;
    let said = runner.up_said();
    for word in [format!("http://127.0.0.1:{}", runner.port(0)), "highwater put".to_owned(), "compose ps".to_owned()] {
        ensure!(said.contains(&word), "{word}: {said}");
    }
    let pids = pids(&runner.rows()?);
    // What is to be pasted into another terminal, with its blanks.
    std::fs::write(runner.folder().join("README.md"), "read")?;
    let pasted = said.lines().skip_while(|line| !line.starts_with("  export ")).take_while(|line| !line.is_empty());
    let [exports, pasted @ ..] = &pasted.collect::<Vec<_>>()[..] else { anyhow::bail!("{said}") };
    ensure!(pasted.len() > 6, "{said}");
    for line in pasted {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("{exports}\n{line}")])
            .current_dir(runner.folder())
            .stdin(std::process::Stdio::null());
        // A file may not be in the catalog at once.
        eventually(line, async || {
            let done = shell.output()?;
            ensure!(done.status.success(), "{}: {}", done.status, tests::said(&done));
            anyhow::Ok(())
        })
        .await;
    }
    assert_eq!(std::fs::read(runner.folder().join("copy.md"))?, b"read");
    // As the terminal does it: to everything in the foreground.
    signal("INT", -i64::from(runner.up_pid()?))?;
    assert_eq!(runner.ended().await?.code(), Some(0), "{}", runner.up_said());
    runner.nothing_left(&pids).await;

    runner.up(&ALL).await?;
    let mut client = runner.client_after("new", Content::new(2, 1000)).await;
    assert_eq!(client.get("kept").await?, content.bytes());
    let pids = self::pids(&runner.rows()?);
    let elsewhere = runner.row("postgres")?.data.context("no data")?;
    runner.must(&["reset"])?;
    assert_eq!(runner.ended().await?.code(), Some(0), "{}", runner.up_said());
    runner.nothing_left(&pids).await;
    ensure!(!runner.data().exists() && !elsewhere.exists(), "data are left");
    runner.must(&["reset"]).context("nothing to delete is no failure")?;
    let precious = runner.folder().join("precious");
    std::fs::create_dir(&precious)?;
    std::fs::write(precious.join("file"), "x")?;
    let why = runner.refused(&["--data", &precious.display().to_string(), "reset"], 1)?;
    ensure!(why.contains("nothing deleted") && precious.join("file").exists(), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_leaves_no_process_and_the_data_stay_good() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    let content = Content::new(1, 100_000);
    runner.up(&ALL).await?;
    runner.client_after("kept", content).await;
    let rows = runner.rows()?;
    // A frozen one must end as well.
    runner.must(&["pause", "node-c"])?;
    signal("KILL", runner.up_pid()?.into())?;
    ensure!(!runner.ended().await?.success());
    let why = runner.refused(&["ps"], 1)?;
    ensure!(why.contains("nothing runs on"), "{why}");
    // Without waiting: the next one does.
    runner.up(&ALL).await?;
    let mut client = runner.client_after("new", content).await;
    assert_eq!(client.get("kept").await?, content.bytes());
    let again = runner.rows()?;
    ensure!(rows.iter().zip(&again).all(|(old, new)| old.name == new.name && old.pid != new.pid), "{rows:?} {again:?}");
    signal("KILL", runner.up_pid()?.into())?;
    runner.ended().await?;
    runner.nothing_left(&[pids(&rows), pids(&again)].concat()).await;
    for offset in 0..7 {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, runner.port(offset)));
        ensure!(bound.is_ok(), "port {} is not free: {bound:?}", runner.port(offset));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_goes_on() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    runner.up(&ALL).await?;
    let out = runner.folder().join("followed");
    let mut follower = Command::new(tests::program("compose"))
        .args(["--data", &runner.data().display().to_string(), "logs", "projector", "--follow", "-n", "1"])
        .stdout(std::fs::File::create(&out)?)
        .kill_on_drop(true)
        .spawn()?;
    let lines = |least: usize| {
        let out = out.clone();
        async move {
            eventually("the log is shown", async || {
                let text = std::fs::read_to_string(&out)?;
                ensure!(text.lines().count() >= least, "{text}");
                anyhow::Ok(text)
            })
            .await
        }
    };
    assert_eq!(lines(1).await.lines().count(), 1, "one line of what was there");
    runner.must(&["stop", "projector"])?;
    let log = runner.must(&["logs", "projector"])?;
    let text = eventually("what came is shown", async || {
        let text = std::fs::read_to_string(&out)?;
        ensure!(text.lines().last() == log.lines().last(), "{text}");
        anyhow::Ok(text)
    })
    .await;
    ensure!(log.ends_with(&text) && text.lines().count() > 1, "{text}");
    follower.kill().await?;
    runner.must(&["down"])?;
    assert_eq!(runner.ended().await?.code(), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_is_started_again_whatever_another_one_waits_for() -> anyhow::Result<()> {
    let mut runner = Runner::new()?;
    runner.up(&ALL).await?;
    runner.client_after("a", Content::new(1, 1000)).await;
    // Without the journal a gateway does not get ready: its start goes on until NATS is back.
    runner.must(&["stop", "nats"])?;
    for name in ["gateway", "node-c"] {
        signal("KILL", runner.row(name)?.pid.context("no pid")?.into())?;
        becomes(&runner, name, "exited").await;
        becomes(&runner, name, "running").await;
    }
    let said = runner.up_said();
    ensure!(!said.contains("gateway runs again") && !said.contains("could not be started again"), "{said}");
    runner.must(&["start", "nats"])?;
    runner.client_after("b", Content::new(2, 1000)).await;
    runner.must(&["down"])?;
    assert_eq!(runner.ended().await?.code(), Some(0));
    Ok(())
}
