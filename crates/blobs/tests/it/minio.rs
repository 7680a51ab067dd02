//! One MinIO for all tests of the process; each test has buckets of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use runtime::config::Environment;

pub(crate) const ACCESS_KEY: &str = "highwater";
pub(crate) const SECRET_KEY: &str = "highwater-secret";

struct Minio {
    address: SocketAddr,
    /// Its end of file ends the server, however this process ends.
    _guard: Child,
    _data: tempfile::TempDir,
}

static MINIO: OnceLock<Option<Minio>> = OnceLock::new();

/// The server's address for a test; `None`, and a line about it, when there is no `minio` program. Where CI runs the
/// tests, everything must be there: then the test fails.
pub(crate) fn address(test: &str) -> Option<SocketAddr> {
    let address = MINIO.get_or_init(start).as_ref().map(|minio| minio.address);
    if address.is_none() {
        let reason = "there is no `minio` program on PATH";
        let is_ci = Environment::process().var("CI").is_some_and(|ci| ci == "true");
        assert!(!is_ci, "{test} cannot be skipped in CI: {reason}");
        // Past the capture of the test runner, so that a person sees it and CI counts it.
        std::io::stderr().write_all(format!("\nSKIPPED: {test}: {reason}\n").as_bytes()).unwrap();
    }
    address
}

fn start() -> Option<Minio> {
    Command::new("minio").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    let data = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // The shell outlives nobody: it waits for the end of its input, which comes when this process ends.
    let script = r#"minio server "$1" --address "$2" --quiet >"$1.log" 2>&1 & pid=$!; cat >/dev/null; kill "$pid"; wait; rm -rf "$1" "$1.log""#;
    let guard = Command::new("sh")
        .args(["-c", script, "minio"])
        .arg(data.path())
        .arg(address.to_string())
        .env("MINIO_ROOT_USER", ACCESS_KEY)
        .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
        .env("MINIO_BROWSER", "off")
        .env("MINIO_CI_CD", "1")
        .env("MINIO_API_STALE_UPLOADS_EXPIRY", "216h")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_ready(address) {
        assert!(Instant::now() < deadline, "MinIO is not ready after a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(Minio { address, _guard: guard, _data: data })
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"GET /no-such-bucket/ HTTP/1.1\r\nhost: minio\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    // Its health check says that it is ready a little before it serves: a stranger is refused only when it does.
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 403"))
}
