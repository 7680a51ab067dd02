//! Recovered copies: objects that no event names become files again, each at a place of its own and never over another.
//!
//! When events were lost for good, with the archive and the catalog, the objects of their uploads are all that is left of
//! acknowledged files. What an object was called is lost with its event, so the file is called by its blob; everything else
//! is as if the blob had just been uploaded, and its object stays where it is.

mod held;
mod one;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blobs::Node;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{Actor, BlobId, MarkerId, NodeId, Path, Sequence, SpaceName, VersionId};
use runtime::retry;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::Files;
use super::audit::{PATIENCE, is_recoverable};
use super::telling::telling;
use crate::error::{Code, Error, Result};
use crate::uploads;

use self::held::{Held, Listings, look};

/// Blobs that are looked up together.
const PAGE: usize = 1000;

/// Why nothing is done with a blob that an event names.
const KNOWN: &str = "blob_known";
/// Why nothing is done with a blob of an upload that can be resumed.
const UNFINISHED: &str = "upload_unfinished";

/// What shall be recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recover {
    /// These blobs; none: all that no event names and that are not too young.
    pub(crate) blob_ids: Vec<BlobId>,
    /// Whether it is done, or only shown.
    pub(crate) is_done: bool,
    /// The nodes that are looked at; none: all.
    pub(crate) nodes: Vec<NodeId>,
    /// Who asks.
    pub(crate) actor: Actor,
}

/// What became of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It can be recovered.
    Offered,
    /// It is the version's content.
    Recovered(Option<VersionId>, Sequence),
    /// It had been erased; the event has that done again.
    Erased(Sequence),
    /// Nothing, for a reason: its word, and a sentence.
    Refused(&'static str, String),
}

/// A blob that no event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Which one.
    pub(crate) blob_id: BlobId,
    /// The length of its object.
    pub(crate) size_bytes: u64,
    /// The nodes that have it.
    pub(crate) nodes: Vec<NodeId>,
    /// Where its file is, or would be.
    pub(crate) place: Option<(SpaceName, Path)>,
    /// What became of it.
    pub(crate) fate: Fate,
}

/// How much was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Objects that were listed.
    pub(crate) objects: u64,
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// Blobs that can be recovered.
    pub(crate) offered: u64,
    /// Blobs that were.
    pub(crate) recovered: u64,
    /// Blobs that are erased again.
    pub(crate) erased: u64,
    /// Blobs with which nothing was done.
    pub(crate) refused: u64,
    /// Blobs whose event may still come.
    pub(crate) left_out: u64,
}

/// What is told while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// How far it is.
    Progress(Counts),
    /// What became of a blob.
    Blob(Recovered),
    /// Everything is done.
    Summary(Sequence, Counts),
}

/// The work.
struct Recovering<'a> {
    files: &'a Files,
    asked: &'a Recover,
    said: &'a mpsc::Sender<Recovery>,
    /// The nodes that are looked at, with the markers that they must carry.
    nodes: Vec<(Node, MarkerId)>,
    restored_at: Option<OffsetDateTime>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    objects: AtomicU64,
    bytes: AtomicU64,
    offered: AtomicU64,
    recovered: AtomicU64,
    erased: AtomicU64,
    refused: AtomicU64,
    left_out: AtomicU64,
}

impl Files {
    /// Recovers what is asked for, or shows what could be, and tells of it until nobody listens.
    ///
    /// What becomes of a blob is an event whose id follows from the blob's: asking again changes nothing.
    pub(crate) async fn recover(&self, asked: &Recover, said: &mpsc::Sender<Recovery>) -> Result<()> {
        let opened = self.ready()?;
        if asked.is_done
            && let Some(objection) = self.objection()
        {
            return Err(objection);
        }
        let (nodes, restored_at) = (self.recovery_nodes(&asked.nodes).await?, opened.journal.restored_at());
        let recovering = Recovering { files: self, asked, said, nodes, restored_at, counters: Counters::default() };
        let progress = || Recovery::Progress(recovering.counters.now());
        let Some(outcome) = telling(Box::pin(recovering.run()), said, progress).await else { return Ok(()) };
        outcome?;
        let checkpoint = self.catalog().checkpoints().now().map_or(0, |checkpoint| checkpoint.n);
        let summary = Recovery::Summary(self.sequence(checkpoint)?, recovering.counters.now());
        // Nobody to tell is no fault.
        let _ = said.send(summary).await;
        Ok(())
    }

    /// The nodes of these names, or all that have joined.
    async fn recovery_nodes(&self, names: &[NodeId]) -> Result<Vec<(Node, MarkerId)>> {
        let markers: BTreeMap<NodeId, MarkerId> = self.catalog().markers().await?.into_iter().collect();
        let names: BTreeSet<&NodeId> = if names.is_empty() { markers.keys().collect() } else { names.iter().collect() };
        let nodes = &self.ready()?.nodes;
        let find = |name: &NodeId| {
            let missing = |why: &str| Err(Error::new(Code::NodeNotFound, format!("the node {name} {why}")));
            match (markers.get(name), nodes.get(name)) {
                (None, _) => missing("has not joined"),
                (_, None) => missing("is not configured for this gateway; name the nodes to look at instead"),
                (Some(marker_id), Some(node)) => Ok((node.clone(), *marker_id)),
            }
        };
        names.into_iter().map(find).collect()
    }
}

// === impl Recovering ===

impl Recovering<'_> {
    async fn run(&self) -> Result<()> {
        self.check_markers().await?;
        if !self.asked.blob_ids.is_empty() {
            for blob_ids in self.asked.blob_ids.chunks(PAGE) {
                let held = stream::iter(blob_ids.to_vec()).map(|blob_id| look(self, blob_id));
                let held = held.buffered(self.files.limits().audit_reads).try_collect().await?;
                self.decide(held).await?;
            }
            return Ok(());
        }
        let mut listings = Listings::new(self);
        loop {
            let mut page: Vec<Held> = Vec::with_capacity(PAGE);
            while page.len() < PAGE
                && let Some(held) = listings.next().await?
            {
                page.push(held);
            }
            if page.is_empty() {
                return Ok(());
            }
            let (known, now) = (self.known(page.iter().map(|held| held.blob_id)).await?, self.files.clock().now());
            page.retain(|held| !known.contains(&held.blob_id));
            let unknown = page.len();
            page.retain(|held| !self.is_young(held, now));
            self.counters.left_out.fetch_add((unknown - page.len()) as u64, Ordering::Relaxed);
            if !page.is_empty() {
                self.decide(page).await?;
            }
        }
    }

    /// Says what there is to say of each of these blobs, and does what shall be done.
    async fn decide(&self, page: Vec<Held>) -> Result<()> {
        // An empty disk in the place of a full one would say that nothing was there, and nothing erased.
        self.check_markers().await?;
        // Their objects were seen before the catalog is asked: what names one of them by now is in the journal.
        self.files.reach_head().await?;
        let known = self.known(page.iter().map(|held| held.blob_id)).await?;
        let unfinished = uploads::blob_ids(&self.files.ready()?.journal).await?;
        let (known, unfinished) = (&known, &unfinished);
        let is_named = !self.asked.blob_ids.is_empty();
        let all = stream::iter(page).map(|held| async move {
            let recovered = match self.objection(&held, known, unfinished) {
                // Of those that were not asked for, only what can be recovered is of interest.
                Some((reason, _)) if !is_named => {
                    let is_left_out = u64::from(reason == UNFINISHED);
                    self.counters.left_out.fetch_add(is_left_out, Ordering::Relaxed);
                    return Ok(());
                }
                Some((KNOWN, detail)) => self.known_one(&held, detail).await?,
                Some((reason, detail)) => held.refused(reason, detail),
                None => self.one(&held).await?,
            };
            self.tell(recovered).await
        });
        all.buffer_unordered(self.files.limits().audit_reads).try_collect().await
    }

    /// Why nothing is done with a blob, whatever its object is.
    fn objection(
        &self,
        held: &Held,
        known: &HashSet<BlobId>,
        unfinished: &HashSet<BlobId>,
    ) -> Option<(&'static str, String)> {
        if known.contains(&held.blob_id) {
            return Some((KNOWN, "an event names it: `highwater explain` says what became of it".to_owned()));
        }
        if held.copies.is_empty() {
            return Some(("blob_not_found", "no node that was looked at has it".to_owned()));
        }
        if unfinished.contains(&held.blob_id) {
            return Some((UNFINISHED, "its upload can still be resumed".to_owned()));
        }
        let age = runtime::config::duration::format(self.wanted_age(held.blob_id));
        self.is_young(held, self.files.clock().now())
            .then(|| ("blob_young", format!("it is younger than {age}, and its event may still come")))
    }

    /// Whether the event of the blob may still come, as far as its age says.
    fn is_young(&self, held: &Held, now: OffsetDateTime) -> bool {
        held.modified.is_none_or(|at| now - at <= self.wanted_age(held.blob_id))
    }

    /// How old the objects of a blob must be. Clocks differ, so one from before a restoring must have some age, too: an upload
    /// that fails deletes its object.
    fn wanted_age(&self, blob_id: BlobId) -> Duration {
        let limits = self.files.limits();
        if is_recoverable(blob_id, self.restored_at) { limits.audit_settle } else { limits.orphan_grace }
    }

    /// Every node that is looked at must be on the disk that it joined with.
    async fn check_markers(&self) -> Result<()> {
        for (node, marker_id) in &self.nodes {
            let marker =
                self.patiently(async || node.read_marker().await).await.map_err(|error| unavailable(&error))?;
            if marker.is_none_or(|marker| marker.marker_id != *marker_id) {
                let problem =
                    format!("node {} has another marker than the one that it joined with, or none", node.id());
                return Err(Error::new(Code::NodeUnavailable, problem));
            }
        }
        Ok(())
    }

    async fn known(&self, blob_ids: impl Iterator<Item = BlobId>) -> Result<HashSet<BlobId>> {
        let blob_ids: Vec<BlobId> = blob_ids.collect();
        let Some((node, _)) = self.nodes.first() else { return Ok(HashSet::new()) };
        let (rows, _) = self.files.catalog().audited(node.id(), &blob_ids).await?;
        Ok(rows.into_iter().map(|row| row.blob_id).collect())
    }

    async fn tell(&self, recovered: Recovered) -> Result<()> {
        let counter = match recovered.fate {
            Fate::Offered => &self.counters.offered,
            Fate::Recovered(..) => &self.counters.recovered,
            Fate::Erased(_) => &self.counters.erased,
            Fate::Refused(..) => &self.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        // The work ends by itself when nobody listens.
        let _ = self.said.send(Recovery::Blob(recovered)).await;
        Ok(())
    }

    /// Asks a node until it answers, for a while.
    async fn patiently<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, blobs::Error>
    where
        F: Future<Output = Result<T, blobs::Error>>,
    {
        retry::run(&PATIENCE, self.files.shutdown().soft_token(), ask).await
    }
}

// === impl Counters ===

impl Counters {
    fn now(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            objects: of(&self.objects),
            bytes: of(&self.bytes),
            offered: of(&self.offered),
            recovered: of(&self.recovered),
            erased: of(&self.erased),
            refused: of(&self.refused),
            left_out: of(&self.left_out),
        }
    }
}

/// A node that must be asked, and does not answer.
fn unavailable(error: &blobs::Error) -> Error {
    let problem = format!("{error}; start it, or name the nodes to look at instead");
    Error::new(Code::NodeUnavailable, problem)
}
