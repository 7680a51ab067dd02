//! The program `compose` as a user runs it: with a data directory and ports of its own, everything else by its command
//! line.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use anyhow::{Context as _, bail, ensure};
use runtime::config::Environment;
use serde::Deserialize;
use tempfile::TempDir;

use crate::{Client, Content, eventually, node_kind, program, said};

/// Ports that `HIGHWATER_PORT_BASE` moves, and one more, which marks a block of them as this test's: above those that
/// clusters of other tests get, below those of outgoing connections. compose's own tests have the same blocks.
const BLOCK: u16 = 8;
const BLOCKS: std::ops::Range<u16> = 3_875..4_095;

/// A data directory, a block of ports, and the `compose up` on them.
#[derive(Debug)]
pub struct Runner {
    folder: TempDir,
    base: u16,
    env: BTreeMap<String, String>,
    up: Option<Child>,
    _claim: TcpListener,
}

/// A line of `ps --json`, with exactly the fields that it promises.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub name: String,
    pub pid: Option<u32>,
    pub state: String,
    pub addresses: Vec<String>,
    pub log: PathBuf,
    pub data: Option<PathBuf>,
    pub credentials: BTreeMap<String, String>,
}

impl Runner {
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("highwater runner-").tempdir()?;
        // Postgres runs as another user when the tests run as root, and has to pass through.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let (base, claim) = claim()?;
        let process = Environment::process();
        let kept = ["PATH", "HOME", "TMPDIR", "LANG", "LLVM_PROFILE_FILE"];
        let mut env: BTreeMap<String, String> =
            kept.iter().filter_map(|name| Some(((*name).to_owned(), process.var(name)?.to_owned()))).collect();
        env.insert("HIGHWATER_DATA".to_owned(), folder.path().join("data").display().to_string());
        env.insert("HIGHWATER_PORT_BASE".to_owned(), base.to_string());
        env.insert("NODES".to_owned(), node_kind().name().to_owned());
        env.insert("INSTALL".to_owned(), "no".to_owned());
        Ok(Self { folder, base, env, up: None, _claim: claim })
    }

    /// One more environment variable for every `compose` from now on.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port of `offset`: 0 the gateway, 1 NATS, 2 its monitor, 3 Postgres, from 4 on the nodes.
    pub fn port(&self, offset: u16) -> u16 {
        self.base + offset
    }

    pub fn gateway(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base))
    }

    /// Runs `compose` to its end.
    pub fn compose(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.command(args).stdin(Stdio::null()).output().context("run compose")
    }

    /// Runs `compose` to its end, which must be a good one, and answers what it printed.
    pub fn must(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.compose(args)?;
        ensure!(output.status.success(), "compose {args:?} ended with {}: {}", output.status, said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `compose` to its end, which must be a failure with this code and one sentence, and answers that.
    pub fn refused(&self, args: &[&str], code: i32) -> anyhow::Result<String> {
        let output = self.compose(args)?;
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "compose {args:?} ended with {}: {said}", output.status);
        Ok(said)
    }

    /// Starts `compose up` as from a terminal, and waits until everything it starts is running and answers.
    pub async fn up(&mut self, names: &[&str]) -> anyhow::Result<()> {
        ensure!(self.up.is_none(), "it is up");
        let output = |name: &str| File::options().create(true).append(true).open(self.folder.path().join(name));
        let mut command = self.command(&["up"]);
        command.stdin(Stdio::null()).stdout(output("up.out")?).stderr(output("up.err")?).process_group(0);
        let times_up = |said: &str| said.matches("Highwater is up").count();
        let before = times_up(&self.up_said());
        self.up = Some(command.spawn().context("start compose up")?);
        eventually("everything runs", async || {
            if let Some(status) = self.up.as_mut().context("it is not up")?.try_wait()? {
                panic!("compose up ended with {status}: {}", self.up_said());
            }
            let rows = self.rows()?;
            let found: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            ensure!(names.iter().all(|name| found.contains(name)), "{found:?}: {}", self.up_said());
            ensure!(rows.iter().all(|row| row.state == "running"), "{rows:?}");
            Client::connect(self.gateway()).await?;
            // From here on what ends is started again, and does not end the runner.
            ensure!(times_up(&self.up_said()) > before, "it is not up: {}", self.up_said());
            Ok(())
        })
        .await;
        Ok(())
    }

    /// Everything that `compose up` printed for people.
    pub fn up_said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("up.out") + &read("up.err")
    }

    /// The pid of the running `compose up`.
    pub fn up_pid(&self) -> anyhow::Result<u32> {
        Ok(self.up.as_ref().context("it is not up")?.id())
    }

    /// Waits until `compose up` has ended.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.up.take().context("it is not up")?;
        let status = eventually("compose up has ended", async || match child.try_wait()? {
            Some(status) => anyhow::Ok(status),
            None => bail!("{}", self.up_said()),
        });
        Ok(status.await)
    }

    /// `ps --json`.
    pub fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let printed = self.must(&["ps", "--json"])?;
        printed.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    pub fn row(&self, name: &str) -> anyhow::Result<Row> {
        self.rows()?.into_iter().find(|row| row.name == name).with_context(|| format!("no row {name}"))
    }

    /// A client of the running gateway, once it takes uploads: the first of them is `path`.
    pub async fn client_after(&self, path: &str, content: Content) -> Client {
        eventually("the gateway takes uploads", async || {
            let mut client = Client::connect(self.gateway()).await?;
            client.put(path, content).await?;
            anyhow::Ok(client)
        })
        .await
    }

    /// Waits until neither these programs nor anything else that knows the data directory is left.
    pub async fn nothing_left(&self, pids: &[u32]) {
        let data = self.data().display().to_string();
        eventually("no process is left", async || {
            let left: Vec<u32> = pids.iter().copied().filter(|pid| lives(*pid)).collect();
            ensure!(left.is_empty(), "pids {left:?}");
            let of_data = command_lines().into_iter().filter(|line| line.contains(&data)).collect::<Vec<_>>();
            ensure!(of_data.is_empty(), "{of_data:?}");
            Ok(())
        })
        .await;
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("compose"));
        command.args(args).env_clear().envs(&self.env).current_dir(self.folder.path());
        command
    }
}

impl Drop for Runner {
    /// Leaves nothing behind when a test failed; one that passes has stopped everything itself.
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            // Its guards end the programs.
            let _ = up.kill();
            let _ = up.wait();
            eprintln!("--- compose up\n{}", self.up_said());
        }
        if self.data().exists() {
            let _ = self.compose(&["reset"]);
        }
    }
}

/// Sends a signal, such as `INT`, to a process; to its whole group as a terminal does it when `pid` is negative.
pub fn signal(name: &str, pid: i64) -> anyhow::Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} -- {pid}")]).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

/// Takes a block of ports that are all free; its last one stays bound as long as the block is taken.
fn claim() -> anyhow::Result<(u16, TcpListener)> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // Tests that run at once begin to look at different places.
    let blocks = BLOCKS.end - BLOCKS.start;
    let start = rand::random_range(0..blocks);
    for n in 0..blocks {
        let base = (BLOCKS.start + (start + n) % blocks) * BLOCK;
        let Ok(claim) = bind(base + BLOCK - 1) else { continue };
        if (base..base + BLOCK - 1).all(|port| bind(port).is_ok()) {
            return Ok((base, claim));
        }
    }
    bail!("no {BLOCK} free ports in a row");
}

/// Whether a process is there and not just waiting to be buried.
fn lives(pid: u32) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        return state != Some('Z');
    }
    let asked = Command::new("sh").args(["-c", &format!("kill -0 {pid}")]).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// The command lines of all processes, where the system shows them.
fn command_lines() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let lines = entries.filter_map(Result::ok).filter_map(read);
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}
