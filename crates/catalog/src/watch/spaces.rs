//! Which space has a name, remembered.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::{SpaceId, SpaceName};

use crate::generation::Active;

/// More names of spaces than this are forgotten and looked up again.
const MAX_SPACES: usize = 10_000;

/// The ids of spaces by name. They are of one generation of one database, since another may give the same names to other
/// ids, and as of one change of a space: from the next one on, a name may be another space's, or no one's.
#[derive(Debug, Default)]
pub(crate) struct Spaces(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// None: nothing is remembered until it is known which generation is read.
    of: Option<Active>,
    /// The last change of a space that was heard of; the rest is as it left it.
    spaces_seq: u64,
    ids: HashMap<SpaceName, SpaceId>,
    /// The spaces that had a name once; most names have none.
    former: HashMap<SpaceName, Vec<SpaceId>>,
}

// === impl Spaces ===

impl Spaces {
    pub(crate) fn get(&self, name: &SpaceName) -> Option<SpaceId> {
        self.open().ids.get(name).copied()
    }

    pub(crate) fn former(&self, name: &SpaceName) -> Option<Vec<SpaceId>> {
        self.open().former.get(name).cloned()
    }

    /// Remembers a space as it was read from this generation when `spaces_seq` was the last change of a space, unless
    /// another change was heard of since.
    pub(crate) fn remember(&self, of: Active, spaces_seq: u64, name: SpaceName, id: SpaceId) {
        self.remember_in(of, spaces_seq, |known| insert(&mut known.ids, name, id));
    }

    /// The same of all the spaces that had a name once.
    pub(crate) fn remember_former(&self, of: Active, spaces_seq: u64, name: SpaceName, ids: Vec<SpaceId>) {
        self.remember_in(of, spaces_seq, |known| insert(&mut known.former, name, ids));
    }

    fn remember_in(&self, of: Active, spaces_seq: u64, remember: impl FnOnce(&mut Known)) {
        let mut known = self.open();
        if known.of != Some(of) {
            return;
        }
        known.move_to(spaces_seq);
        if known.spaces_seq == spaces_seq {
            remember(&mut known);
        }
    }

    /// To be called before anybody can see the checkpoint that has this `spaces_seq`: who has seen it must not be answered
    /// from older memory.
    pub(super) fn heard(&self, of: Active, spaces_seq: u64) {
        let mut known = self.open();
        if known.of == Some(of) {
            known.move_to(spaces_seq);
        } else {
            *known = Known { of: Some(of), spaces_seq, ..Known::default() };
        }
    }

    pub(super) fn forget(&self) {
        *self.open() = Known::default();
    }

    fn open(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets what an older change left.
    fn move_to(&mut self, spaces_seq: u64) {
        if spaces_seq > self.spaces_seq {
            self.spaces_seq = spaces_seq;
            self.ids.clear();
            self.former.clear();
        }
    }
}

fn insert<T>(names: &mut HashMap<SpaceName, T>, name: SpaceName, value: T) {
    if names.len() >= MAX_SPACES {
        names.clear();
    }
    names.insert(name, value);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Generation;

    #[test]
    fn memory_is_as_good_as_the_last_change_that_was_heard_of() {
        let of = |n| Active { catalog_id: Uuid::from_u128(1), generation: Some(Generation::new(n)) };
        let (name, id) = (SpaceName::main(), SpaceId::new(Uuid::from_u128(5)));
        let spaces = Spaces::default();
        spaces.remember(of(1), 4, name.clone(), id);
        assert_eq!(spaces.get(&name), None, "no generation is known yet");
        spaces.heard(of(1), 4);
        spaces.remember(of(1), 4, name.clone(), id);
        spaces.heard(of(1), 3);
        assert_eq!(spaces.get(&name), Some(id));
        spaces.heard(of(1), 5);
        assert_eq!(spaces.get(&name), None);
        spaces.remember(of(1), 4, name.clone(), id);
        assert_eq!(spaces.get(&name), None, "read before the change, remembered after it");
        // A read may be ahead of what was heard.
        spaces.remember(of(1), 6, name.clone(), id);
        assert_eq!(spaces.get(&name), Some(id));
        spaces.remember_former(of(1), 5, name.clone(), vec![id]);
        assert_eq!(spaces.former(&name), None, "read before the change, remembered after it");
        spaces.remember_former(of(1), 6, name.clone(), vec![id]);
        assert_eq!(spaces.former(&name), Some(vec![id]));
        spaces.heard(of(1), 7);
        assert_eq!((spaces.get(&name), spaces.former(&name)), (None, None));
        spaces.remember(of(1), 7, name.clone(), id);
        spaces.heard(of(2), 1);
        assert_eq!(spaces.get(&name), None);
    }
}
