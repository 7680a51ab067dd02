//! A proxy in front of one real S3 node that makes faults on demand.
//!
//! Everything passes unchanged and streamed, with the `Host` that the client signed, until a [`Rule`] says otherwise. Put
//! between the nodes and only those services that shall see the fault. [`crate::Link`] makes the faults of lines.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use bytes::Bytes;
use compose::NodeEntry;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Cluster;

mod cut;

use cut::Cut;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Fault>;

/// What happens to a request instead of an answer.
#[derive(Debug, Clone)]
pub enum Act {
    /// Nothing: it is only counted.
    Pass,
    /// The whole request is read and answered with this status and this code in an S3 error document.
    Answer { status: u16, code: &'static str },
    /// The node's answer breaks off after so many bytes of its body.
    CutAnswer { after: u64 },
    /// The connection breaks once so many bytes of the request's body were read.
    CutRequest { after: u64 },
    /// The request waits, unread, until this says true.
    Hold(watch::Receiver<bool>),
}

/// Which requests something happens to.
#[derive(Debug, Clone)]
pub struct Rule {
    methods: Vec<Method>,
    key_prefix: String,
    is_whole_key: bool,
    query: &'static str,
    skip: usize,
    times: usize,
    act: Act,
}

/// A proxy in front of one node; ended when dropped.
#[derive(Debug)]
pub struct Proxy {
    node: NodeEntry,
    addr: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Rules {
    all: Vec<Rule>,
    hits: usize,
}

/// Where requests go, and what may happen to them.
#[derive(Debug, Clone)]
struct Way {
    node: SocketAddr,
    bucket: String,
    rules: Arc<Mutex<Rules>>,
}

// === impl Rule ===

impl Rule {
    /// Requests with one of these methods for a key that begins like this.
    pub fn new(methods: &[Method], key_prefix: impl Into<String>, act: Act) -> Self {
        let key_prefix = key_prefix.into();
        Self { methods: methods.to_vec(), key_prefix, is_whole_key: false, query: "", skip: 0, times: usize::MAX, act }
    }

    /// What would store an object or begin to.
    pub fn writes(key_prefix: impl Into<String>, act: Act) -> Self {
        Self::new(&[Method::PUT, Method::POST], key_prefix, act)
    }

    /// Only those for exactly this key.
    #[must_use]
    pub fn exactly(mut self) -> Self {
        self.is_whole_key = true;
        self
    }

    /// Not the first so many of them.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// Only those whose query has this in it.
    #[must_use]
    pub fn with_query(mut self, part: &'static str) -> Self {
        self.query = part;
        self
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn is_for(&self, request: &Request<Incoming>, key: &str) -> bool {
        self.times > 0
            && self.methods.contains(request.method())
            && if self.is_whole_key { key == self.key_prefix } else { key.starts_with(&self.key_prefix) }
            && request.uri().query().unwrap_or_default().contains(self.query)
    }
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy in front of the node.
    pub async fn start(node: &NodeEntry) -> anyhow::Result<Self> {
        let target = node.endpoint.trim_start_matches("http://").parse().context("the node's address")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let rules = Arc::new(Mutex::new(Rules::default()));
        let way = Way { node: target, bucket: node.bucket.clone(), rules: Arc::clone(&rules) };
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, way));
        Ok(Self { node: node.clone(), addr, rules, _accepting: accepting })
    }

    /// Puts a proxy in front of every node, as far as this service is concerned, from its next start on; in the order of
    /// the nodes.
    pub async fn between(cluster: &Cluster, service: &str) -> anyhow::Result<Vec<Self>> {
        let mut proxies = Vec::new();
        for node in cluster.stack.nodes() {
            proxies.push(Self::start(node).await?);
        }
        let entries: Vec<NodeEntry> = proxies.iter().map(Self::entry).collect();
        cluster.stack.set_env(service, "HIGHWATER_NODES", &serde_json::to_string(&entries)?)?;
        Ok(proxies)
    }

    /// The node's name.
    pub fn id(&self) -> &str {
        &self.node.id
    }

    /// The node as it is reached through the proxy.
    pub fn entry(&self) -> NodeEntry {
        NodeEntry { endpoint: format!("http://{}", self.addr), ..self.node.clone() }
    }

    /// Adds a rule; the first that fits decides.
    pub fn add(&self, rule: Rule) {
        self.rules.lock().unwrap().all.push(rule);
    }

    /// Lets everything pass again, and counts from zero.
    pub fn clear(&self) {
        *self.rules.lock().unwrap() = Rules::default();
    }

    /// To how many requests something has happened since the last [`Proxy::clear`].
    pub fn hits(&self) -> usize {
        self.rules.lock().unwrap().hits
    }
}

// === impl Rules ===

impl Rules {
    fn decide(&mut self, request: &Request<Incoming>, key: &str) -> Option<Act> {
        let rule = self.all.iter_mut().find(|rule| rule.is_for(request, key))?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        self.hits += 1;
        Some(rule.act.clone())
    }
}

async fn accept(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| pass(request, way.clone()));
            // A connection that breaks is what the proxy is for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request. An error breaks the connection.
async fn pass(request: Request<Incoming>, way: Way) -> Result<Response<Body>, Fault> {
    let path = request.uri().path().trim_start_matches('/');
    let key = path.strip_prefix(&way.bucket).unwrap_or_default().trim_start_matches('/').to_owned();
    let act = way.rules.lock().unwrap().decide(&request, &key);
    match act {
        None | Some(Act::Pass) => forward(request, way.node).await,
        Some(Act::Answer { status, code }) => {
            read(request.into_body(), u64::MAX).await?;
            refuse(status, code)
        }
        Some(Act::CutAnswer { after }) => {
            let answer = forward(request, way.node).await?;
            Ok(answer.map(|body| Cut::new(body, after).boxed_unsync()))
        }
        Some(Act::CutRequest { after }) => {
            read(request.into_body(), after).await?;
            Err("cut".into())
        }
        Some(Act::Hold(mut released)) => {
            released.wait_for(|released| *released).await?;
            forward(request, way.node).await
        }
    }
}

/// A connection of its own for each request: a node that went away in between is never noticed here first.
async fn forward(request: Request<Incoming>, node: SocketAddr) -> Result<Response<Body>, Fault> {
    let stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        // The sender and the body hear of it.
        let _ = connection.await;
    });
    let answer = sender.send_request(request).await?;
    Ok(answer.map(|body| Cut::whole(body, driving).boxed_unsync()))
}

async fn read(mut body: Incoming, bytes: u64) -> Result<(), Fault> {
    let mut read = 0;
    while read < bytes
        && let Some(frame) = body.frame().await
    {
        read += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(())
}

fn refuse(status: u16, code: &str) -> Result<Response<Body>, Fault> {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>made by the test</Message></Error>"
    );
    let body = Full::new(Bytes::from(document)).map_err(|never| match never {}).boxed_unsync();
    let answer = Response::builder().status(StatusCode::from_u16(status)?).header(CONTENT_TYPE, "application/xml");
    Ok(answer.body(body)?)
}
