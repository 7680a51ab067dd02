//! The lives that the journal had before it was restored: the sequences of an earlier one still mean the same events, up to the
//! last that both have in common.

use proto::{Event, Fact, Incarnation, Kind, Sequence};
use time::OffsetDateTime;

use crate::error::Error;
use crate::journal::Journal;
use crate::link::Link;
use crate::names::subject;

/// An earlier life of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    incarnation: Incarnation,
    /// Up to this number, its events are those of the present life.
    last_common: u64,
    /// When the journal was restored after it.
    ended: OffsetDateTime,
}

/// All earlier lives, as the events [`Fact::JournalRestored`] tell. Restoring is done while no service runs, so they are
/// the same for as long as a journal is open.
pub(crate) async fn earlier(link: &Link, stream: &str) -> Result<Vec<Life>, Error> {
    let (mut lives, mut from) = (Vec::new(), 1);
    while let Some(recorded) = link.first_of(stream, &subject(Kind::JournalRestored), from).await? {
        if let Ok(Event { fact: Fact::JournalRestored(restored), time, .. }) = recorded.decode() {
            let (incarnation, last_common) = (restored.old_incarnation, restored.last_common);
            add(&mut lives, Life { incarnation, last_common, ended: time });
        }
        from = recorded.n + 1;
    }
    Ok(lives)
}

/// Whatever was lost of a later life was lost of all before it.
fn add(lives: &mut Vec<Life>, next: Life) {
    for life in &mut *lives {
        life.last_common = life.last_common.min(next.last_common);
    }
    lives.push(next);
}

impl Journal {
    /// The sequence of this life of the journal that means the same event as `sequence`, which an earlier life may have
    /// given out; `None` when no life of this journal has, or when the event was lost or moved since.
    pub fn current(&self, sequence: Sequence) -> Option<Sequence> {
        let shared = self.shared();
        let own = shared.identity.incarnation;
        let is_common = |life: &Life| life.incarnation == sequence.incarnation && sequence.n <= life.last_common;
        let is_valid = sequence.incarnation == own || shared.earlier.iter().any(is_common);
        is_valid.then_some(Sequence { incarnation: own, ..sequence })
    }

    /// When the journal was last restored, by the clock of who did that; `None` when it never was. Events from before then may
    /// have been lost, and what only they named is nobody's garbage.
    pub fn restored_at(&self) -> Option<OffsetDateTime> {
        self.shared().earlier.iter().map(|life| life.ended).max()
    }

    /// Tells the journal up to where somebody has folded. A sequence that no life of this journal has given out, or only
    /// one whose end was lost since, is a divergence.
    pub fn observe_sequence(&self, sequence: Sequence) {
        if self.current(sequence).is_none() {
            let (own, stream) = (self.identity().incarnation, &self.shared().config.stream);
            let Sequence { incarnation, n } = sequence;
            self.report_diverged(format!(
                "the stream {stream} has the incarnation {own}, but event {n} of {incarnation} had been read"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_of_a_later_life_is_lost_of_those_before() {
        let ended = OffsetDateTime::UNIX_EPOCH;
        let life =
            |id: u32, last_common| Life { incarnation: format!("{id:032}").parse().unwrap(), last_common, ended };
        let mut lives = Vec::new();
        for next in [life(1, 10), life(2, 20), life(3, 15)] {
            add(&mut lives, next);
        }
        assert_eq!(lives, [life(1, 10), life(2, 15), life(3, 15)]);
    }
}
