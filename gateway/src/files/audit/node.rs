//! Going through one node.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use blobs::{Listed, Node, ObjectKey};
use catalog::Audited;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{BlobId, MarkerId, Sequence};
use runtime::shutdown::Shutdown;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::judge::{Ages, Object, Seen, is_stored, judge};
use super::look::Look;
use super::pace::Pace;
use super::{AuditedNode, Difference, Finding, Plan, Said, Stop};
use crate::files::Files;
use crate::uploads;

/// Objects on one page of the listing, the most that S3 gives; and blobs that are compared together.
const PAGE: u16 = 1000;

/// How far the audit of a node is.
#[derive(Debug, Default)]
pub(super) struct Counters {
    objects: AtomicU64,
    listed_bytes: AtomicU64,
    read_bytes: AtomicU64,
    findings: AtomicU64,
    repaired: AtomicU64,
}

/// The audit of one node.
pub(super) struct Audit<'a> {
    pub(super) files: &'a Files,
    pub(super) node: Node,
    pub(super) marker_id: MarkerId,
    plan: Plan,
    said: &'a mpsc::Sender<Said>,
    counters: &'a Counters,
    pace: Pace,
    shutdown: Shutdown,
    /// Blobs whose object was listed, of the folders since `since`.
    held: HashSet<BlobId>,
    since: u8,
}

/// A blob of which something was listed.
#[derive(Debug, Clone)]
struct Found {
    blob_id: BlobId,
    seen: Seen,
}

/// A blob that is not as its row says, before it was looked at again.
struct Suspect {
    blob_id: BlobId,
    modified: Option<OffsetDateTime>,
    before: Option<Audited>,
}

/// The folder of a blob's key: the last byte of its id.
fn folder(blob_id: BlobId) -> u8 {
    blob_id.uuid().as_bytes()[15]
}

fn by_id(rows: Vec<Audited>) -> HashMap<BlobId, Audited> {
    rows.into_iter().map(|row| (row.blob_id, row)).collect()
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        files: &'a Files,
        node: Node,
        marker_id: MarkerId,
        plan: Plan,
        said: &'a mpsc::Sender<Said>,
        counters: &'a Counters,
    ) -> Self {
        let (pace, shutdown) = (Pace::new(plan.bytes_per_second), files.shutdown());
        Self { files, node, marker_id, plan, said, counters, pace, shutdown, held: HashSet::new(), since: 0 }
    }

    /// Goes through the node, from a folder on.
    pub(super) async fn run(mut self, from: u8) -> Result<(), Stop> {
        self.since = from;
        self.check_marker().await?;
        let mut after = if from == 0 { String::new() } else { format!("blobs/{from:02x}") };
        let mut batch: Vec<Found> = Vec::new();
        loop {
            let page = self.look().again(async || self.node.list_after(&after, PAGE).await).await?;
            for listed in page.objects {
                self.take(&mut batch, listed).await?;
            }
            // What else there is of the last one may be on the next page.
            let last = if page.next.is_some() { batch.pop() } else { None };
            self.compare(&mut batch).await?;
            batch.extend(last);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        self.find_missing(self.since..=u8::MAX).await?;
        self.check_marker().await?;
        self.say(Said::Done(None)).await
    }

    /// Adds an object to the blobs that are to be compared. When it begins another folder, those before are finished, if
    /// enough is held.
    async fn take(&mut self, batch: &mut Vec<Found>, listed: Listed) -> Result<(), Stop> {
        self.counters.objects.fetch_add(1, Ordering::Relaxed);
        self.counters.listed_bytes.fetch_add(listed.size_bytes, Ordering::Relaxed);
        let (blob_id, is_parts) = match ObjectKey::parse(&listed.key) {
            ObjectKey::Blob(blob_id) => (blob_id, false),
            ObjectKey::Parts(blob_id) => (blob_id, true),
            ObjectKey::Tombstone(_) | ObjectKey::Segment | ObjectKey::Own => return Ok(()),
            ObjectKey::Foreign => return self.foreign(listed.key).await,
        };
        let folder = folder(blob_id);
        if folder > self.since && self.held.len() >= self.plan.held_blobs {
            self.compare(batch).await?;
            self.find_missing(self.since..=folder - 1).await?;
            self.held.clear();
            self.since = folder;
            self.say(Said::Done(Some(folder))).await?;
        }
        if batch.last().is_none_or(|last| last.blob_id != blob_id) {
            batch.push(Found { blob_id, seen: Seen::default() });
        }
        let Some(Found { seen, .. }) = batch.last_mut() else { return Ok(()) };
        let object = Some(Object { size_bytes: listed.size_bytes, sha256: None });
        let modified = listed.modified_unix_s.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        seen.modified = seen.modified.max(modified);
        if is_parts {
            seen.parts = object;
        } else {
            seen.object = object;
            self.held.insert(blob_id);
        }
        Ok(())
    }

    /// Compares what was listed with its rows.
    async fn compare(&mut self, batch: &mut Vec<Found>) -> Result<(), Stop> {
        if batch.is_empty() {
            return Ok(());
        }
        let ids: Vec<BlobId> = batch.iter().map(|found| found.blob_id).collect();
        let rows = by_id(self.files.catalog().audited(self.node.id(), &ids).await?.0);
        let (ages, look, is_deep) = (self.ages(), self.look(), self.plan.is_deep);
        let (rows, ages, look) = (&rows, &ages, &look);
        let judged = stream::iter(batch.drain(..)).map(|found| async move {
            let (mut seen, row) = (found.seen.clone(), rows.get(&found.blob_id));
            if let (true, Some(row)) = (is_deep, row) {
                look.read(&mut seen, row).await?;
            }
            let is_wrong = judge(found.blob_id, &seen, row, ages).is_some();
            let suspect = || Suspect { blob_id: found.blob_id, modified: seen.modified, before: row.cloned() };
            Ok::<_, Stop>(is_wrong.then(suspect))
        });
        let judged: Vec<Option<Suspect>> =
            judged.buffer_unordered(self.files.limits().audit_reads).try_collect().await?;
        self.look_again(judged.into_iter().flatten().collect()).await
    }

    /// Goes through the rows of these folders, and looks for those whose object was not listed.
    async fn find_missing(&mut self, folders: RangeInclusive<u8>) -> Result<(), Stop> {
        let (catalog, mut after) = (self.files.catalog(), None);
        loop {
            let page = catalog.stored_on(self.node.id(), folders.clone(), after, PAGE.into()).await?;
            let Some(&last) = page.last() else { return Ok(()) };
            after = Some(last);
            let ids: Vec<BlobId> = page.into_iter().filter(|blob_id| !self.held.contains(blob_id)).collect();
            if ids.is_empty() {
                continue;
            }
            let rows = catalog.audited(self.node.id(), &ids).await?.0;
            let stored = rows.into_iter().filter(is_stored);
            let suspects =
                stored.map(|row| Suspect { blob_id: row.blob_id, modified: None, before: Some(row) }).collect();
            self.look_again(suspects).await?;
        }
    }

    /// Looks at the objects once more, and then at their rows in a catalog that is not older than that look. What is
    /// wrong still is told, and repaired when that is asked for.
    async fn look_again(&mut self, suspects: Vec<Suspect>) -> Result<(), Stop> {
        if suspects.is_empty() {
            return Ok(());
        }
        let (look, is_deep) = (&self.look(), self.plan.is_deep);
        let looks = stream::iter(suspects).map(|suspect| async move {
            let mut seen = look.at(suspect.blob_id).await?;
            seen.modified = suspect.modified;
            if let (true, Some(row)) = (is_deep, &suspect.before) {
                look.read(&mut seen, row).await?;
            }
            Ok::<_, Stop>((suspect, seen))
        });
        let looks: Vec<(Suspect, Seen)> = looks.buffer_unordered(self.files.limits().audit_reads).try_collect().await?;
        self.catch_up().await?;
        let ids: Vec<BlobId> = looks.iter().map(|(suspect, _)| suspect.blob_id).collect();
        let (rows, at) = self.files.catalog().audited(self.node.id(), &ids).await?;
        self.check_marker().await?;
        let (rows, ages) = (by_id(rows), self.ages());
        let unfinished = self.unfinished(&looks, &rows).await?;
        let mut findings = Vec::new();
        for (suspect, seen) in looks {
            let row = rows.get(&suspect.blob_id);
            let Some((difference, detail)) = judge(suspect.blob_id, &seen, row, &ages) else { continue };
            if unfinished.contains(&suspect.blob_id) {
                continue;
            }
            // A pair that has changed since the first look was under way.
            let is_same = suspect.before.map(|row| row.replica) == row.map(|row| row.replica);
            if !is_same {
                continue;
            }
            let blob_id = suspect.blob_id;
            let is_parts = difference == Difference::Parts || seen.object.is_none() && seen.parts.is_some();
            let key = if is_parts { blob_id.parts_key() } else { blob_id.key() };
            let node = self.node.id().clone();
            findings.push(Finding { difference, node, key, blob_id: Some(blob_id), detail, repaired_by: None });
        }
        findings.sort_by(|a, b| (a.difference, &a.key).cmp(&(b.difference, &b.key)));
        if self.plan.repairs {
            self.repair(&mut findings, at).await?;
        }
        for finding in findings {
            self.tell(finding).await?;
        }
        Ok(())
    }

    async fn foreign(&mut self, key: String) -> Result<(), Stop> {
        let (difference, node) = (Difference::Foreign, self.node.id().clone());
        let detail = "the key is none of Highwater's".to_owned();
        self.tell(Finding { difference, node, key, blob_id: None, detail, repaired_by: None }).await
    }

    async fn tell(&mut self, finding: Finding) -> Result<(), Stop> {
        self.counters.findings.fetch_add(1, Ordering::Relaxed);
        if finding.repaired_by.is_some() {
            self.counters.repaired.fetch_add(1, Ordering::Relaxed);
        }
        self.say(Said::Finding(finding)).await
    }

    async fn say(&self, said: Said) -> Result<(), Stop> {
        self.said.send(said).await.map_err(|_| Stop::Unheard)
    }

    /// The blobs of uploads that can still be resumed, when it matters: what there is of them is nobody's fault.
    async fn unfinished(
        &self,
        looks: &[(Suspect, Seen)],
        rows: &HashMap<BlobId, Audited>,
    ) -> Result<HashSet<BlobId>, Stop> {
        if looks.iter().all(|(suspect, _)| rows.contains_key(&suspect.blob_id)) {
            return Ok(HashSet::new());
        }
        Ok(uploads::blob_ids(&self.files.ready()?.journal).await?)
    }

    /// Waits until the catalog shows all that is in the journal now.
    async fn catch_up(&self) -> Result<(), Stop> {
        let opened = self.files.ready()?;
        let head = opened.journal.head().await.map_err(crate::error::Error::from)?;
        let at = Sequence { incarnation: opened.journal.identity().incarnation, n: head.n };
        Ok(self.files.catalog().wait_for(at, self.files.limits().outcome_wait).await?)
    }

    /// What is on another disk than the one that the catalog speaks of says nothing.
    pub(super) async fn check_marker(&self) -> Result<(), Stop> {
        let marker = self.look().again(async || self.node.read_marker().await).await?;
        match marker {
            Some(marker) if marker.marker_id == self.marker_id => Ok(()),
            Some(_) => Err(Stop::Node("has another marker than the one that it joined with".to_owned())),
            None => Err(Stop::Node("has no marker".to_owned())),
        }
    }

    pub(super) fn look(&self) -> Look<'_> {
        let read_bytes = &self.counters.read_bytes;
        Look { node: &self.node, pace: &self.pace, read_bytes, shutdown: &self.shutdown }
    }

    fn ages(&self) -> Ages {
        let limits = self.files.limits();
        let now = self.files.inner().process.clock.now();
        let restored_at = self.files.opened().and_then(|opened| opened.journal.restored_at());
        Ages { now, orphan_grace: limits.orphan_grace, settle: limits.audit_settle, restored_at }
    }
}

// === impl Counters ===

impl Counters {
    pub(super) fn node(&self, name: &str) -> AuditedNode {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditedNode {
            node: name.to_owned(),
            objects: of(&self.objects),
            bytes: of(&self.listed_bytes).max(of(&self.read_bytes)),
            findings: of(&self.findings),
            repaired: of(&self.repaired),
            error: None,
        }
    }
}
