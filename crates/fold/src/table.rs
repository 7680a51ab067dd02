//! A part of one table of the catalog, held in memory.

use std::collections::HashMap;
use std::hash::Hash;

/// The rows of one table that were loaded or made, by key. A key that was never loaded is unknown, which is not the same
/// as a row that is not there.
#[derive(Debug, Clone)]
pub struct Table<K, R> {
    slots: HashMap<K, Slot<R>>,
    changed: Vec<K>,
}

/// The key was never loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unknown;

#[derive(Debug, Clone)]
struct Slot<R> {
    row: Option<R>,
    changed: bool,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { slots: HashMap::new(), changed: Vec::new() }
    }
}

impl<K: Hash + Eq + Clone, R: Clone> Table<K, R> {
    /// Takes what the catalog says of `key`. What is in memory already is newer and stays.
    pub fn load(&mut self, key: K, row: Option<R>) {
        self.slots.entry(key).or_insert(Slot { row, changed: false });
    }

    /// How many keys were loaded or made.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the key was loaded or made.
    pub fn knows(&self, key: &K) -> bool {
        self.slots.contains_key(key)
    }

    /// The row, or that there is none; an error when that is not known.
    pub(crate) fn get(&self, key: &K) -> Result<Option<&R>, Unknown> {
        self.slots.get(key).map(|slot| slot.row.as_ref()).ok_or(Unknown)
    }

    pub(crate) fn put(&mut self, key: K, row: R) {
        let slot = self.slots.entry(key.clone()).or_insert(Slot { row: None, changed: false });
        slot.row = Some(row);
        if !slot.changed {
            slot.changed = true;
            self.changed.push(key);
        }
    }

    /// Takes a row that follows from another table's, so that it is not saved by itself.
    pub(crate) fn note(&mut self, key: K, row: Option<R>) {
        let slot = self.slots.entry(key).or_insert(Slot { row: None, changed: false });
        slot.row = row;
    }

    /// Takes the row out: from here on it is known that there is none. What was put before and not taken is forgotten.
    pub(crate) fn remove(&mut self, key: &K) -> Option<R> {
        self.slots.get_mut(key)?.row.take()
    }

    /// The rows put since the last call and still there, in the order of their first change.
    pub(crate) fn take_changed(&mut self) -> Vec<R> {
        let keys = std::mem::take(&mut self.changed);
        keys.iter()
            .filter_map(|key| {
                let slot = self.slots.get_mut(key)?;
                slot.changed = false;
                slot.row.clone()
            })
            .collect()
    }
}
