//! Recovering one blob.

use std::sync::atomic::Ordering;

use blobs::{Described, Node, ObjectMeta};
use catalog::{Outcome, RECOVERED_SPACE};
use proto::{BlobCondemned, BlobId, EventId, Fact, NodeId, OnConflict, Orphan, Path, Sha256Digest, SpaceId, SpaceName};
use tracing::{debug, info};

use super::held::Held;
use super::{Fate, KNOWN, Recovered, Recovering, unavailable};
use crate::error::{Code, Error, Result};
use crate::files::Decision;
use crate::files::change::Asked;
use crate::files::request::{Author, NewFile, Stored};

/// The folder of recovered files.
const FOLDER: &str = "recovered";
/// Stands for who asks in the ids of the events, so that it does not matter who asked first. No actor has such a name, so no
/// request has such an id.
const ANYBODY: &str = "\u{1}recover";

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
    /// Where the fold will put it, if nothing is in the way.
    shown: (SpaceName, Path),
}

impl Recovering<'_> {
    /// What becomes of a blob that nothing speaks against.
    pub(super) async fn one(&self, held: &Held) -> Result<Recovered> {
        let recovered = match self.try_one(held).await {
            Ok(recovered) => recovered,
            Err(Stop::Refused(reason, detail)) => held.refused(reason, detail),
            Err(Stop::Failed(error)) => return Err(error),
        };
        Ok(Recovered { nodes: self.holders(held), ..recovered })
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
                Ok(Recovered { place: Some(place.shown), ..held.with(Fate::Offered) })
            }
            (None, true) => self.make_file(held).await,
        }
    }

    /// What became of a blob that an event names, when that is the event that made a file of it.
    pub(super) async fn known_one(&self, held: &Held, detail: String) -> Result<Recovered> {
        let first = match self.place(held).await {
            Ok(place) => self.files.catalog().receipt(event_id(&place, held.blob_id)).await?,
            Err(Stop::Refused(..)) => None,
            Err(Stop::Failed(error)) => return Err(error),
        };
        let Some(row) = first.filter(|row| row.outcome != Outcome::Rejected) else {
            return Ok(held.refused(KNOWN, detail));
        };
        let (sequence, place) = (self.files.sequence(row.seq)?, row.space.zip(row.path));
        let nodes = self.holders(held);
        Ok(Recovered { nodes, place, ..held.with(Fate::Recovered(row.version_id, sequence)) })
    }

    fn holders(&self, held: &Held) -> Vec<NodeId> {
        held.copies.iter().map(|copy| self.nodes[copy.node].0.id().clone()).collect()
    }

    /// A node where the blob was erased: only that which was condemned ever is, so nobody wants it back. Those that were not
    /// named are asked, too, but need not answer: they may be gone for good.
    async fn erased_on(&self, blob_id: BlobId) -> Result<Option<NodeId>, Stop> {
        for (node, _) in &self.nodes {
            if self.patiently(async || node.has_tombstone(blob_id).await).await? {
                return Ok(Some(node.id().clone()));
            }
        }
        let is_looked_at = |node: &Node| self.nodes.iter().any(|(other, _)| other.id() == node.id());
        for node in self.files.ready()?.nodes.all().iter().filter(|node| !is_looked_at(node)) {
            match node.has_tombstone(blob_id).await {
                Ok(true) => return Ok(Some(node.id().clone())),
                Ok(false) => {}
                Err(error) => debug!(blob.id = %blob_id, "whether {blob_id} was erased there is not known: {error}"),
            }
        }
        Ok(None)
    }

    /// Reads the blob on every node that has it: all must have the same. Answers the node that shall be its first.
    async fn describe(&self, held: &Held) -> Result<(Node, Described), Stop> {
        let mut copies: Vec<(Node, Described)> = Vec::with_capacity(held.copies.len());
        for copy in &held.copies {
            let (node, _) = &self.nodes[copy.node];
            if let Some(described) = self.describe_on(node, held.blob_id).await? {
                copies.push((node.clone(), described));
            }
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
        best.ok_or_else(gone)
    }

    async fn describe_on(&self, node: &Node, blob_id: BlobId) -> Result<Option<Described>, Stop> {
        let passed = |bytes| {
            self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        };
        let described = self.patiently(async || node.describe(blob_id, passed).await).await;
        let Err(error) = described else { return Ok(described?) };
        // What looks like a fault of the node may be one of this object.
        match node.fails_at(blob_id, &blob_id.key(), None).await {
            Some(failure) => Err(Stop::Refused("copy_unreadable", format!("node {} {failure}", node.id()))),
            None => Err(error.into()),
        }
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
        let path = |text: String| text.parse::<Path>().expect("names and ids are a path");
        let wanted = path(format!("{FOLDER}/{}", held.blob_id));
        let Some(space_id) = space_id else {
            let (space, shown) = (SpaceName::main(), (SpaceName::main(), wanted.clone()));
            return Ok(Place { space_id: self.files.space(&space).await?, space, path: wanted, shown });
        };
        let row = self.files.catalog().space_row(space_id).await?;
        let is_there = row.as_ref().is_some_and(|row| row.deleted_seq.is_none());
        let space = row.map_or_else(|| space_id.to_string().parse().expect("an id is a name"), |row| row.name);
        let shown = if is_there {
            (space.clone(), wanted.clone())
        } else {
            let recovered = RECOVERED_SPACE.parse().expect("the constant is a space name");
            (recovered, path(format!("{space}/{wanted}")))
        };
        Ok(Place { space_id, space, path: wanted, shown })
    }

    async fn make_file(&self, held: &Held) -> Result<Recovered, Stop> {
        let (blob_id, place) = (held.blob_id, self.place(held).await?);
        let (node, described) = self.describe(held).await?;
        let event_id = event_id(&place, blob_id);
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
        // Reading may have taken long.
        self.check_markers().await?;
        let layout = self.files.ready()?.nodes.layout();
        let fact = Fact::FileUploaded(file.uploaded(place.space_id, Stored::new(blob_id, &described.written, &layout)));
        let receipt = match self.files.change(Asked { event_id, author }, fact).await {
            Err(error) if error.code() == Code::RequestIdReused => {
                return Err(Stop::Refused(KNOWN, "somebody has recovered it with other bytes".to_owned()));
            }
            published => published?,
        };
        if receipt.decision == Decision::Rejected {
            return Err(Stop::Refused("blob_condemned", "somebody has it erased".to_owned()));
        }
        let (space, path) = receipt.space.zip(receipt.path).unwrap_or(place.shown);
        info!(blob.id = %blob_id, seq = receipt.sequence.n, "recovered blob {blob_id} as {space}/{path}");
        Ok(Recovered { place: Some((space, path)), ..held.with(Fate::Recovered(receipt.version_id, receipt.sequence)) })
    }

    /// The event that had it erased is lost, and a node that has it was away then. What its bytes are does not matter.
    async fn erase_again(&self, held: &Held) -> Result<Recovered, Stop> {
        let Some(copy) = held.copies.first() else { return Err(gone()) };
        let (node, _) = &self.nodes[copy.node];
        let content = match self.describe_on(node, held.blob_id).await {
            Ok(described) => described.map(|described| (described.written.size_bytes, described.written.sha256)),
            Err(Stop::Refused(..)) => None,
            Err(failed) => return Err(failed),
        };
        let (size_bytes, sha256) = content.unwrap_or_else(|| (copy.size_bytes, Sha256Digest::of(&[])));
        let (blob_id, node) = (held.blob_id, node.id().clone());
        let orphan = Orphan { blob_id, size_bytes, sha256, space_id: SpaceId::NONE, node };
        let condemned = BlobCondemned { blob_ids: Vec::new(), orphans: vec![orphan] };
        let receipt = self.files.by_itself(Fact::BlobCondemned(condemned)).await?;
        if receipt.decision == Decision::Rejected {
            return Err(Stop::Refused(KNOWN, "an event has come to name it meanwhile".to_owned()));
        }
        Ok(held.with(Fate::Erased(receipt.sequence)))
    }
}

/// The id of the event that makes a file of a blob.
fn event_id(place: &Place, blob_id: BlobId) -> EventId {
    EventId::of_request(ANYBODY, place.space_id, &blob_id.to_string())
}

fn gone() -> Stop {
    Stop::Refused("blob_not_found", "no node that was looked at has it any more".to_owned())
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
        match error.faulty_node() {
            Some(_) => Self::Failed(unavailable(&error)),
            None => Self::Refused("copy_unreadable", error.to_string()),
        }
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
