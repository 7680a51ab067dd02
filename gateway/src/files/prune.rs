//! Giving up old content that a space's retention need not keep.
//!
//! What to prune is found in the catalog at one sequence, and the events say at which: the fold skips every version that
//! was touched since, so that nothing comes to harm by being late.

use catalog::{Keep, Prunable, SpaceRow};
use proto::{Fact, PruneReason, PrunedVersion, SpaceName, VersionId, VersionsPruned};
use time::OffsetDateTime;

use super::request::Author;
use super::spaces::Retention;
use super::{Files, Receipt, space_not_found};
use crate::error::{Code, Error, Result};

/// Versions in one event: each takes some 200 bytes, and an event at most 32 KiB.
const PRUNED_PER_EVENT: usize = 150;

/// Versions that an answer names one by one.
const SHOWN: usize = 1000;

/// What was, or would be, pruned.
#[derive(Debug, Default)]
pub(crate) struct Pruning {
    pub(crate) versions: u64,
    pub(crate) bytes: u64,
    /// The first of them.
    pub(crate) shown: Vec<Prunable>,
    pub(crate) receipts: Vec<Receipt>,
}

impl Files {
    /// Prunes a space by its own retention, or says what `instead` or its own would prune; answers by which it went.
    pub(crate) async fn prune(
        &self,
        space: &SpaceName,
        dry_run: bool,
        instead: Option<Retention>,
        author: &Author,
    ) -> Result<(Pruning, Retention)> {
        let space_id = self.space(space).await?;
        let row = self.catalog().space_row(space_id).await?.ok_or_else(|| space_not_found(space))?;
        if instead.is_some() && !dry_run {
            let problem = "another retention than the space's own can only be tried; set it first to prune by it";
            return Err(Error::new(Code::RetentionNeeded, problem));
        }
        let own = Retention { keep_versions: row.keep_versions, keep_days: row.keep_days };
        let retention = instead.unwrap_or(own);
        if retention == Retention::default() {
            let problem = format!("the space {:?} keeps everything: it has no retention", space.as_str());
            return Err(Error::new(Code::RetentionNeeded, problem));
        }
        Ok((self.prune_space(&row, retention, dry_run, author).await?, retention))
    }

    /// Prunes a space, which may be a deleted one.
    pub(crate) async fn prune_space(
        &self,
        row: &SpaceRow,
        retention: Retention,
        dry_run: bool,
        author: &Author,
    ) -> Result<Pruning> {
        let before = retention.keep_days.map(|days| {
            let now = self.inner().process.clock.now();
            now.checked_sub(time::Duration::days(days.into())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
        });
        let keep = Keep { versions: retention.keep_versions, before };
        let (mut pruning, mut after, page) = (Pruning::default(), None::<VersionId>, self.limits().page_size);
        loop {
            let (found, evaluated_at) = self.catalog().prunable(row.space_id, keep, after, page).await?;
            if found.is_empty() {
                return Ok(pruning);
            }
            after = found.last().map(|last| last.version_id);
            for part in found.chunks(PRUNED_PER_EVENT) {
                pruning.versions += part.len() as u64;
                pruning.bytes += part.iter().map(|version| version.size_bytes).sum::<u64>();
                let room = SHOWN.saturating_sub(pruning.shown.len());
                pruning.shown.extend(part.iter().take(room).cloned());
                if !dry_run {
                    pruning.receipts.push(self.publish_pruned(row, evaluated_at, part, author).await?);
                }
            }
        }
    }

    async fn publish_pruned(
        &self,
        row: &SpaceRow,
        evaluated_at: u64,
        part: &[Prunable],
        author: &Author,
    ) -> Result<Receipt> {
        let versions = part.iter().map(|version| PrunedVersion {
            version_id: version.version_id,
            file_id: version.file_id,
            because: version.because,
            trash: version.trash,
        });
        let fact = Fact::VersionsPruned(VersionsPruned {
            space_id: row.space_id,
            space: row.name.clone(),
            evaluated_at,
            versions: versions.collect(),
        });
        // An id of its own for each event: to prune again prunes what is prunable then, and nothing twice.
        let author = Author { actor: author.actor.clone(), request_id: None };
        let (asked, _) = self.ask(author, row.space_id).await?;
        self.change(asked, fact).await
    }
}

/// Why a version is given up, as a sentence.
pub(crate) fn because(version: &Prunable, retention: Retention) -> String {
    let days = retention.keep_days.unwrap_or_default();
    match version.because {
        PruneReason::Versions => {
            format!("the file has more than {} versions", retention.keep_versions.unwrap_or_default())
        }
        PruneReason::Age => format!("it was replaced more than {days} days ago"),
        PruneReason::Trash => format!("it is in the trash for more than {days} days"),
    }
}
