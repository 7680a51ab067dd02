//! What the nodes have of each blob, side by side.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use blobs::{Node, ObjectKey};
use proto::BlobId;
use time::OffsetDateTime;

use super::{Recovering, unavailable};
use crate::error::Result;

/// Objects on one page of a listing, the most that S3 gives.
const LISTED: u16 = 1000;
/// What the keys of blobs begin with.
const BLOBS: &str = "blobs/";

/// A blob and the nodes that have an object of it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) blob_id: BlobId,
    pub(super) copies: Vec<Copy>,
    /// When the newest of the objects was written, by its node's clock.
    pub(super) modified: Option<OffsetDateTime>,
}

/// An object of a blob.
#[derive(Debug)]
pub(super) struct Copy {
    /// The place of its node among those that are looked at.
    pub(super) node: usize,
    pub(super) size_bytes: u64,
}

/// The listings of all nodes, in the order of their keys.
pub(super) struct Listings<'a> {
    recovering: &'a Recovering<'a>,
    listings: Vec<Listing>,
}

struct Listing {
    node: Node,
    ready: VecDeque<(String, Listed)>,
    after: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Listed {
    blob_id: BlobId,
    size_bytes: u64,
    modified: Option<OffsetDateTime>,
}

/// Asks every node for a blob.
pub(super) async fn look(recovering: &Recovering<'_>, blob_id: BlobId) -> Result<Held> {
    let mut held = Held { blob_id, copies: Vec::new(), modified: None };
    let key = blob_id.key();
    for (node, (at, _)) in recovering.nodes.iter().enumerate() {
        // Listed, since only that tells its age; of all keys with this beginning, the key itself is the first.
        let listed = recovering.patiently(async || at.list(&key, None, 1).await).await;
        let objects = listed.map_err(|error| unavailable(&error))?.objects;
        if let Some(object) = objects.into_iter().find(|object| object.key == key) {
            held.add(node, object.size_bytes, object.modified_unix_s.and_then(instant));
        }
    }
    Ok(held)
}

fn instant(unix_s: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(unix_s).ok()
}

// === impl Held ===

impl Held {
    fn add(&mut self, node: usize, size_bytes: u64, modified: Option<OffsetDateTime>) {
        self.copies.push(Copy { node, size_bytes });
        self.modified = self.modified.max(modified);
    }
}

// === impl Listings ===

impl<'a> Listings<'a> {
    pub(super) fn new(recovering: &'a Recovering<'a>) -> Self {
        let listing = |(node, _): &(Node, _)| Listing {
            node: node.clone(),
            ready: VecDeque::new(),
            after: Some(BLOBS.to_owned()),
        };
        Self { recovering, listings: recovering.nodes.iter().map(listing).collect() }
    }

    /// The next blob that any node has.
    pub(super) async fn next(&mut self) -> Result<Option<Held>> {
        for listing in &mut self.listings {
            listing.fill(self.recovering).await?;
        }
        let first = self.listings.iter().filter_map(|listing| listing.ready.front()).min_by(|a, b| a.0.cmp(&b.0));
        let Some((key, Listed { blob_id, .. })) = first.cloned() else { return Ok(None) };
        let mut held = Held { blob_id, copies: Vec::new(), modified: None };
        for (node, listing) in self.listings.iter_mut().enumerate() {
            if let Some((_, listed)) = listing.ready.pop_front_if(|(own, _)| *own == key) {
                held.add(node, listed.size_bytes, listed.modified);
            }
        }
        Ok(Some(held))
    }
}

// === impl Listing ===

impl Listing {
    /// Makes sure that the next blob is known, if there is one.
    async fn fill(&mut self, recovering: &Recovering<'_>) -> Result<()> {
        while self.ready.is_empty()
            && let Some(after) = self.after.take()
        {
            let page = recovering.patiently(async || self.node.list_after(&after, LISTED).await).await;
            let page = page.map_err(|error| unavailable(&error))?;
            let is_last = page.objects.last().is_none_or(|last| !last.key.starts_with(BLOBS));
            self.after = page.next.filter(|_| !is_last);
            recovering.counters.objects.fetch_add(page.objects.len() as u64, Ordering::Relaxed);
            self.ready.extend(page.objects.into_iter().filter_map(|object| {
                let ObjectKey::Blob(blob_id) = ObjectKey::parse(&object.key) else { return None };
                let modified = object.modified_unix_s.and_then(instant);
                Some((object.key, Listed { blob_id, size_bytes: object.size_bytes, modified }))
            }));
        }
        Ok(())
    }
}
