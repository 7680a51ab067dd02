//! A NATS server beside the cluster's, with a configuration of the test's own.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::eventually;

/// A running nats-server; ended when dropped.
#[derive(Debug)]
pub struct Nats {
    pub url: String,
    pub monitor_url: String,
    _child: Child,
    _dir: TempDir,
}

impl Nats {
    /// Starts a server on free ports. `$DIR` in the configuration becomes a folder of its own.
    pub async fn start(config: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = dir.path().join("store").display().to_string();
        let path = dir.path().join("nats.conf");
        std::fs::write(&path, config.replace("$DIR", &format!("{store:?}")))?;
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1"])
            .arg("--config")
            .arg(&path)
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start nats-server")?;
        let ports = eventually("nats-server has written its ports", async || {
            let file = std::fs::read_dir(dir.path())?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .find(|path| path.extension().is_some_and(|ending| ending == "ports"))
                .context("no file yet")?;
            let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
            ensure!(ports["nats"][0].is_string() && ports["monitoring"][0].is_string(), "{ports}");
            anyhow::Ok(ports)
        })
        .await;
        let url = |kind: &str| ports[kind][0].as_str().unwrap_or_default().to_owned();
        Ok(Self { url: url("nats"), monitor_url: url("monitoring"), _child: child, _dir: dir })
    }
}
