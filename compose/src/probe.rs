//! Whether a program is ready: asked of the program, never guessed from time.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime::telemetry::READY_WORDS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::servers::postgres::NAME;

/// The longest that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How to ask.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// It listens on nothing, and says in its log `<program> is ready`.
    Log { program: &'static str },
    /// `GET path` answers 200.
    Http { addr: SocketAddr, path: &'static str },
    /// `GET /` answers anything, such as 403.
    Answers { addr: SocketAddr },
    /// It asks for a password instead of saying that it is still starting.
    Postgres { addr: SocketAddr },
    /// `grpc.health.v1.Health/Check` answers SERVING.
    Grpc { addr: SocketAddr },
}

impl Probe {
    /// One attempt; the error says what it found. `said` is what the program has logged since its start.
    pub(crate) async fn attempt(&self, said: &Said<'_>) -> anyhow::Result<()> {
        let attempt = async {
            match self {
                Self::Log { program } => said.is_ready(program),
                Self::Http { addr, path } => {
                    let status = get(*addr, path).await?;
                    ensure!(status == 200, "{path} answers {status}");
                    Ok(())
                }
                Self::Answers { addr } => get(*addr, "/").await.map(|_| ()),
                Self::Postgres { addr } => postgres(*addr).await,
                Self::Grpc { addr } => grpc(*addr).await,
            }
        };
        tokio::time::timeout(ATTEMPT, attempt).await.context("no answer in time")?
    }
}

/// The part of a log that a program has written since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    log: &'a Path,
    from: u64,
}

impl<'a> Said<'a> {
    /// What will be written from now on.
    pub(crate) fn from_now(log: &'a Path) -> Self {
        Self { log, from: log.metadata().map_or(0, |meta| meta.len()) }
    }

    fn is_ready(&self, program: &str) -> anyhow::Result<()> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(self.log)?;
            file.seek(SeekFrom::Start(self.from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().with_context(|| format!("read the log {}", self.log.display()))?;
        let words = format!("{program} {READY_WORDS}");
        let is_ready = String::from_utf8_lossy(&bytes).lines().any(|line| line.contains(&words));
        ensure!(is_ready, "it has not said yet that it is");
        Ok(())
    }
}

/// Sends `GET path` and returns the status.
async fn get(addr: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(addr).await.with_context(|| format!("connect to {addr}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(path).header(header::HOST, addr.to_string()).body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status().as_u16())
}

/// Starts a session and looks at the first byte of the answer: `R` asks for a password, `E` says why not.
async fn postgres(addr: SocketAddr) -> anyhow::Result<()> {
    const PROTOCOL_3_0: u32 = 196_608;
    let mut stream = TcpStream::connect(addr).await.with_context(|| format!("connect to {addr}"))?;
    let mut parameters = Vec::new();
    for word in ["user", NAME, "database", "postgres", ""] {
        parameters.extend_from_slice(word.as_bytes());
        parameters.push(0);
    }
    let length = u32::try_from(parameters.len() + 8).context("the start message is too long")?;
    let mut message = Vec::from(length.to_be_bytes());
    message.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
    message.extend_from_slice(&parameters);
    stream.write_all(&message).await.context("send the start message")?;
    let mut answer = [0_u8; 1];
    stream.read_exact(&mut answer).await.context("read the answer")?;
    match answer[0] {
        b'R' => Ok(()),
        _ => bail!("it is still starting"),
    }
}

/// One health call, written out: an empty `HealthCheckRequest`, and `status: SERVING` as the answer.
async fn grpc(addr: SocketAddr) -> anyhow::Result<()> {
    const EMPTY_MESSAGE: &[u8] = &[0, 0, 0, 0, 0];
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
    let stream = TcpStream::connect(addr).await.with_context(|| format!("connect to {addr}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::post(format!("http://{addr}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(Bytes::from_static(EMPTY_MESSAGE)))?;
    let response = sender.send_request(request).await?;
    let answer = response.into_body().collect().await?.to_bytes();
    ensure!(answer == SERVING, "its health is not SERVING");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_since_the_start_counts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("projector.log");
        assert!(Said::from_now(&log).is_ready("projector").is_err(), "there is no log");
        std::fs::write(&log, "--- started\n INFO ready: projector is ready\n").unwrap();
        let said = Said::from_now(&log);
        assert!(said.is_ready("projector").is_err());
        let more = std::fs::read_to_string(&log).unwrap() + "{\"message\":\"projector is ready\"}\n";
        std::fs::write(&log, more).unwrap();
        assert!(said.is_ready("replicator").is_err());
        said.is_ready("projector").unwrap();
    }
}
