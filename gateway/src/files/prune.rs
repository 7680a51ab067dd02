//! Giving up old content that a space's retention need not keep.
//!
//! What to prune is found in the catalog at one sequence, and the events say at which: the fold skips every version that
//! was touched since, so that nothing comes to harm by being late. The last event of a request says that it is the last:
//! who asks again after that gets the first outcome, and before it, what is left is pruned.

use std::fmt;
use std::str::FromStr;

use catalog::{Keep, Prunable, SpaceRow};
use proto::{
    EventId, Fact, FileId, Fingerprint, Path, PruneReason, PrunedVersion, Sequence, SpaceId, SpaceName, VersionId,
    VersionsPruned,
};
use time::OffsetDateTime;

use super::request::Author;
use super::series::Series;
use super::spaces::Retention;
use super::{Files, Receipt, publish, space_not_found};
use crate::error::{Code, Error, Result};

/// Versions in one event: each takes some 200 bytes, and an event at most 32 KiB.
const PRUNED_PER_EVENT: usize = 150;

/// Versions that an answer names one by one.
const SHOWN: usize = 1000;

/// What is asked to be pruned.
#[derive(Debug, Clone)]
pub(crate) struct Prune {
    pub(crate) space: SpaceName,
    pub(crate) dry_run: bool,
    /// To try instead of the space's own.
    pub(crate) instead: Option<Retention>,
    /// What the catalog shall have reached at least.
    pub(crate) at_least: Option<Sequence>,
}

/// What was, or would be, pruned.
#[derive(Debug, Default)]
pub(crate) struct Pruning {
    pub(crate) versions: u64,
    pub(crate) bytes: u64,
    /// The first of them.
    pub(crate) shown: Vec<Shown>,
    pub(crate) receipts: Vec<Receipt>,
}

/// One version that was, or would be, pruned.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) version_id: VersionId,
    pub(crate) file_id: FileId,
    pub(crate) path: Option<Path>,
    pub(crate) size_bytes: u64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) because: PruneReason,
}

/// Where what is found goes.
enum Sink<'a> {
    /// Nowhere: it is a dry run.
    Nowhere,
    /// Into events of this request, of which there are so many.
    Journal { series: &'a Series, events: u64 },
}

/// What one event prunes.
struct Part {
    evaluated_at: u64,
    versions: Vec<Prunable>,
}

/// Whether more events follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Follow,
    End,
}

/// What an event says to who asks again: by which retention it went, and whether it is the last.
struct Note {
    retention: Retention,
    more: More,
}

/// What a request has done before.
struct Begun {
    pruning: Pruning,
    retention: Retention,
    events: u64,
    is_ended: bool,
}

impl Files {
    /// Prunes a space by its own retention, or says what `instead` or its own would prune; answers by which it went. The
    /// same request again answers the first outcome.
    pub(crate) async fn prune(&self, wanted: &Prune, author: &Author) -> Result<(Pruning, Retention)> {
        let Prune { space, dry_run, instead, at_least } = wanted;
        self.reach(*at_least).await?;
        let fingerprint = |space_id: SpaceId| Fingerprint::of_series("prune", space_id, &[]);
        // Not in the space's own namespace: the same id for another space is a mistake.
        let space_id = self.space_of_series(space, author, fingerprint).await?;
        let series = self.series(author, SpaceId::NONE, fingerprint(space_id));
        let begun = if *dry_run { None } else { self.pruned_before(&series).await? };
        if instead.is_some() && !dry_run {
            if begun.is_some() {
                return Err(publish::reused());
            }
            let problem = "another retention than the space's own can only be tried; set it first to prune by it";
            return Err(Error::new(Code::RetentionNeeded, problem));
        }
        if let Some(Begun { pruning, retention, is_ended: true, .. }) = begun {
            return Ok((pruning, retention));
        }
        let row = self.catalog().space_row(space_id).await?.ok_or_else(|| space_not_found(space))?;
        let own = Retention { keep_versions: row.keep_versions, keep_days: row.keep_days };
        let retention = begun.as_ref().map_or(instead.unwrap_or(own), |begun| begun.retention);
        if retention == Retention::default() {
            let problem = format!("the space {:?} keeps everything: it has no retention", space.as_str());
            return Err(Error::new(Code::RetentionNeeded, problem));
        }
        let (mut pruning, events) = begun.map_or_else(Default::default, |begun| (begun.pruning, begun.events));
        let mut sink = if *dry_run { Sink::Nowhere } else { Sink::Journal { series: &series, events } };
        self.prune_into(&row, retention, &mut sink, &mut pruning).await?;
        Ok((pruning, retention))
    }

    /// Prunes a space, which may be a deleted one.
    pub(crate) async fn prune_space(&self, row: &SpaceRow, retention: Retention, author: &Author) -> Result<Pruning> {
        let series = self.series(author, SpaceId::NONE, Fingerprint::of_series("prune", row.space_id, &[]));
        let mut pruning = Pruning::default();
        let mut sink = Sink::Journal { series: &series, events: 0 };
        self.prune_into(row, retention, &mut sink, &mut pruning).await?;
        Ok(pruning)
    }

    async fn prune_into(
        &self,
        row: &SpaceRow,
        retention: Retention,
        sink: &mut Sink<'_>,
        pruning: &mut Pruning,
    ) -> Result<()> {
        let before = retention.keep_days.map(|days| {
            let now = self.inner().process.clock.now();
            now.checked_sub(time::Duration::days(days.into())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
        });
        let keep = Keep { versions: retention.keep_versions, before };
        let (mut after, page) = (None::<VersionId>, self.limits().page_size);
        // Each part waits for the next, so that the last one can say that it is.
        let mut waiting: Option<Part> = None;
        loop {
            let (found, evaluated_at) = self.catalog().prunable(row.space_id, keep, after, page).await?;
            let Some(last) = found.last() else {
                return self
                    .end(row, retention, sink, waiting.unwrap_or(Part { evaluated_at, versions: Vec::new() }), pruning)
                    .await;
            };
            after = Some(last.version_id);
            for versions in found.chunks(PRUNED_PER_EVENT) {
                pruning.count(versions.iter().map(Shown::from));
                if let Some(before) = waiting.replace(Part { evaluated_at, versions: versions.to_vec() }) {
                    self.publish_pruned(row, retention, sink, before, More::Follow, pruning).await?;
                }
            }
        }
    }

    /// Publishes the last part. One without versions is only to remember that there was nothing (more) to prune: for who
    /// can ask again.
    async fn end(
        &self,
        row: &SpaceRow,
        retention: Retention,
        sink: &mut Sink<'_>,
        last: Part,
        pruning: &mut Pruning,
    ) -> Result<()> {
        match sink {
            Sink::Journal { series, .. } if last.versions.is_empty() && !series.is_named() => Ok(()),
            Sink::Nowhere | Sink::Journal { .. } => {
                self.publish_pruned(row, retention, sink, last, More::End, pruning).await
            }
        }
    }

    async fn publish_pruned(
        &self,
        row: &SpaceRow,
        retention: Retention,
        sink: &mut Sink<'_>,
        part: Part,
        more: More,
        pruning: &mut Pruning,
    ) -> Result<()> {
        let Sink::Journal { series, events } = sink else { return Ok(()) };
        let versions = part.versions.iter().map(|version| PrunedVersion {
            version_id: version.version_id,
            file_id: version.file_id,
            because: version.because,
            trash: version.trash,
        });
        let fact = Fact::VersionsPruned(VersionsPruned {
            space_id: row.space_id,
            space: row.name.clone(),
            evaluated_at: part.evaluated_at,
            versions: versions.collect(),
        });
        let receipt = self.add(series, nth(series, *events), &Note { retention, more }.to_string(), fact).await?;
        *events += 1;
        if !part.versions.is_empty() {
            pruning.receipts.push(receipt);
        }
        Ok(())
    }

    /// What the request has pruned before; none when it has not begun.
    async fn pruned_before(&self, series: &Series) -> Result<Option<Begun>> {
        if !series.is_named() {
            return Ok(None);
        }
        // An attempt before this one may just have published what the catalog does not show yet.
        self.reach_head().await?;
        let mut begun: Option<Begun> = None;
        loop {
            let events = begun.as_ref().map_or(0, |begun| begun.events);
            let Some(found) = self.found(series, nth(series, events)).await? else { return Ok(begun) };
            let Fact::VersionsPruned(pruned) = found.fact else { return Err(publish::reused()) };
            let note: Note = found.note.parse()?;
            let so_far = begun.get_or_insert_with(|| Begun {
                pruning: Pruning::default(),
                retention: note.retention,
                events: 0,
                is_ended: false,
            });
            so_far.events += 1;
            so_far.is_ended = note.more == More::End;
            let ids: Vec<VersionId> = pruned.versions.iter().map(|version| version.version_id).collect();
            let past = self.catalog().past_versions(pruned.space_id, &ids, pruned.evaluated_at).await?;
            let shown = past.into_iter().zip(&pruned.versions).map(|(past, version)| Shown {
                version_id: past.version_id,
                file_id: version.file_id,
                path: past.path,
                size_bytes: past.size_bytes,
                created_at: past.created_at,
                because: version.because,
            });
            so_far.pruning.count(shown);
            if !ids.is_empty() {
                so_far.pruning.receipts.push(self.decided_receipt(found.row).await?);
            }
            if so_far.is_ended {
                return Ok(begun);
            }
        }
    }
}

/// The id of one of the request's events.
fn nth(series: &Series, n: u64) -> EventId {
    if n == 0 { series.first } else { series.first.step(n) }
}

// === impl Pruning ===

impl Pruning {
    fn count(&mut self, versions: impl Iterator<Item = Shown>) {
        for version in versions {
            self.versions += 1;
            self.bytes += version.size_bytes;
            if self.shown.len() < SHOWN {
                self.shown.push(version);
            }
        }
    }
}

// === impl Shown ===

impl From<&Prunable> for Shown {
    fn from(version: &Prunable) -> Self {
        Self {
            version_id: version.version_id,
            file_id: version.file_id,
            path: version.path.clone(),
            size_bytes: version.size_bytes,
            created_at: version.created_at,
            because: version.because,
        }
    }
}

// === impl Note ===

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
        let Retention { keep_versions, keep_days } = self.retention;
        let more = match self.more {
            More::Follow => "more",
            More::End => "end",
        };
        write!(f, "{}/{}/{more}", number(keep_versions), number(keep_days))
    }
}

impl FromStr for Note {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::internal(format!("{text:?} is not what an event of pruning says"));
        let number = |word: &str| if word.is_empty() { Ok(None) } else { word.parse().map(Some).map_err(|_| wrong()) };
        let [versions, days, more] = text.split('/').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let more = match more {
            "more" => More::Follow,
            "end" => More::End,
            _ => return Err(wrong()),
        };
        let retention = Retention { keep_versions: number(versions)?, keep_days: number(days)? };
        Ok(Self { retention, more })
    }
}

/// Why a version is given up, as a sentence.
pub(crate) fn because(version: &Shown, retention: Retention) -> String {
    let days = retention.keep_days.unwrap_or_default();
    match version.because {
        PruneReason::Versions => {
            format!("the file has more than {} versions", retention.keep_versions.unwrap_or_default())
        }
        PruneReason::Age => format!("it was replaced more than {days} days ago"),
        PruneReason::Trash => format!("it is in the trash for more than {days} days"),
    }
}
