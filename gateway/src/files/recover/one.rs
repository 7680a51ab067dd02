//! Recovering one blob.

use std::sync::atomic::Ordering;

use blobs::{Described, Node, ObjectMeta};
use proto::{BlobCondemned, BlobId, EventId, Fact, NodeId, OnConflict, Orphan, Path, SpaceId, SpaceName};
use tracing::info;

use super::held::Held;
use super::{Fate, Recovered, Recovering};
use crate::error::{Error, Result};
use crate::files::Decision;
use crate::files::change::Asked;
use crate::files::request::{Author, NewFile, Stored};

/// The folder of recovered files.
const FOLDER: &str = "recovered";
/// Stands for who asks in the ids of the events, so that it does not matter who asked first.
const ANYBODY: &str = "recover";

/// Why a blob is not recovered.
#[derive(Debug)]
enum Stop {
    /// Nothing can be done with this one: the reason, and a sentence.
    Refused(&'static str, String),
    /// Nothing can be done with any.
    Failed(Error),
}

/// Where the file of a blob shall be.
#[derive(Debug)]
struct Place {
    space_id: SpaceId,
    space: SpaceName,
    path: Path,
}

impl Recovering<'_> {
    /// What becomes of a blob that nothing speaks against.
    pub(super) async fn one(&self, held: &Held) -> Result<Recovered> {
        let recovered = match self.try_one(held).await {
            Ok(recovered) => recovered,
            Err(Stop::Refused(reason, detail)) => held.refused(reason, detail),
            Err(Stop::Failed(error)) => return Err(error),
        };
        let nodes = held.copies.iter().map(|copy| self.nodes[copy.node].0.id().clone()).collect();
        Ok(Recovered { nodes, ..recovered })
    }

    async fn try_one(&self, held: &Held) -> Result<Recovered, Stop> {
        match (self.erased_on(held.blob_id).await?, self.asked.is_done) {
            (Some(node), false) => {
                let detail = format!("it was erased on {node}: it would be erased everywhere, and no file made of it");
                Err(Stop::Refused("blob_erased", detail))
            }
            (Some(_), true) => self.erase_again(held).await,
            (None, false) => {
                let place = self.place(held).await?;
                Ok(Recovered { place: Some((place.space, place.path)), ..held.with(Fate::Offered) })
            }
            (None, true) => self.make_file(held).await,
        }
    }

    /// A node where the blob was erased: only that which was condemned ever is, so nobody wants it back.
    async fn erased_on(&self, blob_id: BlobId) -> Result<Option<NodeId>, Stop> {
        for (node, _) in &self.nodes {
            if self.patiently(async || node.has_tombstone(blob_id).await).await? {
                return Ok(Some(node.id().clone()));
            }
        }
        Ok(None)
    }

    /// Reads the blob on every node that has it: all must have the same. Answers the node that shall be its first.
    async fn describe(&self, held: &Held) -> Result<(Node, Described), Stop> {
        let mut copies: Vec<(Node, Described)> = Vec::with_capacity(held.copies.len());
        for copy in &held.copies {
            let (node, marker_id) = &self.nodes[copy.node];
            let passed = |bytes| {
                self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
            };
            let described = self.patiently(async || node.describe(held.blob_id, passed).await).await?;
            let Some(described) = described else { continue };
            if described.written.marker_id != *marker_id {
                let detail = format!("node {} has another marker than the one that it joined with", node.id());
                return Err(Stop::Refused("node_unavailable", detail));
            }
            copies.push((node.clone(), described));
        }
        let content = |described: &Described| (described.written.size_bytes, described.written.sha256);
        if copies.windows(2).any(|two| content(&two[0].1) != content(&two[1].1)) {
            let all = copies.iter().map(|(node, described)| {
                let (size_bytes, sha256) = content(described);
                format!("{} has {size_bytes} bytes with the SHA-256 {sha256}", node.id())
            });
            let all = all.collect::<Vec<_>>().join(", ");
            return Err(Stop::Refused("copies_differ", format!("{all}: name the nodes that are right")));
        }
        let ranked = self.files.ready()?.nodes.ranked(held.blob_id);
        let rank = |node: &Node| ranked.iter().position(|other| other.id() == node.id());
        let best = copies.into_iter().min_by_key(|(node, _)| rank(node).unwrap_or(usize::MAX));
        best.ok_or_else(|| Stop::Refused("blob_not_found", "no node that was looked at has it any more".to_owned()))
    }

    /// In the space that the object was uploaded to, as far as its metadata tells. One that is not there is left to the fold,
    /// which has a place for such uploads.
    async fn place(&self, held: &Held) -> Result<Place, Stop> {
        let (key, mut space_id) = (held.blob_id.key(), None);
        for copy in &held.copies {
            let object = self.patiently(async || self.nodes[copy.node].0.head(&key).await).await?;
            space_id = object.and_then(|object| object.metadata.get("space-id")?.parse::<SpaceId>().ok());
            if space_id.is_some() {
                break;
            }
        }
        let path = format!("{FOLDER}/{}", held.blob_id).parse().expect("a folder and an id are a path");
        let Some(space_id) = space_id else {
            let space = SpaceName::main();
            return Ok(Place { space_id: self.files.space(&space).await?, space, path });
        };
        let row = self.files.catalog().space_row(space_id).await?;
        let space = row.map_or_else(|| space_id.to_string().parse().expect("an id is a name"), |row| row.name);
        Ok(Place { space_id, space, path })
    }

    async fn make_file(&self, held: &Held) -> Result<Recovered, Stop> {
        let (blob_id, place) = (held.blob_id, self.place(held).await?);
        let (node, described) = self.describe(held).await?;
        let event_id = EventId::of_request(ANYBODY, place.space_id, &blob_id.to_string());
        let meta = ObjectMeta { event_id, space: place.space_id, version_id: event_id.version_id() };
        self.patiently(async || node.adopt(blob_id, &described, &meta).await).await?;
        let author = Author { actor: self.asked.actor.clone(), request_id: None };
        let file = NewFile {
            space: place.space.clone(),
            path: place.path.clone(),
            size_bytes: None,
            sha256: None,
            content_type: String::new(),
            modified_at: None,
            author: author.clone(),
            on_conflict: OnConflict::KeepBoth,
            if_version: None,
            ack_replicas: 0,
        };
        let layout = self.files.ready()?.nodes.layout();
        let fact = Fact::FileUploaded(file.uploaded(place.space_id, Stored::new(blob_id, &described.written, &layout)));
        let receipt = self.files.change(Asked { event_id, author }, fact).await?;
        if receipt.decision == Decision::Rejected {
            return Err(Stop::Refused("blob_condemned", "somebody has it erased".to_owned()));
        }
        let place = (receipt.space.unwrap_or(place.space), receipt.path.unwrap_or(place.path));
        info!(blob.id = %blob_id, seq = receipt.sequence.n, "recovered blob {blob_id} as {}/{}", place.0, place.1);
        Ok(Recovered { place: Some(place), ..held.with(Fate::Recovered(receipt.version_id, receipt.sequence)) })
    }

    /// The event that had it erased is lost, and a node that has it was away then.
    async fn erase_again(&self, held: &Held) -> Result<Recovered, Stop> {
        let (_, Described { written, .. }) = self.describe(held).await?;
        let orphan = Orphan {
            blob_id: held.blob_id,
            size_bytes: written.size_bytes,
            sha256: written.sha256,
            space_id: SpaceId::NONE,
            node: written.node,
        };
        let condemned = BlobCondemned { blob_ids: Vec::new(), orphans: vec![orphan] };
        let receipt = self.files.by_itself(Fact::BlobCondemned(condemned)).await?;
        if receipt.decision == Decision::Rejected {
            return Err(Stop::Refused("blob_known", "an event has come to name it meanwhile".to_owned()));
        }
        Ok(held.with(Fate::Erased(receipt.sequence)))
    }
}

// === impl Stop ===

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<catalog::Error> for Stop {
    fn from(error: catalog::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<blobs::Error> for Stop {
    fn from(error: blobs::Error) -> Self {
        let reason = if error.faulty_node().is_some() { "node_unavailable" } else { "copy_unreadable" };
        Self::Refused(reason, error.to_string())
    }
}

// === impl Held ===

impl Held {
    /// What is told of a blob with which nothing was done.
    pub(super) fn refused(&self, reason: &'static str, detail: String) -> Recovered {
        self.with(Fate::Refused(reason, detail))
    }

    fn with(&self, fate: Fate) -> Recovered {
        let size_bytes = self.copies.iter().map(|copy| copy.size_bytes).max().unwrap_or(0);
        Recovered { blob_id: self.blob_id, size_bytes, nodes: Vec::new(), place: None, fate }
    }
}
