//! Files: delete, undelete.

use fold::rows::{Outcome, VersionKind};
use proto::{Fact, FileId, FileUndeleted, FolderId, Item, OnConflict, VersionId};
use uuid::Uuid;

use crate::journal::main_space;
use crate::world::{World, create_folder, create_space, undelete};

#[test]
fn a_deleted_file_has_a_tombstone_and_keeps_its_versions() {
    let mut world = World::with(&["d/a", "d/a"]);
    let (file, newest) = (world.file("d/a"), world.version("d/a"));
    let delete = world.delete("d/a");
    let then = world.when(Fact::FileDeleted(delete));
    then.applied();
    assert_eq!(then.receipt.version_id, Some(then.id.version_id()));
    assert_eq!(then.receipt.file_id, Some(file));
    let tombstone = then.id.version_id();
    let seq = world.last_seq();
    let row = &world.store.files[&file];
    assert_eq!((row.version_id, row.changed_seq, row.deleted_seq), (tombstone, seq, Some(seq)));
    let version = &world.store.versions[&tombstone];
    assert_eq!((version.kind, version.blob_id), (VersionKind::Tombstone, None));
    assert_eq!(version.source_version, Some(newest));
    assert_eq!(world.tree(), ["d/"]);
    assert_eq!(world.entries("d"), 0);
    assert!(world.store.blobs.values().all(|row| row.refs == 1), "the trash holds its blobs");
}

#[test]
fn a_delete_is_for_the_file_that_was_meant() {
    let mut world = World::with(&["a", "b"]);
    let (stale, other) = (world.delete("a"), world.file("b"));
    let mut delete = stale.clone();
    delete.if_version = Some(VersionId::new(Uuid::nil()));
    world.when(Fact::FileDeleted(delete.clone())).rejected("version_changed");
    delete.file_id = other;
    world.when(Fact::FileDeleted(delete)).rejected("moved");
    let mut current = stale.clone();
    current.if_version = Some(world.version("a"));
    world.when(Fact::FileDeleted(current)).applied();
    world.when(Fact::FileDeleted(stale.clone())).rejected("moved");
    world.uploaded("a");
    world.when(Fact::FileDeleted(stale.clone())).rejected("moved");
    assert_ne!(world.file("a"), stale.file_id, "an upload over a deleted file makes another one");
}

#[test]
fn a_file_comes_back_with_its_last_content() {
    let mut world = World::with(&["d/a", "d/a"]);
    let newest = world.version("d/a");
    let blob = world.store.versions[&newest].blob_id;
    let item = world.file_deleted("d/a");
    let then = world.when(Fact::FileUndeleted(undelete(item, "e/b")));
    then.applied();
    assert_eq!((then.receipt.version_id, then.receipt.blob_id), (Some(then.id.version_id()), blob));
    assert_eq!(world.item("e/b"), item);
    assert_eq!((world.entries("d"), world.entries("e")), (0, 1));
    let row = &world.store.files[&world.file("e/b")];
    assert_eq!((row.deleted_seq, row.changed_seq, row.created_seq), (None, world.last_seq(), 5));
    let version = &world.store.versions[&row.version_id];
    assert_eq!((version.kind, version.source_version), (VersionKind::Undelete, Some(newest)));
    assert_eq!(version.content_type, "type/6");
    assert_eq!(world.store.blobs[&blob.unwrap()].refs, 2);
    world.when(Fact::FileUndeleted(undelete(item, "f"))).rejected("not_deleted");
}

#[test]
fn an_undelete_may_name_the_version() {
    let mut world = World::with(&["a", "a", "other"]);
    let file = world.file("a");
    let first = world.store.versions.values().find(|row| row.file_id == file && row.seq == 5).unwrap().version_id;
    let foreign = world.version("other");
    let item = world.file_deleted("a");
    let tombstone = world.store.files[&file].version_id;
    let named = |version_id| Fact::FileUndeleted(FileUndeleted { version_id: Some(version_id), ..undelete(item, "a") });
    for wrong in [foreign, tombstone, VersionId::new(Uuid::nil())] {
        world.when(named(wrong)).rejected("version_unknown");
    }
    let pruned = world.prune(&[(first, file, None)]);
    world.when(Fact::VersionsPruned(pruned)).applied();
    world.when(named(first)).rejected("version_pruned");
    world.when(Fact::FileUndeleted(undelete(item, "a"))).applied();
}

#[test]
fn a_folder_comes_back_with_all_that_is_in_it() {
    let mut world = World::with(&["d/x", "d/e/y"]);
    let item = world.folder_deleted("d");
    let versions = world.store.versions.len();
    let then = world.when(Fact::FileUndeleted(undelete(item, "new/d")));
    then.applied();
    assert_eq!((then.receipt.file_id, then.receipt.version_id), (None, None));
    assert_eq!(world.tree(), ["new/", "new/d/", "new/d/e/", "new/d/e/y", "new/d/x"]);
    assert_eq!(world.store.folders[&world.folder("new/d")].deleted_seq, None);
    assert_eq!(world.store.versions.len(), versions, "a folder has no versions");
    world.when(Fact::FileUndeleted(undelete(item, "again"))).rejected("not_deleted");
}

#[test]
fn what_was_never_there_does_not_come_back() {
    let mut world = World::with(&["d/x", "a"]);
    let inside = world.item("d/x");
    let nil = Uuid::nil();
    for item in [Item::File(FileId::new(nil)), Item::Folder(FolderId::new(nil))] {
        world.when(Fact::FileUndeleted(undelete(item, "a"))).rejected("not_found");
    }
    let (folder, file) = (world.folder_deleted("d"), world.file_deleted("a"));
    world.when(Fact::FileUndeleted(undelete(inside, "x"))).rejected("not_deleted");
    let then = world.when(create_space("team"));
    let team = proto::SpaceId::new(then.id.derive(0));
    for item in [folder, file] {
        let elsewhere = FileUndeleted { space_id: team, ..undelete(item, "d") };
        world.when(Fact::FileUndeleted(elsewhere)).rejected("not_found");
    }
    assert_ne!(team, main_space());
}

/// What is at the path, what comes back, the conflict rule; then the outcome and reason.
#[test]
fn the_place_of_what_comes_back_may_be_taken() {
    use OnConflict::{Fail, KeepBoth, Overwrite};
    let cases = [
        ("file", "f", Fail, Outcome::Rejected, "file_exists"),
        ("file", "f", Overwrite, Outcome::Applied, ""),
        ("file", "f", KeepBoth, Outcome::ConflictedCopy, "file_exists"),
        ("file", "d", Fail, Outcome::Rejected, "name_taken_by_folder"),
        ("file", "d", Overwrite, Outcome::Rejected, "name_taken_by_folder"),
        ("file", "d", KeepBoth, Outcome::ConflictedCopy, "name_taken_by_folder"),
        ("file", "f/x", KeepBoth, Outcome::Rejected, "parent_is_a_file"),
        ("folder", "f", Fail, Outcome::Rejected, "file_exists"),
        ("folder", "f", Overwrite, Outcome::Rejected, "file_exists"),
        ("folder", "f", KeepBoth, Outcome::ConflictedCopy, "file_exists"),
        ("folder", "d", Overwrite, Outcome::Rejected, "name_taken_by_folder"),
        ("folder", "d", KeepBoth, Outcome::ConflictedCopy, "name_taken_by_folder"),
        ("folder", "f/x/y", Overwrite, Outcome::Rejected, "parent_is_a_file"),
    ];
    for (kind, path, on_conflict, outcome, reason) in cases {
        let mut world = World::with(&["file", "folder/x", "f"]);
        world.when(create_folder("d")).applied();
        let item = if kind == "file" { world.file_deleted("file") } else { world.folder_deleted("folder") };
        let there = (path == "f").then(|| world.file("f"));
        let then = world.when(Fact::FileUndeleted(FileUndeleted { on_conflict, ..undelete(item, path) }));
        let found = (then.receipt.outcome, then.receipt.reason.as_deref().unwrap_or_default());
        assert_eq!(found, (outcome, reason), "{kind} to {path}, {on_conflict:?}");
        let replaced = then.id.replaced_version_id();
        match outcome {
            Outcome::Rejected => then.rejected(reason),
            Outcome::ConflictedCopy => {
                then.copied(reason, &format!("{path} (conflicted copy alice 2026-11-23)"));
            }
            Outcome::Applied | Outcome::Repeated => {
                let row = &world.store.files[&there.unwrap()];
                assert_eq!((row.deleted_seq, row.version_id), (Some(world.last_seq()), replaced));
                assert_eq!(world.item(path), item);
            }
        }
    }
}
