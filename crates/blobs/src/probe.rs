//! What an S3 server can do, found out by trying.

use bytes::Bytes;
use proto::Sha256Digest;

use crate::body::Pieces;
use crate::checksum::{Algorithm, Checksum};
use crate::list::PROBES;
use crate::multipart::{self, Multipart};
use crate::node::Object;
use crate::{Error, Node};

/// The smallest part that may be followed by another, on every S3 server.
const PART_BYTES: usize = 5 * 1024 * 1024;
const CONTENT: &[u8] = b"0123456789";

/// One line of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was tried.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// What came of it.
    pub detail: String,
    /// Whether Highwater works with the node all the same.
    pub optional: bool,
}

/// Which wrong checksums a node refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verifies {
    objects: Refuses,
    parts: Refuses,
}

/// By kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refuses {
    sha256: bool,
    crc32c: bool,
}

/// Tries everything that Highwater asks of a node, in its bucket, below `highwater-probe/`; removes what it wrote.
pub async fn matrix(node: &Node) -> Vec<Row> {
    let (key, large) = (own_key(node, "small"), own_key(node, "large"));
    let verifies = verifies(node).await;
    let refuses = |what: fn(&Verifies) -> bool| match &verifies {
        Ok(verifies) if what(verifies) => Ok("refused"),
        Ok(_) => Err("accepted or kept: what is written is read back instead".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let rows = vec![
        row("put", false, put(node, &key).await),
        row("get", false, whole(node, &key).await),
        row("range", false, range(node, &key).await),
        row("head", false, head(node, &key).await),
        row("list", false, list(node, &key).await),
        row("multipart", false, multipart(node, &large).await),
        row("list multipart uploads", true, uploads(node).await),
        row("wrong sha256 of an object", true, refuses(|verifies| verifies.objects.sha256)),
        row("wrong crc32c of an object", true, refuses(|verifies| verifies.objects.crc32c)),
        row("wrong sha256 of a part", true, refuses(|verifies| verifies.parts.sha256)),
        row("wrong crc32c of a part", true, refuses(|verifies| verifies.parts.crc32c)),
        row("delete", false, delete(node, &[&key, &large]).await),
    ];
    rows
}

// === impl Verifies ===

impl Verifies {
    pub(crate) fn object(self, algorithm: Algorithm) -> bool {
        self.objects.has(algorithm)
    }

    pub(crate) fn part(self, algorithm: Algorithm) -> bool {
        self.parts.has(algorithm)
    }
}

// === impl Refuses ===

impl Refuses {
    const ALL: Self = Self { sha256: true, crc32c: true };

    fn has(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Sha256 => self.sha256,
            Algorithm::Crc32c => self.crc32c,
        }
    }
}

/// Sends wrong checksums and sees which are refused.
pub(crate) async fn verifies(node: &Node) -> Result<Verifies, Error> {
    let found = Verifies {
        objects: Refuses {
            sha256: refuses_object(node, wrong(Algorithm::Sha256)).await?,
            crc32c: refuses_object(node, wrong(Algorithm::Crc32c)).await?,
        },
        parts: Refuses {
            sha256: refuses_part(node, wrong(Algorithm::Sha256)).await?,
            crc32c: refuses_part(node, wrong(Algorithm::Crc32c)).await?,
        },
    };
    let id = node.id();
    if found == (Verifies { objects: Refuses::ALL, parts: Refuses::ALL }) {
        tracing::info!(node.id = %id, "node {id} refuses wrong checksums: what it accepts needs no second look");
    } else {
        tracing::warn!(
            node.id = %id,
            "node {id} accepts or keeps bytes with wrong checksums ({found:?}): what it stores is read back, which costs time"
        );
    }
    Ok(found)
}

/// A key that no other process uses at the same time. What is left at it by one that is killed is swept ([`crate::Nodes::sweep`]).
fn own_key(node: &Node, what: &str) -> String {
    format!("{PROBES}{}-{}-{what}", node.clock().now().unix_timestamp_nanos(), std::process::id())
}

fn wrong(algorithm: Algorithm) -> Checksum {
    match algorithm {
        Algorithm::Sha256 => Checksum::Sha256(Sha256Digest::of(b"other bytes")),
        Algorithm::Crc32c => Checksum::crc32c(&[Bytes::from_static(b"other bytes")]),
    }
}

async fn refuses_object(node: &Node, checksum: Checksum) -> Result<bool, Error> {
    let key = own_key(node, checksum.algorithm().header());
    let body = Pieces::body(&[Bytes::from_static(CONTENT)]);
    let object = Object { key: &key, body, len: CONTENT.len() as u64, meta: &[], checksum: Some(checksum) };
    let refused = refused(node.put_once(object).await)?;
    // Some servers say that the bytes are wrong, and keep them.
    let kept = node.head(&key).await?.is_some();
    if kept {
        node.delete(&key).await?;
    }
    Ok(refused && !kept)
}

async fn refuses_part(node: &Node, checksum: Checksum) -> Result<bool, Error> {
    let key = own_key(node, checksum.algorithm().header());
    let upload = Multipart::begin(node, &key, None, checksum.algorithm()).await?;
    let body = Pieces::body(&[Bytes::from_static(CONTENT)]);
    let outcome = upload.put_part(1, body, CONTENT.len() as u64, checksum).await.map(drop);
    upload.give_up().await;
    refused(outcome)
}

/// A node that does not understand the question verifies nothing, but is not broken.
fn refused(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(false),
        Err(Error::Checksum { .. } | Error::Refused { status: 400, .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn row(name: &'static str, optional: bool, outcome: Result<&'static str, String>) -> Row {
    match outcome {
        Ok(detail) => Row { name, ok: true, detail: detail.to_owned(), optional },
        Err(detail) => Row { name, ok: false, detail, optional },
    }
}

async fn put(node: &Node, key: &str) -> Result<&'static str, String> {
    node.put(key, Bytes::from_static(CONTENT)).await.map(|()| "stored").map_err(|error| error.to_string())
}

async fn whole(node: &Node, key: &str) -> Result<&'static str, String> {
    match node.get(key, CONTENT.len() as u64).await {
        Ok(Some(content)) if content == CONTENT => Ok("the same bytes"),
        Ok(Some(_)) => Err("other bytes".to_owned()),
        Ok(None) => Err("nothing there right after the put".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn range(node: &Node, key: &str) -> Result<&'static str, String> {
    let body = node.get_range(key, Some(3..7)).await.map_err(|error| error.to_string())?;
    let pieces = body.collect_exactly(4).await.map_err(|error| error.to_string())?;
    match pieces {
        Some(pieces) if pieces.concat() == CONTENT[3..7] => Ok("the same bytes"),
        _ => Err("other bytes".to_owned()),
    }
}

async fn head(node: &Node, key: &str) -> Result<&'static str, String> {
    match node.head(key).await {
        Ok(Some(head)) if head.size_bytes == CONTENT.len() as u64 => Ok("the right length"),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

async fn list(node: &Node, key: &str) -> Result<&'static str, String> {
    let page = node.list(PROBES, None, 1000).await.map_err(|error| error.to_string())?;
    let listed = page.objects.iter().any(|object| object.key == key);
    if listed { Ok("lists it") } else { Err("does not list an object that is there".to_owned()) }
}

async fn multipart(node: &Node, key: &str) -> Result<&'static str, String> {
    let first = Bytes::from(vec![b'a'; PART_BYTES]);
    let last = Bytes::from_static(CONTENT);
    let size_bytes = (first.len() + last.len()) as u64;
    let write = async {
        let upload = Multipart::begin(node, key, None, Algorithm::Crc32c).await?;
        let mut parts = Vec::new();
        for (number, content) in [(1, first), (2, last.clone())] {
            let (len, pieces) = (content.len() as u64, [content]);
            parts.push(upload.put_part(number, Pieces::body(&pieces), len, Checksum::crc32c(&pieces)).await?);
        }
        upload.complete(parts, size_bytes).await?;
        let body = node.get_range(key, Some(PART_BYTES as u64..size_bytes)).await?;
        body.collect_exactly(CONTENT.len() as u64).await
    };
    match write.await {
        Ok(Some(pieces)) if pieces.concat() == last => Ok("two parts, the same bytes"),
        Ok(_) => Err("other bytes".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn uploads(node: &Node) -> Result<&'static str, String> {
    match multipart::pending(node, "").await {
        Ok(Some(_)) => Ok("yes"),
        Ok(None) => Err("not offered: interrupted copies start again, and leftovers are the server's to remove".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn delete(node: &Node, keys: &[&str]) -> Result<&'static str, String> {
    for key in keys {
        node.delete(key).await.map_err(|error| error.to_string())?;
        if node.head(key).await.map_err(|error| error.to_string())?.is_some() {
            return Err(format!("{key} is still there"));
        }
    }
    Ok("gone")
}
