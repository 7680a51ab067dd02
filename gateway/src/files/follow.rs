//! Watching a space: its changes with their outcomes, in order, from any sequence on.
//!
//! The catalog keeps the row of every event for ever, so a cursor never expires. Changes are read up to the checkpoint of
//! the same snapshot, so none is missed and none is seen twice.

use catalog::{ChangeRow, Checkpoints};
use proto::{Sequence, SpaceId, SpaceName};
use tokio::sync::mpsc;

use super::Files;
use crate::error::{Code, Error, Result};

/// Which space is watched.
#[derive(Debug, Clone)]
pub(crate) enum Watched {
    /// The one that has this name now.
    Name(SpaceName),
    /// The one with this id, whatever its name is, and also when it is deleted.
    Id(SpaceId),
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// A change.
    Change(Box<ChangeRow>),
    /// Nothing more up to here, for now.
    UpTo(u64),
}

/// A watch under way.
pub(crate) struct Following {
    files: Files,
    space_id: SpaceId,
    /// Up to where everything was told.
    at: u64,
    checkpoints: Checkpoints,
    once: bool,
}

impl Files {
    /// Begins to watch a space, after `from`, or from now on. With `once` it ends when there is nothing more for now.
    pub(crate) async fn follow(&self, space: Watched, from: Option<Sequence>, once: bool) -> Result<Following> {
        let checkpoints = self.catalog().checkpoints();
        self.reach(from).await?;
        let space_id = match space {
            Watched::Name(name) => self.space(&name).await?,
            Watched::Id(id) => {
                let row = self.catalog().space_row(id).await?;
                row.ok_or_else(|| Error::new(Code::SpaceNotFound, format!("there never was a space {id}")))?.space_id
            }
        };
        let at = match from {
            Some(from) => from.n,
            None => checkpoints.now().ok_or_else(no_catalog)?.n,
        };
        Ok(Following { files: self.clone(), space_id, at, checkpoints, once })
    }
}

// === impl Following ===

impl Following {
    /// Tells everything, until the receiver is gone, or to its end with `once`.
    pub(crate) async fn run(mut self, told: &mpsc::Sender<Told>) -> Result<()> {
        let page = self.files.limits().page_size;
        // Told once although nothing happened, so that a watch from now on can be resumed before its first change.
        let mut is_first = true;
        loop {
            let (changes, checkpoint) = self.files.catalog().changes(self.space_id, self.at, page).await?;
            let is_last = changes.len() < page as usize;
            let before = self.at;
            for change in changes {
                self.at = change.seq;
                if told.send(Told::Change(Box::new(change))).await.is_err() {
                    return Ok(());
                }
            }
            if !is_last {
                continue;
            }
            self.at = self.at.max(checkpoint);
            if (self.at > before || is_first) && told.send(Told::UpTo(self.at)).await.is_err() {
                return Ok(());
            }
            is_first = false;
            if self.once {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = told.closed() => return Ok(()),
                reached = self.later() => reached?,
            }
        }
    }

    /// Waits until the catalog is past what was told.
    async fn later(&mut self) -> Result<()> {
        while self.checkpoints.now().is_none_or(|checkpoint| checkpoint.n <= self.at) {
            if self.checkpoints.next().await.is_none() {
                return Err(Error::stopping());
            }
            let journal = &self.files.ready()?.journal;
            if self.checkpoints.now().is_some_and(|checkpoint| journal.current(checkpoint.sequence()).is_none()) {
                let problem = "the journal was restored; watch again from a sequence of its new life";
                return Err(Error::new(Code::JournalRestored, problem));
            }
        }
        Ok(())
    }
}

pub(super) fn no_catalog() -> Error {
    Error::new(Code::CatalogUnavailable, "the catalog cannot be read now; nothing is lost, try again later")
}
