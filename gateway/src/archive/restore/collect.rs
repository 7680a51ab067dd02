//! Collecting what is left of a journal into one slice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;

use anyhow::bail;
use catalog::{Checkpoint, Reader};
use journal::{Journal, Replaced};
use proto::{Event, EventId, Fact, Incarnation, JournalRestored, Recorded, Sha256Digest, SliceWriter};
use runtime::program::Process;

use super::{Found, Progress, Restored};
use crate::archive::left::{Archive, History, OnNode, Surviving};
use crate::files::SOURCE;

/// What is left, and where.
pub(super) struct Left<'a> {
    pub(super) on_nodes: &'a [OnNode],
    /// The journal that is to be restored.
    pub(super) old: Incarnation,
    pub(super) journal: Option<&'a Journal>,
    /// Whether what comes after a hole may be given up.
    pub(super) accept_loss: bool,
    pub(super) catalog: Option<(&'a Reader, Checkpoint)>,
}

/// Which journal is to be restored: the one that is there; else the one that no other was made from.
pub(super) async fn which(
    on_nodes: &[OnNode],
    journal: Option<&Journal>,
    catalog: Option<&Checkpoint>,
) -> anyhow::Result<Incarnation> {
    if let Some(journal) = journal {
        return Ok(journal.identity().incarnation);
    }
    let archived = on_nodes.iter().flat_map(|on| on.segments.iter().map(|name| name.incarnation));
    let folded = catalog.filter(|at| at.n > 0).map(|at| at.incarnation);
    let lives: BTreeSet<Incarnation> = archived.chain(folded).collect();
    let mut newest = lives.clone();
    if lives.len() > 1 {
        // Each segment by itself: there may be holes before it.
        let named = on_nodes.iter().flat_map(|on| on.segments.iter().map(move |name| (*name, on)));
        for (name, on) in named.collect::<BTreeMap<_, _>>() {
            let Ok(segment) = on.node.segment(&name).await? else { continue };
            for event in segment.events() {
                if let Ok(Event { fact: Fact::JournalRestored(restored), .. }) = event.decode() {
                    newest.remove(&restored.old_incarnation);
                }
            }
        }
    }
    match newest.into_iter().collect::<Vec<_>>().as_slice() {
        [] => bail!("nothing is left of the journal: no node has a segment of it, and there is no catalog"),
        [life] => Ok(*life),
        several => {
            let several = several.iter().map(|life| life.uuid().simple().to_string()).collect::<Vec<_>>().join(", ");
            bail!("there are several journals, of which none was made from another: {several}; say which with --life")
        }
    }
}

impl Left<'_> {
    /// Writes everything into `out`, as a slice of the new journal.
    pub(super) async fn collect<W: Write>(
        &self,
        out: W,
        surviving: Option<Replaced>,
        process: &Process,
    ) -> anyhow::Result<(Restored, W)> {
        let new = Incarnation::new(process.ids.v4());
        let mut slice = SliceWriter::begin(out, new, 1, Some(Sha256Digest::new([0; 32])))?;
        let mut survivors = self.journal.zip(surviving).map(|(journal, all)| Surviving::new(journal, Some(all.head)));
        let catalog = self.catalog.filter(|(_, checkpoint)| checkpoint.incarnation == self.old);
        let mut history = History::new(Archive::new(self.on_nodes, self.old), catalog);
        let mut beside = Beside { same: true, survived: 0, next: None };
        // The ids of events that the journal may have at another place.
        let mut elsewhere = HashSet::new();
        let (mut at, mut chain) = (0, Sha256Digest::new([0; 32]));
        let mut progress = Progress::new("collected");
        let mut folded = None;
        while let Some(event) = history.next().await? {
            process.shutdown.check()?;
            beside.compare(&event, survivors.as_mut()).await?;
            if !beside.same && survivors.is_some() {
                elsewhere.insert(event.message_id.clone());
            }
            (at, chain) = (event.n, event.chain(chain));
            if self.catalog.as_ref().is_some_and(|(_, checkpoint)| checkpoint.n == at) {
                folded = Some(chain);
            }
            slice.add(&event)?;
            progress.at(at);
        }
        self.agrees(folded, at)?;
        let last_common = at;
        let mut restored = Restored {
            old: self.old,
            new: Some(new),
            last_common,
            found: Some(Found { archived: history.archived.unwrap_or(at), survived: beside.survived }),
            keeps_catalog: catalog.is_some(),
            moved: 0,
            problems: std::mem::take(&mut history.archive.problems),
            file: None,
        };
        // What the journal has after that is no loss.
        let is_whole = beside.same && self.journal.is_some_and(|journal| journal.identity().incarnation == self.old);
        let (named, head) = (history.archive.named_last(), surviving.map_or(0, |all| all.head));
        if is_whole && beside.survived == at && head >= named {
            restored.new = None;
            return Ok((restored, slice.end()?));
        }
        if at < named && !self.accept_loss {
            bail!(
                "event {} is nowhere, but the archive goes on to event {named}: what comes after a hole cannot be restored. If the \
                 journal that is there has what is missing, a replicator fills the archive from it; else everything after \
                 event {at} is given up with --accept-loss",
                at + 1
            );
        }
        at += 1;
        slice.add(&note(self.old, last_common, at, process))?;
        if let Some(survivors) = &mut survivors {
            let mut next = beside.next.take();
            if next.is_none() {
                next = survivors.next().await?;
            }
            while let Some(event) = next {
                if !elsewhere.contains(&event.message_id) {
                    at += 1;
                    restored.moved += 1;
                    let earlier =
                        earlier_life(&event).map(|(life, common)| note(life, common.min(last_common), at, process));
                    slice.add(&earlier.unwrap_or(Recorded { n: at, ..event }))?;
                }
                next = survivors.next().await?;
            }
        }
        Ok((restored, slice.end()?))
    }

    /// A catalog of another history would be wrong for ever after what comes of this.
    fn agrees(&self, folded: Option<Sha256Digest>, at: u64) -> anyhow::Result<()> {
        let Some((_, checkpoint)) = self.catalog.as_ref().filter(|(_, checkpoint)| checkpoint.incarnation == self.old)
        else {
            return Ok(());
        };
        match folded {
            Some(chain) if chain != checkpoint.chain => bail!(
                "the catalog is not what the archive says up to event {}: one of them is wrong. Compare the archive with \
                 `gateway journal verify`; without the catalog: --without-catalog",
                checkpoint.n
            ),
            None if checkpoint.n > 0 && at < checkpoint.n => bail!(
                "event {} cannot be decoded, and only the catalog has it: it does not know how it was published. Without \
                 this event and those after it: --without-catalog",
                at + 1
            ),
            _ => Ok(()),
        }
    }
}

/// The event that tells of a restoring.
fn note(old_incarnation: Incarnation, last_common: u64, n: u64, process: &Process) -> Recorded {
    let fact = Fact::JournalRestored(JournalRestored { old_incarnation, last_common });
    let event = Event::of_system(EventId::new(process.ids.v7()), SOURCE, process.clock.now(), fact);
    let (subject, message_id) = (event.fact.subject(), event.id.to_string());
    Recorded { n, subject, message_id, payload: event.encode().into() }
}

/// An earlier restoring that is told of after what is common: less of that life is common now than the event says.
fn earlier_life(event: &Recorded) -> Option<(Incarnation, u64)> {
    match event.decode() {
        Ok(Event { fact: Fact::JournalRestored(restored), .. }) => {
            Some((restored.old_incarnation, restored.last_common))
        }
        _ => None,
    }
}

/// The journal that is there, beside what is left elsewhere.
struct Beside {
    /// Whether both are the same so far.
    same: bool,
    /// The last event of which that is known.
    survived: u64,
    /// The first event of the journal that is another one.
    next: Option<Recorded>,
}

impl Beside {
    async fn compare(&mut self, event: &Recorded, survivors: Option<&mut Surviving>) -> anyhow::Result<()> {
        if !self.same {
            return Ok(());
        }
        let there = match survivors {
            Some(survivors) => survivors.next().await?,
            None => None,
        };
        if there.as_ref() == Some(event) {
            self.survived = event.n;
        } else {
            (self.same, self.next) = (false, there);
        }
        Ok(())
    }
}
