//! What a generation may have, without asking it.

use std::hash::Hash;

use fastbloom::BloomFilter;
use fold::Changes;
use proto::{FolderId, Segment};
use uuid::Uuid;

/// Bits of the filter: 32 MiB.
const BITS: usize = 1 << 28;
/// With so many keys one of a hundred that are absent seems to be there; beyond, ever more do, and are looked up.
const KEYS: usize = 28_000_000;

/// The keys that were ever saved in a generation that was followed from its first row on. Most keys that a fold asks for are
/// new, as of a receipt that must not be there yet: what is not in here is absent, and costs no look-up. Of what is in here,
/// only the catalog knows.
#[derive(Debug)]
pub(in crate::writer) struct Inventory(BloomFilter);

// === impl Inventory ===

impl Inventory {
    /// Of an empty generation.
    pub(in crate::writer) fn empty() -> Self {
        // No seed of chance: who chose names that seem to be there would cost nobody more than a look-up each.
        Self(BloomFilter::with_num_bits(BITS).seed(&0).expected_items(KEYS))
    }

    /// Takes in what is about to be saved.
    pub(in crate::writer) fn note(&mut self, changes: &Changes) {
        // The ids of all tables are different ones.
        self.note_ids(changes.receipts.iter().map(|row| row.event_id.uuid()));
        self.note_ids(changes.blobs.iter().map(|row| row.blob_id.uuid()));
        self.note_ids(changes.folders.iter().map(|row| row.folder_id.uuid()));
        self.note_ids(changes.files.iter().map(|row| row.file_id.uuid()));
        self.note_ids(changes.versions.iter().map(|row| row.version_id.uuid()));
        for row in &changes.names {
            self.0.insert(&(row.parent.uuid(), row.name.as_str()));
        }
    }

    /// Whether there may be a row with this id.
    pub(super) fn may_have(&self, id: Uuid) -> bool {
        self.0.contains(&id)
    }

    /// Whether there may be this name.
    pub(super) fn may_have_name(&self, parent: FolderId, name: &Segment) -> bool {
        self.0.contains(&(parent.uuid(), name.as_str()))
    }

    fn note_ids(&mut self, ids: impl Iterator<Item = impl Hash>) {
        ids.for_each(|id| {
            self.0.insert(&id);
        });
    }
}

#[cfg(test)]
mod tests {
    use fold::rows::{NameRow, Target};
    use proto::FileId;

    use super::*;

    #[test]
    fn what_was_saved_may_be_there_and_nothing_else() {
        let mut inventory = Inventory::empty();
        let (parent, other) = (FolderId::new(Uuid::from_u128(1)), FolderId::new(Uuid::from_u128(2)));
        let name: Segment = "a".parse().unwrap();
        let target = Target::File(FileId::new(Uuid::from_u128(3)));
        let row = NameRow { parent, name: name.clone(), from_seq: 1, to_seq: None, target };
        inventory.note(&Changes { names: vec![row], ..Changes::default() });
        assert!(inventory.may_have_name(parent, &name));
        assert!(!inventory.may_have_name(other, &name) && !inventory.may_have_name(parent, &"b".parse().unwrap()));
        assert!(!inventory.may_have(Uuid::from_u128(3)));
    }
}
