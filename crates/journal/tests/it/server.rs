//! A nats-server of one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server is configured, above all: whether it fsyncs before it acknowledges.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sync {
    Always,
    Default,
    /// And takes at most ten messages in a batch.
    AlwaysSmallBatches,
}

/// Killed on drop, with its data.
#[derive(Debug)]
pub(crate) struct Server {
    dir: TempDir,
    child: Child,
    pub(crate) url: String,
    pub(crate) monitor_url: String,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// Polls until `probe` gives something: how these tests wait.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(Sync::Always).await
    }

    pub(crate) async fn start_with(sync: Sync) -> Result<Self> {
        let dir = TempDir::with_prefix("journal-test-")?;
        let mut child = spawn(&dir, "127.0.0.1:-1", "127.0.0.1:-1", sync)?;
        let ports = ports(&dir, &mut child).await?;
        let (Some(url), Some(monitor_url)) = (ports.nats.first(), ports.monitoring.first()) else {
            bail!("nats-server names no ports");
        };
        let server = Self { url: url.clone(), monitor_url: monitor_url.clone(), dir, child };
        server.ready().await;
        Ok(server)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`], on the same ports and data.
    pub(crate) async fn restart(&mut self, sync: Sync) -> Result<()> {
        let (url, monitor) = (address(&self.url), address(&self.monitor_url));
        self.child = spawn(&self.dir, &url, &monitor, sync)?;
        self.ready().await;
        Ok(())
    }

    /// Removes all that the server knew; to be called while it is stopped.
    pub(crate) fn wipe(&self) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.path().join("data"))?)
    }

    /// Keeps a copy of all that the server knows; to be called while it is stopped.
    pub(crate) fn back_up(&self) -> Result<TempDir> {
        let backup = TempDir::with_prefix("journal-test-")?;
        copy(&self.dir.path().join("data"), &backup.path().join("data"))?;
        Ok(backup)
    }

    /// Puts a copy back; to be called while it is stopped.
    pub(crate) fn restore(&self, backup: &TempDir) -> Result<()> {
        self.wipe()?;
        copy(&backup.path().join("data"), &self.dir.path().join("data"))
    }

    async fn ready(&self) {
        let address = address(&self.url);
        eventually("nats-server listens", async || tokio::net::TcpStream::connect(&address).await.ok()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.kill();
    }
}

fn spawn(dir: &TempDir, listen: &str, http: &str, sync: Sync) -> Result<Child> {
    let sync = match sync {
        Sync::Always => "sync_interval: always",
        Sync::Default => "",
        Sync::AlwaysSmallBatches => "sync_interval: always\n  limits { batch { max_msgs: 10 } }",
    };
    let root = dir.path().display();
    let config = format!(
        "listen: \"{listen}\"\nhttp: \"{http}\"\nports_file_dir: \"{root}\"\njetstream {{\n  store_dir: \"{root}/data\"\n  {sync}\n}}\n"
    );
    let file = dir.path().join("nats.conf");
    std::fs::write(&file, config)?;
    let log = std::fs::File::create(dir.path().join("nats.log"))?;
    Command::new("nats-server")
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("run nats-server: install 2.15.1 or newer with `go install github.com/nats-io/nats-server/v2@v2.15.1` and put it on PATH")
}

async fn ports(dir: &TempDir, child: &mut Child) -> Result<Ports> {
    let file: PathBuf = dir.path().join(format!("nats-server_{}.ports", child.id()));
    let read = async || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = std::fs::read_to_string(dir.path().join("nats.log"));
            return Some(Err(anyhow!("nats-server ended ({status}): {}", log.unwrap_or_default())));
        }
        serde_json::from_slice(&std::fs::read(&file).ok()?).ok().map(Ok)
    };
    eventually("nats-server tells its ports", read).await
}

fn address(url: &str) -> String {
    url.rsplit('/').next().unwrap_or_default().to_owned()
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
