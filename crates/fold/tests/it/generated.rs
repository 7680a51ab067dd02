//! Journals of many steps over few names, so that they collide. A step names what it is about by a number, which is
//! taken among what there is when its turn comes: most events then make sense, and some are stale or wrong.

use fold::rows::Target;
use proptest::prelude::*;
use proto::{
    BlobCondemned, BlobErasureOrdered, BlobId, Fact, FileCopied, FileDeleted, FileId, FileMoved, FileUndeleted,
    FileUploaded, FolderCreated, FolderDeleted, FolderId, Item, MarkerId, OnConflict, Orphan, Path, PruneReason,
    PrunedVersion, RetentionSet, Sha256Digest, SpaceCreated, SpaceDeleted, SpaceId, SpaceName, SpaceRenamed, Trash,
    VersionId, VersionRestored, VersionsPruned,
};

use crate::journal::{blob_id, event_id, marker};
use crate::world::World;

mod nodes;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Upload,
    Instant,
    CreateFolder,
    Delete,
    DeleteFolder,
    Undelete,
    Move,
    Copy,
    Restore,
    Retain,
    Prune,
    Condemn,
    Order,
    Erase,
    Stored,
    Parked,
    Lost,
    Redrive,
    Wipe,
    Retire,
    Join,
    Place,
    CreateSpace,
    RenameSpace,
    DeleteSpace,
    Garbage,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    verb: Verb,
    id: u128,
    path: &'static str,
    to: &'static str,
    on_conflict: OnConflict,
    /// What is picked among what there is.
    pick: usize,
    /// 0 and 1: none; 2: what is there now; 3: nothing that ever was.
    condition: u8,
    node: &'static str,
}

const PATHS: [&str; 9] = ["a", "a/b", "a/b/c", "b", "b/c", "d.txt", "d.txt/e", "e/f", "e"];
const NODES: [&str; 5] = ["node-a", "node-b", "node-c", "node-d", "node-x"];
const SPACES: [&str; 4] = ["main", "team", "recovered", "other"];

/// Each as often as it stands here.
const VERBS: [Verb; 49] = {
    use Verb::{
        Condemn, Copy, CreateFolder, CreateSpace, Delete, DeleteFolder, Erase, Garbage, Instant, Join, Lost, Move,
        Order, Parked, Prune, Redrive, Restore, Retain, Stored, Undelete, Upload, Wipe,
    };
    [
        Upload,
        Upload,
        Upload,
        Upload,
        Upload,
        Upload,
        Upload,
        Upload,
        Instant,
        Instant,
        CreateFolder,
        CreateFolder,
        Delete,
        Delete,
        Delete,
        Delete,
        DeleteFolder,
        DeleteFolder,
        Undelete,
        Undelete,
        Undelete,
        Undelete,
        Move,
        Move,
        Move,
        Move,
        Move,
        Copy,
        Copy,
        Restore,
        Restore,
        Retain,
        Prune,
        Prune,
        Prune,
        Condemn,
        Condemn,
        Order,
        Erase,
        Erase,
        Stored,
        Parked,
        Lost,
        Lost,
        Redrive,
        Wipe,
        Join,
        CreateSpace,
        Garbage,
    ]
};
/// Rare, since not much happens in a space, or on a node, that is gone; or to a node that joins when not all is placed on it.
const RARE: [Verb; 4] = [Verb::RenameSpace, Verb::DeleteSpace, Verb::Retire, Verb::Place];

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let verb = prop_oneof![40 => prop::sample::select(&VERBS[..]), 1 => prop::sample::select(&RARE[..])];
    let path = || prop::sample::select(&PATHS[..]);
    let on_conflict = prop::sample::select(vec![OnConflict::Overwrite, OnConflict::Fail, OnConflict::KeepBoth]);
    let node = prop::sample::select(&NODES[..]);
    // Few ids, so that some come twice.
    (verb, 1..300_u128, path(), path(), on_conflict, any::<usize>(), 0..4_u8, node).prop_map(
        |(verb, id, path, to, on_conflict, pick, condition, node)| Step {
            verb,
            id,
            path,
            to,
            on_conflict,
            pick,
            condition,
            node,
        },
    )
}

/// The world after these steps.
pub(crate) fn play(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        match fact(&world, step) {
            Some(fact) => {
                world.add(event_id(step.id), fact);
            }
            None => garbage(&mut world),
        }
    }
    world
}

pub(crate) fn garbage(world: &mut World) {
    world.journal.add_bytes("hw.v1.file_uploaded", b"{".to_vec());
    world.store.fold_one(world.journal.0.last().unwrap());
}

pub(crate) fn fact(world: &World, step: &Step) -> Option<Fact> {
    let around = Around::of(world, step);
    let store = &world.store;
    Some(match step.verb {
        Verb::Garbage => return None,
        Verb::Upload => Fact::FileUploaded(around.upload()),
        Verb::Instant => Fact::FileUploaded(around.instant(pick(store.blobs.keys().copied(), step.pick)?)),
        Verb::CreateSpace => Fact::SpaceCreated(SpaceCreated { name: around.name() }),
        Verb::Retain => {
            let keep_versions = (step.condition > 1).then_some(u32::from(step.condition));
            let (space_id, space) = around.space();
            Fact::RetentionSet(RetentionSet { space_id, space, keep_versions, keep_days: None })
        }
        Verb::Prune => Fact::VersionsPruned(around.prune()),
        Verb::Condemn => {
            let orphans = if step.condition == 2 { vec![around.orphan()] } else { Vec::new() };
            Fact::BlobCondemned(BlobCondemned { blob_ids: around.blobs(step.pick), orphans })
        }
        Verb::Order => Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: around.blobs(step.pick) }),
        Verb::Join | Verb::Wipe | Verb::Retire => around.of_disk(),
        Verb::Place => around.of_placement(),
        Verb::Stored | Verb::Parked | Verb::Lost | Verb::Redrive | Verb::Erase => around.of_node(),
        Verb::RenameSpace | Verb::DeleteSpace | Verb::CreateFolder => around.of_space(),
        Verb::Delete | Verb::DeleteFolder | Verb::Undelete | Verb::Move | Verb::Copy | Verb::Restore => {
            around.of_item()
        }
    })
}

/// What a step finds when its turn comes.
struct Around<'a> {
    world: &'a World,
    step: &'a Step,
    space_id: SpaceId,
    /// The path of something that is there, mostly.
    from: String,
}

impl<'a> Around<'a> {
    fn of(world: &'a World, step: &'a Step) -> Self {
        // Mostly the space `main`, whatever it is called by now.
        let space_id = match step.pick % 6 {
            0 => pick(world.store.spaces.keys().copied(), step.pick / 6).unwrap_or_else(crate::journal::main_space),
            _ => crate::journal::main_space(),
        };
        let there = world.store.tree(space_id.root(), "");
        let there = there.iter().filter(|path| match step.verb {
            Verb::Move => true,
            Verb::DeleteFolder => path.ends_with('/'),
            _ => !path.ends_with('/'),
        });
        let from = if step.pick.is_multiple_of(5) { None } else { pick(there, step.pick / 5) };
        let from = from.map_or(step.path, |path| path.trim_end_matches('/')).to_owned();
        Self { world, step, space_id, from }
    }

    fn space(&self) -> (SpaceId, SpaceName) {
        let row = self.world.store.spaces.get(&self.space_id);
        (self.space_id, row.map_or_else(SpaceName::main, |row| row.name.clone()))
    }

    fn name(&self) -> SpaceName {
        SPACES[self.step.pick % SPACES.len()].parse().unwrap()
    }

    /// What the step's path names, or some file that is maybe there no more.
    fn file(&self) -> FileId {
        match self.world.store.item(self.space_id, &self.from) {
            Some(Target::File(id)) => id,
            _ => pick(self.world.store.files.keys().copied(), self.step.pick).unwrap_or(FileId::new(uuid::Uuid::nil())),
        }
    }

    fn folder(&self) -> FolderId {
        match self.world.store.item(self.space_id, &self.from) {
            Some(Target::Folder(id)) => id,
            _ => pick(self.world.store.folders.keys().copied(), self.step.pick).unwrap_or(self.space_id.root()),
        }
    }

    fn if_version(&self, path: &str) -> Option<VersionId> {
        match self.step.condition {
            2 => self.world.store.file(self.space_id, path).map(|row| row.version_id),
            3 => Some(VersionId::new(uuid::Uuid::nil())),
            _ => None,
        }
    }

    fn version_of(&self, file: FileId) -> VersionId {
        let own = self.world.store.versions.values().filter(|row| row.file_id == file).map(|row| row.version_id);
        pick(own, self.step.pick).unwrap_or(VersionId::new(uuid::Uuid::nil()))
    }

    fn upload(&self) -> FileUploaded {
        let (space_id, space) = self.space();
        FileUploaded {
            space_id,
            space,
            if_version: self.if_version(self.step.path),
            on_conflict: self.step.on_conflict,
            targets: self.targets(),
            ..self.world.upload(self.step.path)
        }
    }

    fn instant(&self, blob_id: BlobId) -> FileUploaded {
        let row = &self.world.store.blobs[&blob_id];
        let (size_bytes, sha256) = (row.size_bytes, row.sha256);
        FileUploaded { blob_id, size_bytes, sha256, instant: true, ..self.upload() }
    }

    fn of_space(&self) -> Fact {
        let (space_id, space) = self.space();
        match self.step.verb {
            Verb::RenameSpace => Fact::SpaceRenamed(SpaceRenamed { space_id, space, name: self.name() }),
            Verb::DeleteSpace => {
                let (force, keep_days) = (self.step.condition == 3, self.step.pick.is_multiple_of(2).then_some(30));
                Fact::SpaceDeleted(SpaceDeleted { space_id, space, force, keep_days })
            }
            _ => Fact::FolderCreated(FolderCreated { space_id, space, path: path(self.step.path) }),
        }
    }

    fn of_item(&self) -> Fact {
        let (space_id, space) = self.space();
        let (from, to) = (path(&self.from), path(self.step.to));
        let (file_id, on_conflict) = (self.file(), self.step.on_conflict);
        let if_version = self.if_version(&self.from);
        match self.step.verb {
            Verb::Delete => Fact::FileDeleted(FileDeleted { space_id, space, path: from, file_id, if_version }),
            Verb::DeleteFolder => {
                let (folder_id, recursive) = (self.folder(), self.step.condition > 0);
                Fact::FolderDeleted(FolderDeleted { space_id, space, path: from, folder_id, recursive })
            }
            Verb::Undelete => {
                let item = self.deleted().unwrap_or(Item::File(file_id));
                let version_id = match item {
                    Item::File(id) if self.step.condition > 1 => Some(self.version_of(id)),
                    Item::File(_) | Item::Folder(_) => None,
                };
                Fact::FileUndeleted(FileUndeleted { space_id, space, path: to, item, version_id, on_conflict })
            }
            Verb::Copy => {
                let (version_id, if_version) = (self.version_of(file_id), self.if_version(self.step.to));
                Fact::FileCopied(FileCopied { space_id, space, from, to, file_id, version_id, if_version, on_conflict })
            }
            Verb::Restore => {
                let version_id = self.version_of(file_id);
                Fact::VersionRestored(VersionRestored { space_id, space, path: from, file_id, version_id, if_version })
            }
            _ => {
                let item = self.world.store.item(self.space_id, &self.from).unwrap_or(Item::File(file_id));
                Fact::FileMoved(FileMoved { space_id, space, from, to, item, if_version, on_conflict })
            }
        }
    }

    /// Something that is in the trash.
    fn deleted(&self) -> Option<Item> {
        let store = &self.world.store;
        let files = store.files.values().filter(|row| row.space_id == self.space_id && row.deleted_seq.is_some());
        let files = files.map(|row| Item::File(row.file_id));
        let folders = store.folders.values().filter(|row| row.space_id == self.space_id && row.deleted_seq.is_some());
        pick(files.chain(folders.map(|row| Item::Folder(row.folder_id))), self.step.pick)
    }

    /// Every third version, each for a reason that may be wrong, as of some events ago.
    fn prune(&self) -> VersionsPruned {
        let (space_id, space) = self.space();
        let step = self.step;
        let versions = self.world.store.versions.values().skip(step.pick % 3).step_by(3).map(|row| {
            let trash = match step.condition {
                0 | 1 => None,
                2 if step.pick.is_multiple_of(7) => Some(Trash::Folder(self.folder())),
                2 => Some(Trash::File(row.file_id)),
                _ => Some(Trash::Space(space_id)),
            };
            let because = if trash.is_some() { PruneReason::Trash } else { PruneReason::Versions };
            PrunedVersion { version_id: row.version_id, file_id: row.file_id, because, trash }
        });
        let versions = versions.collect();
        let ago = if step.pick.is_multiple_of(4) { 5 } else { 0 };
        VersionsPruned { space_id, space, evaluated_at: self.world.last_seq().saturating_sub(ago), versions }
    }

    /// Every second blob.
    fn blobs(&self, from: usize) -> Vec<BlobId> {
        self.world.store.blobs.keys().copied().skip(from % 2).step_by(2).collect()
    }

    /// A blob that may be known, or be uploaded later.
    fn orphan(&self) -> Orphan {
        let n = self.world.last_seq() + self.step.pick as u64 % 4;
        let (blob_id, sha256) = (blob_id(n.into()), Sha256Digest::of(&n.to_be_bytes()));
        let node = self.step.node.parse().unwrap();
        Orphan { blob_id, size_bytes: 5, sha256, space_id: self.space_id, node }
    }

    /// The marker that the node has by now, or a wrong one.
    fn marker(&self) -> MarkerId {
        let row = self.world.store.nodes.get(&self.step.node.parse().unwrap());
        match row {
            Some(row) if self.step.condition != 3 => row.marker_id,
            _ => marker("another"),
        }
    }
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn pick<T>(among: impl Iterator<Item = T>, n: usize) -> Option<T> {
    let mut all: Vec<T> = among.collect();
    if all.is_empty() { None } else { Some(all.swap_remove(n % all.len())) }
}
