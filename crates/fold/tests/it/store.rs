//! The catalog in memory, which checks what the rules promise it, and questions that tests ask.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use fold::rows::{FileRow, NameRow, Outcome, ReceiptRow, ReplicaState, Target};
use fold::{Changes, Input, View};
use proto::{BlobId, DecodeError, EventId, FolderId, Path, Recorded, SpaceId};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Store(fold::Store);

/// What becomes of the view after an event.
enum After {
    GoOn,
    Save,
    SaveAndForget,
}

impl Deref for Store {
    type Target = fold::Store;

    fn deref(&self) -> &fold::Store {
        &self.0
    }
}

/// For tests that put something wrong into it.
impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut fold::Store {
        &mut self.0
    }
}

impl Store {
    /// Folds a journal in batches that end after the events at `ends` (and where the fold asks for it), each with a view of
    /// its own.
    pub(crate) fn fold(journal: &[Recorded], ends: impl Fn(u64) -> bool) -> Self {
        Self::fold_as(journal, |n| if ends(n) { After::SaveAndForget } else { After::GoOn })
    }

    /// As [`Self::fold`], but with one view for as long as the fold allows it.
    pub(crate) fn fold_in_one_view(journal: &[Recorded], ends: impl Fn(u64) -> bool) -> Self {
        Self::fold_as(journal, |n| if ends(n) { After::Save } else { After::GoOn })
    }

    fn fold_as(journal: &[Recorded], after: impl Fn(u64) -> After) -> Self {
        let mut store = Self::default();
        let mut view = View::default();
        for recorded in journal {
            store.guess(&mut view, recorded);
            let must_end = store.apply(&mut view, recorded);
            match if must_end { After::SaveAndForget } else { after(recorded.n) } {
                After::GoOn => {}
                After::Save => store.save(view.take_changes()),
                After::SaveAndForget => {
                    store.save(view.take_changes());
                    view = View::default();
                }
            }
        }
        store.save(view.take_changes());
        store
    }

    /// Folds the next event, in a batch of its own and with no guess of what it needs: it asks for every row.
    pub(crate) fn fold_one(&mut self, recorded: &Recorded) {
        let mut view = View::default();
        self.apply(&mut view, recorded);
        self.save(view.take_changes());
    }

    /// Loads what the event will need as far as it tells itself.
    pub(crate) fn guess(&self, view: &mut View, recorded: &Recorded) {
        if let Ok(event) = recorded.decode() {
            view.unknown(fold::keys(&event)).iter().for_each(|key| self.load(key, view));
        }
    }

    /// How many times rows must be loaded before the next event can be applied, in a batch of its own.
    pub(crate) fn rounds(&self, recorded: &Recorded) -> usize {
        let (event, mut view) = (recorded.decode().unwrap(), View::default());
        self.guess(&mut view, recorded);
        let mut rounds = 1;
        while let Err(missing) = fold::apply(&mut view, recorded, Input::Event(&event)) {
            missing.0.iter().for_each(|key| self.load(key, &mut view));
            rounds += 1;
        }
        rounds
    }

    /// Whether the batch must end here.
    pub(crate) fn apply(&self, view: &mut View, recorded: &Recorded) -> bool {
        let event = match recorded.decode() {
            Ok(event) => Some(event),
            Err(DecodeError::Undecodable { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let input = event.as_ref().map_or(Input::Undecodable, Input::Event);
        loop {
            let before = view.clone().take_changes();
            match fold::apply(view, recorded, input) {
                Ok(_) => break,
                Err(missing) => {
                    assert_eq!(view.clone().take_changes(), before, "nothing is changed when rows are missing");
                    assert_eq!(view.unknown(missing.0.clone()).len(), missing.0.len(), "{missing:?} can be loaded");
                    missing.0.iter().for_each(|key| self.load(key, view));
                }
            }
        }
        event.as_ref().is_some_and(fold::ends_batch)
    }

    /// All rows but the journal's own: events and receipts.
    pub(crate) fn rows(&self) -> fold::Store {
        fold::Store { receipts: BTreeMap::new(), events: Vec::new(), ..self.0.clone() }
    }

    /// What a path names now.
    pub(crate) fn item(&self, space: SpaceId, path: &str) -> Option<Target> {
        let mut target = Target::Folder(space.root());
        for segment in path.parse::<Path>().unwrap().segments() {
            let Target::Folder(folder) = target else { return None };
            target = self.current(folder, &segment)?.target;
        }
        Some(target)
    }

    /// The current paths below a folder; folders end in a slash.
    pub(crate) fn tree(&self, folder: FolderId, prefix: &str) -> Vec<String> {
        let mut paths = Vec::new();
        for row in self.names.values().filter(|row| row.parent == folder && row.to_seq.is_none()) {
            match row.target {
                Target::File(_) => paths.push(format!("{prefix}{}", row.name)),
                Target::Folder(id) => {
                    let path = format!("{prefix}{}/", row.name);
                    paths.push(path.clone());
                    paths.extend(self.tree(id, &path));
                }
            }
        }
        paths
    }

    pub(crate) fn receipt(&self, id: EventId) -> &ReceiptRow {
        &self.receipts[&id]
    }

    /// The file at a path.
    pub(crate) fn file(&self, space: SpaceId, path: &str) -> Option<&FileRow> {
        match self.item(space, path)? {
            Target::File(id) => self.files.get(&id),
            Target::Folder(_) => None,
        }
    }

    pub(crate) fn state(&self, blob: BlobId, node: &str) -> Option<ReplicaState> {
        self.replicas.get(&(blob, node.parse().unwrap())).map(|row| row.state)
    }

    pub(crate) fn save(&mut self, changes: Changes) {
        for row in &changes.spaces {
            let mut others = self.spaces.values().filter(|other| other.space_id != row.space_id);
            let taken = others.any(|other| other.name == row.name && other.deleted_seq.is_none());
            assert!(!taken || row.deleted_seq.is_some(), "a space's name is current once, in any order: {row:?}");
        }
        for row in changes.names.iter().filter(|row| row.to_seq.is_none()) {
            let other = self.current(row.parent, &row.name).is_some_and(|other| other.from_seq != row.from_seq);
            let closed = |old: &&NameRow| old.parent == row.parent && old.name == row.name;
            assert!(!other || changes.closed_names.iter().any(|old| closed(&old)), "a name is current once: {row:?}");
        }
        for row in &changes.receipts {
            assert_ne!(row.outcome, Outcome::Repeated);
            assert!(!self.receipts.contains_key(&row.event_id), "a receipt is written once");
        }
        self.0.save(changes);
    }
}
