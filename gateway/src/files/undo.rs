//! Undoing what one actor did: newest first, each change by an event that does the opposite.
//!
//! A change is undone only when nothing came after it: what others built on it since is theirs. What to do is planned at
//! one sequence, to which the catalog can go back for ever, and that sequence is remembered: the same request again plans
//! the same and does what is missing, whatever has happened since. What others change meanwhile is theirs too: each
//! event says which version it found, and the fold rejects it when that is not the newest.

mod ahead;
mod plan;

use catalog::{ChangeRow, Outcome};
use proto::{Actor, Event, Fingerprint, Sequence, SpaceId, SpaceName};

use super::request::Author;
use super::series::Series;
use super::{Decision, Files, Receipt};
use crate::error::{Code, Error, Result};

use plan::Planned;

/// Most changes of the space that one undo looks at.
const MAX_CHANGES: u64 = 100_000;

/// What is asked to be undone.
#[derive(Debug, Clone)]
pub(crate) struct Undo {
    pub(crate) space: SpaceName,
    /// Whose changes.
    pub(crate) of: Actor,
    /// The first and the last sequence to look at.
    pub(crate) from: Sequence,
    pub(crate) to: Sequence,
    pub(crate) dry_run: bool,
    /// What the catalog shall have reached at least.
    pub(crate) at_least: Option<Sequence>,
}

/// One change, and what became of undoing it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) change: ChangeRow,
    /// A sentence.
    pub(crate) action: String,
    /// Whether it is, or would be, undone.
    pub(crate) undone: bool,
    pub(crate) receipt: Option<Receipt>,
}

impl Files {
    /// Undoes one actor's changes in a range, or says what that would do. The same request again answers the first outcome,
    /// also when there was nothing to undo.
    pub(crate) async fn undo(&self, wanted: &Undo, author: &Author) -> Result<Vec<Step>> {
        self.reach(wanted.at_least).await?;
        self.reach(Some(wanted.from)).await?;
        self.reach(Some(wanted.to)).await?;
        if wanted.from.n > wanted.to.n {
            return Err(Error::new(Code::UndoRange, "the range ends before it begins"));
        }
        let space_id = self.space_looked_into(&wanted.space, author).await?;
        let words = [wanted.of.as_str(), &wanted.from.to_string(), &wanted.to.to_string()];
        let series = self.series(author, space_id, Fingerprint::of_series("undo", space_id, &words));
        let now = self.folded_to()?;
        let at = if wanted.dry_run { now } else { self.evaluate_at(&series, now).await? };
        // What another gateway has seen, this one may not have come to yet.
        self.reach(Some(self.sequence(at)?)).await?;
        let mut changes = self.changes_of(space_id, wanted).await?;
        changes.reverse();
        let planned = self.plan_undo(space_id, &wanted.space, &changes, at, series.first).await?;
        if wanted.dry_run {
            return Ok(planned.into_iter().map(Step::planned).collect());
        }
        self.undo_all(&series, at, planned).await
    }

    /// Does what was planned at a sequence and is not done yet.
    async fn undo_all(&self, series: &Series, at: u64, planned: Vec<Planned>) -> Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(planned.len());
        for Planned { change, action, by } in planned {
            let receipt = match by {
                None => None,
                Some(by) => {
                    let note = if by.event_id == series.first { at } else { change.seq };
                    Some(match self.receipt_of(series, by.event_id).await? {
                        Some(row) => self.decided_receipt(row).await?,
                        None => self.add(series, by.event_id, &note.to_string(), by.fact).await?,
                    })
                }
            };
            let undone = receipt.as_ref().is_some_and(|receipt| receipt.decision != Decision::Rejected);
            steps.push(Step { change, action, undone, receipt });
        }
        Ok(steps)
    }

    /// Up to where the catalog is folded now.
    fn folded_to(&self) -> Result<u64> {
        let checkpoint = self.catalog().checkpoints().now();
        Ok(checkpoint.ok_or_else(super::follow::no_catalog)?.n)
    }

    /// The actor's changes in the range that took effect, oldest first.
    async fn changes_of(&self, space_id: SpaceId, wanted: &Undo) -> Result<Vec<(ChangeRow, Event)>> {
        let (page, mut after) = (self.limits().page_size, wanted.from.n.saturating_sub(1));
        let (mut found, mut looked_at) = (Vec::new(), 0);
        loop {
            let (changes, _) = self.catalog().changes(space_id, after, page).await?;
            let is_last = changes.len() < page as usize;
            for change in changes {
                if change.seq > wanted.to.n {
                    return Ok(found);
                }
                (after, looked_at) = (change.seq, looked_at + 1);
                if looked_at > MAX_CHANGES {
                    let problem = format!("the range has more than {MAX_CHANGES} changes; undo it in parts");
                    return Err(Error::new(Code::UndoRange, problem));
                }
                if matches!(change.outcome, Outcome::Rejected | Outcome::Repeated) {
                    continue;
                }
                if let Ok(event) = Event::decode(&change.raw)
                    && event.actor == wanted.of
                {
                    found.push((change, event));
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }
}

// === impl Step ===

impl Step {
    /// What would be done.
    fn planned(step: Planned) -> Self {
        Self { undone: step.by.is_some(), change: step.change, action: step.action, receipt: None }
    }
}
