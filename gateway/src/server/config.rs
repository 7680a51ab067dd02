//! The bounds of connections.

use std::time::Duration;

use runtime::config::{Fault, Validate};
use serde::Deserialize;

/// Connections of both kinds: the section `[connections]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Connections {
    /// Most at once; more wait in the system's queue.
    pub(crate) max: usize,
    /// How long a new one may take until its first request has arrived.
    #[serde(with = "runtime::config::duration")]
    pub(crate) first_request_timeout: Duration,
}

/// HTTP/1.1: the section `[http1]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Http1 {
    /// Largest request header, the line before its fields included.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_headers: u64,
    /// Most fields in it.
    pub(crate) max_fields: usize,
    /// How long a request header may take, counted from the end of the answer before it: so long a connection may be idle.
    #[serde(with = "runtime::config::duration")]
    pub(crate) header_timeout: Duration,
}

/// HTTP/2: the section `[http2]`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Http2 {
    /// Most requests at once on one connection.
    pub(crate) max_streams: u32,
    /// Bytes that a client may send on one request before the gateway has read them.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) stream_window: u64,
    /// The same for all requests of one connection together.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) connection_window: u64,
    /// Largest frame that a client may send.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_frame: u64,
    /// Largest request header, all fields together.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) max_headers: u64,
    /// Bytes of one answer that wait for the client to read them.
    #[serde(with = "runtime::config::byte_size")]
    pub(crate) send_buffer: u64,
    /// Requests that a client has reset before they were accepted, above which the connection is closed.
    pub(crate) max_pending_resets: usize,
    /// Requests reset for the client's own mistakes, above which the connection is closed.
    pub(crate) max_error_resets: usize,
    /// How often a connection is asked whether the client is still there.
    #[serde(with = "runtime::config::duration")]
    pub(crate) keepalive_interval: Duration,
    /// How long it may take to answer that.
    #[serde(with = "runtime::config::duration")]
    pub(crate) keepalive_timeout: Duration,
}

// === impl Connections ===

impl Validate for Connections {
    fn faults(&self) -> Vec<Fault> {
        if self.max == 0 { vec![Fault::new("max", "must be at least 1")] } else { Vec::new() }
    }
}

// === impl Http1 ===

impl Validate for Http1 {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(8_192..=1 << 20).contains(&self.max_headers) {
            faults.push(Fault::new("max_headers", "must be from 8KiB to 1MiB"));
        }
        if !(1..=1_000).contains(&self.max_fields) {
            faults.push(Fault::new("max_fields", "must be from 1 to 1000"));
        }
        if self.header_timeout.is_zero() {
            faults.push(Fault::new("header_timeout", "must be longer than zero"));
        }
        faults
    }
}

// === impl Http2 ===

impl Validate for Http2 {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let windows = [("stream_window", self.stream_window), ("connection_window", self.connection_window)];
        for (key, bytes) in windows {
            if !(65_535..=(1 << 31) - 1).contains(&bytes) {
                faults.push(Fault::new(key, "must be from 65535 to 2147483647, the range of HTTP/2"));
            }
        }
        if !(16_384..=(1 << 24) - 1).contains(&self.max_frame) {
            faults.push(Fault::new("max_frame", "must be from 16384 to 16777215, the range of HTTP/2"));
        }
        if !(1_024..=1 << 20).contains(&self.max_headers) {
            faults.push(Fault::new("max_headers", "must be from 1KiB to 1MiB"));
        }
        if !(1_024..=1 << 30).contains(&self.send_buffer) {
            faults.push(Fault::new("send_buffer", "must be from 1KiB to 1GiB"));
        }
        if self.max_streams == 0 {
            faults.push(Fault::new("max_streams", "must be at least 1"));
        }
        faults
    }
}
