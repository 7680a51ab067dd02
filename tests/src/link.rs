//! The way to one server, which can be made bad: a TCP proxy that knows nothing of what it carries.
//!
//! A [`Link`] stands before any dependency of ours (a node, NATS, Postgres), and only those services use it that were told
//! so: [`Link::to_nodes`], [`Link::to_nats`] and [`Link::to_postgres`] tell one service, or one of its processes, from its
//! next start on. Its verbs work at once and on all connections, those that are open and those to come, until
//! [`Link::heal`]:
//!
//! | verb | what it is like |
//! |---|---|
//! | [`Link::delay`] | a far away server: what is sent arrives later, each way |
//! | [`Link::rate`] | a narrow line: so many bytes a second each way, all connections together |
//! | [`Link::reset`] | a server that crashed: open connections end with RST; new ones work |
//! | [`Link::half_open`] | a server that lost power and is back: open connections are dead and nobody says so; new ones work |
//! | [`Link::half_open_but`] | the same for some of the connections: what lies between forgot those |
//! | [`Link::garble`] | a server of another kind: what it answers makes no sense |
//! | [`Link::blackhole`] | a cut line: connections come about and nothing passes; goes on where it stopped when healed |
//!
//! Faults of what is said, rather than of the line, are [`crate::Proxy`]'s, for nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use compose::NodeEntry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Cluster;

/// What is passed on at once: small, so that a low rate is even.
const PIECE: usize = 16 * 1024;
/// Pieces on their way in a connection, each way.
const IN_FLIGHT: usize = 64;
/// The ways of a line: to the server, and back.
const THERE: usize = 0;
const BACK: usize = 1;

/// A proxy in front of one server; ended when dropped.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    line: Arc<Line>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Line {
    state: watch::Sender<State>,
    breaks: watch::Sender<Break>,
    /// When the line is free again, to the server and back.
    free: [Mutex<Instant>; 2],
    carried: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    delay: Duration,
    /// Bytes a second; 0 for no limit.
    rate: u64,
    is_cut: bool,
    is_garbled: bool,
}

/// The last time that open connections were broken, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Never,
    Reset,
    /// But for so many connections, the oldest of all that there were.
    HalfOpen {
        but: u64,
    },
}

// === impl Link ===

impl Link {
    /// Starts a proxy in front of a server.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let now = Instant::now();
        let line = Arc::new(Line {
            state: watch::Sender::new(State::default()),
            breaks: watch::Sender::new(Break::Never),
            free: [Mutex::new(now), Mutex::new(now)],
            carried: AtomicU64::new(0),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, Arc::clone(&line)));
        Ok(Self { addr, line, _accepting: accepting })
    }

    /// Puts a link in front of every node, as far as this service (`replicator`) or process (`replicator-2`) is concerned,
    /// from its next start on; in the order of the nodes.
    pub async fn to_nodes(cluster: &Cluster, service: &str) -> anyhow::Result<Vec<Self>> {
        let (mut links, mut entries) = (Vec::new(), Vec::new());
        for node in cluster.stack.nodes() {
            let link =
                Self::start(node.endpoint.trim_start_matches("http://").parse().context("a node's address")?).await?;
            entries.push(NodeEntry { endpoint: format!("http://{}", link.addr), ..node.clone() });
            links.push(link);
        }
        cluster.stack.set_env(service, "HIGHWATER_NODES", &serde_json::to_string(&entries)?)?;
        Ok(links)
    }

    /// Puts a link in front of the journal's server, as [`Link::to_nodes`] does.
    pub async fn to_nats(cluster: &Cluster, service: &str) -> anyhow::Result<Self> {
        let link = Self::start(cluster.stack.addr("nats")?).await?;
        cluster.stack.set_env(service, "HIGHWATER_NATS__URL", &format!("nats://{}", link.addr))?;
        Ok(link)
    }

    /// Puts a link in front of the catalog's server, as [`Link::to_nodes`] does.
    pub async fn to_postgres(cluster: &Cluster, service: &str) -> anyhow::Result<Self> {
        let link = Self::start(cluster.stack.addr("postgres")?).await?;
        let mut url: url::Url = cluster.stack.database_url()?.parse()?;
        url.set_ip_host(link.addr.ip()).ok().context("the catalog's address")?;
        url.set_port(Some(link.addr.port())).ok().context("the catalog's address")?;
        cluster.stack.set_env(service, "HIGHWATER_DATABASE__URL", url.as_str())?;
        Ok(link)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is sent arrives so much later, each way.
    pub fn delay(&self, delay: Duration) {
        self.line.state.send_modify(|state| state.delay = delay);
    }

    /// So many bytes a second pass each way.
    pub fn rate(&self, bytes_per_second: u64) {
        for free in &self.line.free {
            *free.lock().unwrap() = Instant::now();
        }
        self.line.state.send_modify(|state| state.rate = bytes_per_second);
    }

    /// Open connections end with an error on both sides.
    pub fn reset(&self) {
        self.line.breaks.send_replace(Break::Reset);
    }

    /// Open connections end for the server only; the client hears nothing, and what it sends is swallowed.
    pub fn half_open(&self) {
        self.half_open_but(0);
    }

    /// As [`Link::half_open`], but not for the first so many connections that were made through the link.
    pub fn half_open_but(&self, first: u64) {
        self.line.breaks.send_replace(Break::HalfOpen { but: first });
    }

    /// Every byte of an answer is another one.
    pub fn garble(&self) {
        self.line.state.send_modify(|state| state.is_garbled = true);
    }

    /// Nothing passes any more.
    pub fn blackhole(&self) {
        self.line.state.send_modify(|state| state.is_cut = true);
    }

    /// As if nothing had been: no delay, no limit, everything passes. What is broken stays so.
    pub fn heal(&self) {
        self.line.state.send_replace(State::default());
    }

    /// Bytes passed on so far, both ways together.
    pub fn carried(&self) -> u64 {
        self.line.carried.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, line: Arc<Line>) {
    let (mut connections, mut made) = (JoinSet::new(), 0);
    while let Ok((client, _)) = listener.accept().await {
        let line = Arc::clone(&line);
        let n = made;
        made += 1;
        connections.spawn(async move {
            // A connection that breaks is what the link is for.
            let _ = carry(client, n, server, &line).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: TcpStream, n: u64, server: SocketAddr, line: &Line) -> io::Result<()> {
    let mut breaks = line.breaks.subscribe();
    breaks.mark_unchanged();
    let server = TcpStream::connect(server).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let passing = async {
        tokio::try_join!(
            pass(&mut from_client, &mut to_server, line, THERE),
            pass(&mut from_server, &mut to_client, line, BACK)
        )
    };
    let broken = async {
        loop {
            // The sender lives as long as the line.
            let _ = breaks.changed().await;
            let how = *breaks.borrow_and_update();
            if !matches!(how, Break::HalfOpen { but } if n < but) {
                return how;
            }
        }
    };
    let how = tokio::select! {
        ended = passing => return ended.map(drop),
        how = broken => how,
    };
    match how {
        Break::Never => Ok(()),
        Break::Reset => {
            from_client.as_ref().set_zero_linger()?;
            from_server.as_ref().set_zero_linger()
        }
        Break::HalfOpen { .. } => {
            drop((from_server, to_server));
            let mut swallowed = vec![0; PIECE];
            while from_client.read(&mut swallowed).await? > 0 {}
            Ok(())
        }
    }
}

/// Passes on one way, until its end, which is passed on too.
async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, line: &Line, way: usize) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
    let read = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            let mut limited = (&mut *from).take(PIECE as u64);
            if limited.read_buf(&mut buffer).await? == 0 {
                return io::Result::Ok(());
            }
            let delay = line.state.borrow().delay;
            // Who writes is gone only when it failed, and says so itself.
            if sender.send((Instant::now() + delay, buffer.split().freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            line.open(way, piece.len()).await;
            if way == BACK && line.state.borrow().is_garbled {
                to.write_all(&vec![b'?'; piece.len()]).await?;
            } else {
                to.write_all(&piece).await?;
            }
            line.carried.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

// === impl Line ===

impl Line {
    /// Waits until so many bytes may pass.
    async fn open(&self, way: usize, bytes: usize) {
        let mut state = self.state.subscribe();
        loop {
            // The sender lives as long as the line.
            let Ok(now) = state.wait_for(|state| !state.is_cut).await.map(|state| *state) else { return };
            if now.rate == 0 {
                return;
            }
            let free = self.take(way, Duration::from_nanos(bytes as u64 * 1_000_000_000 / now.rate));
            tokio::select! {
                () = sleep_until(free) => return,
                // Another rate holds for what has not passed yet.
                _ = state.changed() => {}
            }
        }
    }

    /// The line's next so long a time, one way; answers when it is over.
    fn take(&self, way: usize, long: Duration) -> Instant {
        let mut free = self.free[way].lock().unwrap();
        *free = (*free).max(Instant::now()) + long;
        *free
    }
}
