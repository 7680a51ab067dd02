//! How a second `compose` talks to the one that is `up`: a line of JSON each way over a Unix socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Stack;
use crate::data::{self, make_dir, write_private};

/// Longer socket paths are refused by some systems.
const LONGEST_PATH: usize = 100;

/// The longest request or answer.
const LONGEST_LINE: u64 = 1024 * 1024;

/// What can be asked of a running stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(crate) enum Request {
    /// The table of programs.
    Ps,
    /// A verb on one program.
    Stop {
        name: String,
    },
    Start {
        name: String,
    },
    Kill {
        name: String,
    },
    Pause {
        name: String,
    },
    Resume {
        name: String,
    },
    /// How many replicators shall run.
    Scale {
        replicators: usize,
    },
    /// The end of it all.
    Down,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Value),
    Failed(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody has the data directory.
    #[error("nothing runs on {}: `compose up` (or `make up`) starts it", .0.display())]
    NothingRuns(PathBuf),
    /// The run did not do what it was asked for.
    #[error("{0}")]
    Refused(String),
}

/// The socket that `up` listens on.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Binds the socket of a data directory that this process holds; what a killed run left is replaced.
    pub(crate) fn bind(root: &Path) -> anyhow::Result<Self> {
        let path = choose_path(root)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("replace {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .context("close the socket to others")?;
        write_private(&record_path(root), path.as_os_str().as_encoded_bytes())?;
        Ok(Self { listener, path })
    }

    /// Answers until dropped. `down` is cancelled when somebody asks for the end.
    pub(crate) async fn serve(&self, stack: &Stack, down: &CancellationToken) -> anyhow::Error {
        let mut talks = JoinSet::new();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => return anyhow::Error::from(error).context("take a connection on the control socket"),
            };
            let (stack, down) = (stack.clone(), down.clone());
            talks.spawn(async move {
                // A client that went away is its own business.
                let _ = talk(stream, &stack, &down).await;
            });
            while talks.try_join_next().is_some() {}
        }
    }

    /// Removes the socket. Not needed for correctness: the next run replaces it.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the run that has this data directory.
pub(crate) async fn ask(root: &Path, request: &Request) -> anyhow::Result<Value> {
    let Some(holder) = data::holder(root) else {
        bail!(Error::NothingRuns(root.to_path_buf()));
    };
    let path = std::fs::read_to_string(record_path(root)).with_context(|| format!("{holder} has no control socket"))?;
    let mut stream = UnixStream::connect(&path).await.with_context(|| format!("connect to {holder} over {path}"))?;
    let mut line = serde_json::to_vec(request).context("write the request")?;
    line.push(b'\n');
    stream.write_all(&line).await.context("send the request")?;
    let answer = read_line(&mut stream).await.with_context(|| format!("read the answer of {holder}"))?;
    match serde_json::from_str(&answer).with_context(|| format!("{holder} ended before it answered"))? {
        Answer::Done(value) => Ok(value),
        Answer::Failed(reason) => bail!(Error::Refused(reason)),
    }
}

async fn talk(mut stream: UnixStream, stack: &Stack, down: &CancellationToken) -> anyhow::Result<()> {
    let line = read_line(&mut stream).await?;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match carry_out(&request, stack, down).await {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Failed(format!("{error:#}")),
        },
        Err(error) => Answer::Failed(format!("cannot read the request: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(())
}

async fn carry_out(request: &Request, stack: &Stack, down: &CancellationToken) -> anyhow::Result<Value> {
    match request {
        // Each row as the text that `ps --json` prints, so that its fields keep their order.
        Request::Ps => {
            let rows: Result<Vec<String>, _> = stack.ps().iter().map(serde_json::to_string).collect();
            return serde_json::to_value(rows.context("write the table")?).context("write the table");
        }
        Request::Stop { name } => stack.stop(name).await?,
        Request::Start { name } => stack.start(name).await?,
        Request::Kill { name } => stack.kill(name).await?,
        Request::Pause { name } => stack.pause(name).await?,
        Request::Resume { name } => stack.resume(name).await?,
        Request::Scale { replicators } => stack.scale(*replicators).await?,
        Request::Down => down.cancel(),
    }
    Ok(Value::Null)
}

async fn read_line(stream: &mut UnixStream) -> anyhow::Result<String> {
    let mut line = String::new();
    let mut limited = BufReader::new(stream).take(LONGEST_LINE);
    limited.read_line(&mut line).await?;
    ensure!(line.ends_with('\n'), "the line has no end");
    Ok(line)
}

/// In the data directory when its path is short enough, else in a private folder of the system's temporary one.
fn choose_path(root: &Path) -> anyhow::Result<PathBuf> {
    let usual = root.join("run/control.sock");
    if usual.as_os_str().len() <= LONGEST_PATH {
        return Ok(usual);
    }
    let folder = std::env::temp_dir().join(format!("highwater-control-{}", rustix::process::geteuid().as_raw()));
    make_dir(&folder, 0o700)?;
    let name = hex::encode(&Sha256::digest(root.as_os_str().as_encoded_bytes())[..8]);
    Ok(folder.join(format!("{name}.sock")))
}

fn record_path(root: &Path) -> PathBuf {
    root.join("run/control")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_small_json_objects() {
        let request = Request::Stop { name: "node-a".to_owned() };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"verb":"stop","name":"node-a"}"#);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"verb":"scale","replicators":3}"#).unwrap(),
            Request::Scale { replicators: 3 }
        );
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let deep = PathBuf::from("/").join("x".repeat(120));
        assert!(choose_path(&deep).unwrap().as_os_str().len() <= LONGEST_PATH);
        assert_eq!(choose_path(Path::new("/d")).unwrap(), Path::new("/d/run/control.sock"));
    }
}
