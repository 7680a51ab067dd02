//! The connection to the gateway.

use std::time::Duration;

use proto::v1::files_client::FilesClient;
use proto::v1::operations_client::OperationsClient;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::exit::Failure;

/// HTTP/2's own 64 KiB would cap a stream at about 1 MB/s over 64 ms of distance.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Larger frames cost less per byte.
const FRAME_BYTES: u32 = 1024 * 1024;
const HEADER_LIST_BYTES: u32 = 64 * 1024;
/// A page of 10,000 files with the longest paths fits.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A gateway that vanished without a word is noticed after interval and timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Both services of the gateway, over one connection that comes back by itself.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Files.
    pub(crate) files: FilesClient<Channel>,
    /// What the system is doing.
    pub(crate) operations: OperationsClient<Channel>,
}

// === impl Client ===

impl Client {
    /// Connects, so that a gateway that is not there is known before anything is read or asked.
    pub(crate) async fn connect(addr: &str) -> Result<Self, Failure> {
        let uri = parse(addr)?;
        let shown = uri.to_string().trim_end_matches('/').to_owned();
        let channel = endpoint(uri).connect().await.map_err(|error| Failure::unreachable(&shown, &error))?;
        Ok(Self {
            files: FilesClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES),
            operations: OperationsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES),
        })
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")))
        .expect("the name and version are plain ASCII")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .http2_adaptive_window(false)
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

fn parse(addr: &str) -> Result<Uri, Failure> {
    let full = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
    let wrong = |problem: &str| Failure::usage(format!("the gateway's address {addr:?} {problem}"));
    let uri: Uri = full.parse().map_err(|_| wrong("is not a URL such as http://127.0.0.1:7420"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong("asks for https, which is not supported; put a tunnel in between")),
        _ => return Err(wrong("does not start with http://")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("has no host"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(wrong("has more after the port"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_http() {
        assert_eq!(parse("127.0.0.1:7420").unwrap().to_string(), "http://127.0.0.1:7420/");
        assert_eq!(parse("http://[::1]:7420/").unwrap().to_string(), "http://[::1]:7420/");
        assert_eq!(parse("gateway").unwrap().to_string(), "http://gateway/");
    }

    #[test]
    fn other_addresses_are_wrong_usage() {
        for addr in ["", "http://", "https://a:1", "ftp://a", "http://a:1/x", "http://a:1/?x", "a b"] {
            let failure = parse(addr).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage, "{addr:?}");
            assert!(failure.message.starts_with("the gateway's address"), "{failure}");
        }
    }
}
