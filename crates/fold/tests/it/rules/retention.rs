//! What a space keeps, and pruning.

use fold::rows::{Outcome, Target};
use proto::{Fact, FileId, SpaceId, Trash, VersionId};
use uuid::Uuid;

use crate::journal::main_space;
use crate::world::{World, delete_space, retain, undelete};

const NOTHING: &str = "nothing_to_prune";

#[test]
fn retention_is_set_as_a_whole() {
    let mut world = World::new();
    let kept = |world: &World| {
        let row = &world.store.spaces[&main_space()];
        (row.keep_versions, row.keep_days)
    };
    assert_eq!(kept(&world), (None, None));
    world.when(retain(Some(3), Some(30))).applied();
    assert_eq!(kept(&world), (Some(3), Some(30)));
    world.when(retain(None, Some(7))).applied();
    assert_eq!(kept(&world), (None, Some(7)));
    world.when(retain(None, None)).applied();
    assert_eq!(kept(&world), (None, None));
}

#[test]
fn a_pruned_version_lets_go_of_its_blob_and_stays_for_the_history() {
    let mut world = World::with(&["a"]);
    let (file, first) = (world.file("a"), world.version("a"));
    let blob = world.store.versions[&first].blob_id.unwrap();
    assert_eq!(world.store.blobs[&blob].unreferenced_at, None);
    world.uploaded("a");
    let fact = world.prune(&[(first, file, None)]);
    world.when(Fact::VersionsPruned(fact.clone())).applied();
    assert_eq!(world.store.versions[&first].pruned_seq, Some(world.last_seq()));
    let row = &world.store.blobs[&blob];
    assert_eq!(row.refs, 0);
    assert!(row.unreferenced_at.is_some());
    assert_eq!(world.store.events.last().unwrap().blob_ids, [blob]);
    world.when(Fact::VersionsPruned(fact)).rejected(NOTHING);
}

#[test]
fn a_blob_that_another_version_names_is_kept() {
    let mut world = World::with(&["a"]);
    let (file, first) = (world.file("a"), world.version("a"));
    let fact = world.copy_to("a", "b");
    world.when(Fact::FileCopied(fact)).applied();
    world.uploaded("a");
    let fact = world.prune(&[(first, file, None), (first, file, None)]);
    world.when(Fact::VersionsPruned(fact)).applied();
    let row = &world.store.blobs[&world.store.versions[&first].blob_id.unwrap()];
    assert_eq!((row.refs, row.unreferenced_at), (1, None), "named twice, it counts once");
}

#[test]
fn what_was_touched_since_is_skipped_and_the_rest_goes() {
    let mut world = World::with(&["a", "a", "b", "b"]);
    let (a, b) = (world.file("a"), world.file("b"));
    let first = |world: &World, file| {
        world.store.versions.values().filter(|row| row.file_id == file).min_by_key(|row| row.seq).unwrap().version_id
    };
    let (first_a, first_b) = (first(&world, a), first(&world, b));
    let fact = world.prune(&[(first_a, a, None), (first_b, b, None)]);
    let restore = world.restore("a", first_a);
    world.when(Fact::VersionRestored(restore)).applied();
    world.when(Fact::VersionsPruned(fact)).applied();
    assert_eq!(world.store.versions[&first_a].pruned_seq, None);
    assert_eq!(world.store.versions[&first_b].pruned_seq, Some(world.last_seq()));
}

#[test]
fn what_is_current_or_would_come_back_stays() {
    let mut world = World::with(&["a", "other"]);
    let (file, current) = (world.file("a"), world.version("a"));
    let fact = world.prune(&[(current, file, None)]);
    world.when(Fact::VersionsPruned(fact)).rejected(NOTHING);
    let fact = world.prune(&[(current, file, Some(Trash::File(file)))]);
    world.when(Fact::VersionsPruned(fact)).rejected(NOTHING);
    world.file_deleted("a");
    let tombstone = world.store.files[&file].version_id;
    for version in [current, tombstone] {
        let fact = world.prune(&[(version, file, None)]);
        world.when(Fact::VersionsPruned(fact)).rejected(NOTHING);
    }
    // Nor what is not there, or belongs to another file or space.
    let other = world.version("other");
    let wrong = [
        (VersionId::new(Uuid::nil()), file, None),
        (other, file, None),
        (current, FileId::new(Uuid::nil()), None),
        (current, file, Some(Trash::File(world.file("other")))),
        (current, file, Some(Trash::Space(main_space()))),
        (current, file, Some(Trash::Space(SpaceId::new(Uuid::nil())))),
        (current, file, Some(Trash::Folder(main_space().root()))),
    ];
    let fact = world.prune(&wrong);
    world.when(Fact::VersionsPruned(fact)).rejected(NOTHING);
    let mut elsewhere = world.prune(&[(current, file, Some(Trash::File(file)))]);
    elsewhere.space_id = SpaceId::new(Uuid::nil());
    world.when(Fact::VersionsPruned(elsewhere)).rejected(NOTHING);
}

#[test]
fn trash_goes_while_it_is_trash() {
    let mut world = World::with(&["a"]);
    let (file, version) = (world.file("a"), world.version("a"));
    let item = world.file_deleted("a");
    let tombstone = world.store.files[&file].version_id;
    let all = [(version, file, Some(Trash::File(file))), (tombstone, file, Some(Trash::File(file)))];
    let early = world.prune(&all);
    world.when(Fact::FileUndeleted(undelete(item, "a"))).applied();
    world.when(Fact::VersionsPruned(early.clone())).rejected(NOTHING);
    world.file_deleted("a");
    world.when(Fact::VersionsPruned(early)).rejected(NOTHING);
    let fact = world.prune(&all);
    world.when(Fact::VersionsPruned(fact)).applied();
    assert!(all.iter().all(|(version, ..)| world.store.versions[version].pruned_seq.is_some()));
    let undone = undelete(item, "a");
    let version_id = Some(version);
    world.when(Fact::FileUndeleted(proto::FileUndeleted { version_id, ..undone })).rejected("version_pruned");
}

#[test]
fn what_is_in_a_deleted_folder_goes_while_that_is_deleted() {
    let mut world = World::with(&["d/e/a"]);
    let (file, version, folder) = (world.file("d/e/a"), world.version("d/e/a"), world.folder("d"));
    let trash = Some(Trash::Folder(folder));
    let early = world.prune(&[(version, file, trash)]);
    world.when(Fact::VersionsPruned(early)).rejected(NOTHING);
    let item = world.folder_deleted("d");
    assert_eq!(item, Target::Folder(folder));
    let stale = world.prune(&[(version, file, trash)]);
    world.when(Fact::FileUndeleted(undelete(item, "d"))).applied();
    world.when(Fact::VersionsPruned(stale.clone())).rejected(NOTHING);
    world.folder_deleted("d");
    world.when(Fact::VersionsPruned(stale)).rejected(NOTHING);
    let fact = world.prune(&[(version, file, trash)]);
    world.when(Fact::VersionsPruned(fact)).applied();
    // The folder can come back all the same; the file is there then, without content.
    world.when(Fact::FileUndeleted(undelete(item, "d"))).applied();
    assert_eq!(world.store.versions[&world.version("d/e/a")].pruned_seq, Some(world.last_seq() - 1));
}

#[test]
fn what_is_in_a_deleted_space_goes() {
    let mut world = World::with(&["a"]);
    let (file, version) = (world.file("a"), world.version("a"));
    world.when(delete_space(main_space(), true)).applied();
    let fact = world.prune(&[(version, file, Some(Trash::Space(main_space())))]);
    let then = world.when(Fact::VersionsPruned(fact));
    assert_eq!(then.receipt.outcome, Outcome::Applied);
}
