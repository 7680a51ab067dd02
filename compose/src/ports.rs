//! Which ports the programs listen on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runtime::clock::Ids;
use runtime::ports::holder_of;
use rustix::fs::FlockOperation;

use crate::data::make_dir;

/// The ports that are picked from for [`PortPlan::Free`]: below the range that systems give to outgoing connections, so
/// that a port does not vanish between the choice and the start.
const FREE: std::ops::Range<u16> = 15_000..31_000;

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPlan {
    /// Fixed offsets from a base: gateway +0, nats +1, its monitor +2, postgres +3, nodes from +4.
    Base(u16),
    /// Any free ones, different in every stack on this machine.
    Free,
}

/// The ports of one stack.
#[derive(Debug)]
pub(crate) struct Ports {
    by_name: BTreeMap<String, u16>,
    /// Keep other stacks on this machine from picking the same free ports.
    _reserved: Vec<File>,
}

impl Ports {
    /// Chooses a port for every name. A name that is missing from the fixed plan is an error of the caller.
    pub(crate) fn choose(plan: PortPlan, names: &[String]) -> anyhow::Result<Self> {
        match plan {
            PortPlan::Base(base) => {
                let mut by_name = BTreeMap::new();
                for name in names {
                    let port = offset(name).and_then(|offset| base.checked_add(offset));
                    let port = port.with_context(|| format!("port base {base} leaves no port for {name}"))?;
                    by_name.insert(name.clone(), port);
                }
                check_free(&by_name)?;
                Ok(Self { by_name, _reserved: Vec::new() })
            }
            PortPlan::Free => {
                let mut by_name = BTreeMap::new();
                let mut reserved = Vec::new();
                for name in names {
                    let (port, lock) = reserve()?;
                    by_name.insert(name.clone(), port);
                    reserved.push(lock);
                }
                Ok(Self { by_name, _reserved: reserved })
            }
        }
    }

    pub(crate) fn addr(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let port = self.by_name.get(name).with_context(|| format!("no port was chosen for {name}"))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }
}

fn offset(name: &str) -> Option<u16> {
    match name {
        "gateway" => Some(0),
        "nats" => Some(1),
        "nats-monitor" => Some(2),
        "postgres" => Some(3),
        node => {
            let letter = node.strip_prefix("node-")?.bytes().next()?;
            Some(4 + u16::from(letter.checked_sub(b'a')?))
        }
    }
}

/// All taken ports at once, a line for each.
fn check_free(ports: &BTreeMap<String, u16>) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for (name, port) in ports {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
            faults.push(if error.kind() == std::io::ErrorKind::AddrInUse {
                let holder = holder_of(*port);
                format!("port {port} ({name}) is taken by {holder}; HIGHWATER_PORT_BASE moves all ports")
            } else {
                format!("port {port} ({name}) cannot be used: {error}")
            });
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

fn reserve() -> anyhow::Result<(u16, File)> {
    let dir = reservations();
    make_dir(&dir, 0o700)?;
    let mut random = Ids::system().v4().as_u128();
    for _ in 0..1_000 {
        let span = u128::from(FREE.end - FREE.start);
        let port = FREE.start + u16::try_from(random % span).expect("the remainder is smaller than a u16");
        random = random.rotate_right(17) ^ Ids::system().v4().as_u128();
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join(port.to_string()));
        let lock = lock.with_context(|| format!("reserve port {port} in {}", dir.display()))?;
        let ours = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if ours && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok((port, lock));
        }
    }
    bail!("no free port found between {} and {}", FREE.start, FREE.end)
}

/// One folder for the whole machine, since its ports are the machine's, whatever `TMPDIR` says: that may differ from run
/// to run.
fn reservations() -> PathBuf {
    let shared = Path::new("/tmp");
    let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    folder.join(format!("highwater-ports-{}", rustix::process::geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = Ports::choose(PortPlan::Base(port), &["gateway".to_owned()]).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("port {port} (gateway) is taken by ")), "{refused}");
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        assert_eq!(refused.lines().count(), 1);
    }

    #[test]
    fn free_ports_differ_between_stacks() {
        let names: Vec<String> = ["gateway", "nats", "node-a"].map(str::to_owned).into();
        let first = Ports::choose(PortPlan::Free, &names).unwrap();
        let second = Ports::choose(PortPlan::Free, &names).unwrap();
        for a in first.by_name.values() {
            assert!(second.by_name.values().all(|b| a != b));
        }
    }

    #[test]
    fn the_fixed_plan_is_the_documented_one() {
        for (name, expected) in
            [("gateway", 0), ("nats", 1), ("nats-monitor", 2), ("postgres", 3), ("node-a", 4), ("node-c", 6)]
        {
            assert_eq!(offset(name), Some(expected), "{name}");
        }
        assert_eq!(offset("projector"), None);
    }
}
