//! TCP_NODELAY, which sqlx 0.9.0 forgets to set (its issue 4335; the fix, 4336, is not released). Without it the last message
//! of a COPY waits until the server's TCP acknowledges the data before it, and that takes its time: 40 ms and more for each
//! table of each batch. To be removed with the next version of sqlx.

use std::os::fd::RawFd;

use nix::sys::socket::sockopt::TcpNoDelay;
use nix::sys::socket::{SockaddrIn, SockaddrStorage, getpeername, setsockopt};

/// The open descriptors of this process, by number.
const DESCRIPTORS: &str = "/dev/fd";

/// Has this process's connections to a port send at once. Where its descriptors cannot be listed, COPY is slower, and that
/// is all.
pub(super) fn set(port: u16) {
    for entry in std::fs::read_dir(DESCRIPTORS).into_iter().flatten().flatten() {
        let Some(descriptor) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if peer_port(descriptor) == Some(port) {
            // One that was closed meanwhile needs it no more.
            setsockopt(descriptor, TcpNoDelay, &true).ok();
        }
    }
}

/// None for what is no TCP connection.
fn peer_port(descriptor: RawFd) -> Option<u16> {
    let peer: SockaddrStorage = getpeername(descriptor).ok()?;
    peer.as_sockaddr_in().map(SockaddrIn::port).or_else(|| Some(peer.as_sockaddr_in6()?.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_the_port_send_at_once_and_others_as_they_did() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [asked, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let [to_asked, to_other] = [asked, other].map(|addr| TcpStream::connect(addr).unwrap());
        set(asked.port());
        assert!(to_asked.nodelay().unwrap());
        assert!(!to_other.nodelay().unwrap());
    }
}
