//! Who has a port that is taken.

use std::path::Path;
use std::process::Command;

/// Who listens on this port, as `nats-server (pid 123)`; `an unknown program` when the system does not tell, as it does not
/// of other users' programs.
pub fn holder_of(port: u16) -> String {
    let Some(pid) = from_proc(port).or_else(|| from_lsof(port)) else { return "an unknown program".to_owned() };
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().or_else(|| {
        let output = Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    });
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    format!("{} (pid {pid})", name.unwrap_or_else(|| "a program".to_owned()))
}

/// Linux: the socket's inode from /proc/net/tcp, then the process that has it open.
fn from_proc(port: u16) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_inode(line, port)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let is_listener = |fd: &Path| {
        std::fs::read_link(fd).is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    };
    for process in std::fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else { continue };
        if fds.filter_map(Result::ok).any(|fd| is_listener(&fd.path())) {
            return Some(pid);
        }
    }
    None
}

/// The inode of a line of /proc/net/tcp, when it is a socket that listens on this port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let matches = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
    matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

fn from_lsof(port: u16) -> Option<u32> {
    let output = Command::new("lsof").args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fp"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix('p')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(holder_of(port).ends_with(&format!(" (pid {})", std::process::id())), "{}", holder_of(port));
        drop(listener);
        assert_eq!(holder_of(port), "an unknown program");
    }
}
