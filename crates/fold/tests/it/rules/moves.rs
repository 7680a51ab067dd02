//! Moves and renames of files and folders.

use fold::rows::{Outcome, VersionKind};
use proto::{Fact, FileId, FileMoved, Item, OnConflict, VersionId};
use uuid::Uuid;

use crate::world::{World, create_folder, delete_space};

#[test]
fn a_moved_file_keeps_its_identity_and_versions() {
    let mut world = World::with(&["d/a", "d/a"]);
    let (file, version) = (world.file("d/a"), world.version("d/a"));
    let fact = world.move_to("d/a", "e/f/b");
    let then = world.when(Fact::FileMoved(fact));
    then.applied();
    assert_eq!((then.receipt.file_id, then.receipt.version_id), (Some(file), None));
    assert_eq!(then.receipt.path.as_ref().unwrap().as_str(), "e/f/b");
    assert_eq!((world.file("e/f/b"), world.version("e/f/b")), (file, version));
    assert_eq!(world.tree(), ["d/", "e/", "e/f/", "e/f/b"]);
    assert_eq!((world.entries("d"), world.entries("e"), world.entries("e/f")), (0, 1, 1));
    let row = &world.store.files[&file];
    assert_eq!((row.created_seq, row.changed_seq), (5, world.last_seq()));
    let event = world.store.events.last().unwrap();
    assert_eq!(event.from_path.as_ref().unwrap().as_str(), "d/a");
    assert_eq!(event.file_id, Some(file));
}

#[test]
fn a_moved_folder_takes_along_all_that_is_in_it() {
    let mut world = World::with(&["d/x", "d/e/y", "z"]);
    let names = world.store.names.len();
    let then_file = world.file("d/e/y");
    let fact = world.move_to("d", "n/m");
    world.when(Fact::FileMoved(fact)).applied();
    assert_eq!(world.tree(), ["n/", "n/m/", "n/m/e/", "n/m/e/y", "n/m/x", "z"]);
    assert_eq!(world.file("n/m/e/y"), then_file);
    assert_eq!(world.store.names.len(), names + 2, "one for the folder and one for its new parent");
    assert_eq!(world.store.files[&then_file].changed_seq, 6, "what is in it is not touched");
    // Upwards, out of its parents.
    let fact = world.move_to("n/m/e", "e");
    world.when(Fact::FileMoved(fact)).applied();
    assert_eq!(world.tree(), ["e/", "e/y", "n/", "n/m/", "n/m/x", "z"]);
}

#[test]
fn a_move_is_for_what_was_meant() {
    let mut world = World::with(&["a", "b", "d/x"]);
    let stale = world.move_to("a", "c");
    let mut other = stale.clone();
    other.item = world.item("b");
    world.when(Fact::FileMoved(other)).rejected("moved");
    let mut kind = stale.clone();
    kind.item = world.item("d");
    world.when(Fact::FileMoved(kind)).rejected("moved");
    let mut unknown = stale.clone();
    unknown.item = Item::File(FileId::new(Uuid::nil()));
    world.when(Fact::FileMoved(unknown)).rejected("moved");
    world.file_deleted("a");
    world.when(Fact::FileMoved(stale.clone())).rejected("moved");
    world.uploaded("a");
    world.when(Fact::FileMoved(stale)).rejected("moved");
}

#[test]
fn if_version_is_about_the_moved_file() {
    let mut world = World::with(&["a", "d/x"]);
    let wrong = Some(VersionId::new(Uuid::nil()));
    let fact = FileMoved { if_version: wrong, ..world.move_to("a", "b") };
    world.when(Fact::FileMoved(fact)).rejected("version_changed");
    let fact = FileMoved { if_version: wrong, ..world.move_to("d", "b") };
    world.when(Fact::FileMoved(fact)).rejected("version_changed");
    let fact = FileMoved { if_version: Some(world.version("a")), ..world.move_to("a", "b") };
    world.when(Fact::FileMoved(fact)).applied();
}

/// From, to, the conflict rule; then the outcome and reason.
#[test]
fn the_target_may_be_taken() {
    use OnConflict::{Fail, KeepBoth, Overwrite};
    let cases = [
        ("a", "a", Overwrite, Outcome::Rejected, "same_path"),
        ("d", "d", KeepBoth, Outcome::Rejected, "same_path"),
        ("a", "f", Fail, Outcome::Rejected, "file_exists"),
        ("a", "f", Overwrite, Outcome::Applied, ""),
        ("a", "f", KeepBoth, Outcome::ConflictedCopy, "file_exists"),
        ("a", "d", Fail, Outcome::Rejected, "name_taken_by_folder"),
        ("a", "d", Overwrite, Outcome::Rejected, "name_taken_by_folder"),
        ("a", "d", KeepBoth, Outcome::ConflictedCopy, "name_taken_by_folder"),
        ("a", "a/b", Overwrite, Outcome::Rejected, "parent_is_a_file"),
        ("a", "f/b", KeepBoth, Outcome::Rejected, "parent_is_a_file"),
        ("d", "f", Fail, Outcome::Rejected, "file_exists"),
        ("d", "f", Overwrite, Outcome::Rejected, "file_exists"),
        ("d", "f", KeepBoth, Outcome::ConflictedCopy, "file_exists"),
        ("d", "e", Fail, Outcome::Rejected, "name_taken_by_folder"),
        ("d", "e", Overwrite, Outcome::Rejected, "name_taken_by_folder"),
        ("d", "e", KeepBoth, Outcome::ConflictedCopy, "name_taken_by_folder"),
        ("d", "f/e", Overwrite, Outcome::Rejected, "parent_is_a_file"),
        ("d", "d/g", Fail, Outcome::Rejected, "into_itself"),
        ("d", "d/sub/g", Overwrite, Outcome::Rejected, "into_itself"),
        ("d", "d/x/g", KeepBoth, Outcome::Rejected, "into_itself"),
        ("d/x", "d/sub/x", Fail, Outcome::Applied, ""),
        ("d/sub", "sub", Fail, Outcome::Applied, ""),
        ("d", "new/d", Fail, Outcome::Applied, ""),
    ];
    for (from, to, on_conflict, outcome, reason) in cases {
        let mut world = World::with(&["a", "f", "d/x"]);
        for folder in ["e", "d/sub"] {
            world.when(create_folder(folder)).applied();
        }
        let item = world.item(from);
        let fact = FileMoved { on_conflict, ..world.move_to(from, to) };
        let then = world.when(Fact::FileMoved(fact));
        let found = (then.receipt.outcome, then.receipt.reason.as_deref().unwrap_or_default());
        assert_eq!(found, (outcome, reason), "{from} to {to}, {on_conflict:?}");
        match outcome {
            Outcome::Rejected => then.rejected(reason),
            Outcome::ConflictedCopy => {
                let path = format!("{to} (conflicted copy alice 2026-11-23)");
                then.copied(reason, &path);
                assert_eq!(world.item(&path), item);
            }
            Outcome::Applied | Outcome::Repeated => assert_eq!(world.item(to), item),
        }
    }
}

#[test]
fn a_replaced_file_goes_to_the_trash() {
    let mut world = World::with(&["d/a", "e/b", "e/b"]);
    let (mover, replaced, newest) = (world.file("d/a"), world.file("e/b"), world.version("e/b"));
    let fact = FileMoved { on_conflict: OnConflict::Overwrite, ..world.move_to("d/a", "e/b") };
    let then = world.when(Fact::FileMoved(fact));
    then.applied();
    let tombstone = then.id.replaced_version_id();
    assert_eq!(world.file("e/b"), mover);
    let row = &world.store.files[&replaced];
    assert_eq!((row.version_id, row.deleted_seq), (tombstone, Some(world.last_seq())));
    let version = &world.store.versions[&tombstone];
    assert_eq!((version.kind, version.source_version), (VersionKind::Tombstone, Some(newest)));
    assert_eq!((world.entries("d"), world.entries("e")), (0, 1));
    let names: Vec<_> = world.store.names.values().filter(|row| row.name.as_str() == "b").collect();
    assert_eq!((names[0].to_seq, names[1].from_seq, names.len()), (Some(world.last_seq()), world.last_seq(), 2));
}

#[test]
fn a_conflicted_copy_may_be_the_name_it_had() {
    let mut world = World::with(&["a.txt", "a (conflicted copy alice 2026-11-23).txt"]);
    let from = "a (conflicted copy alice 2026-11-23).txt";
    let fact = FileMoved { on_conflict: OnConflict::KeepBoth, ..world.move_to(from, "a.txt") };
    let then = world.when(Fact::FileMoved(fact));
    then.copied("file_exists", "a (conflicted copy alice 2026-11-23 2).txt");
    assert_eq!(world.entries(""), 2);
}

#[test]
fn two_files_swap_names_in_one_batch() {
    let mut world = World::with(&["a", "b"]);
    let (a, b) = (world.file("a"), world.file("b"));
    for (from, to) in [("a", "t"), ("b", "a"), ("t", "b")] {
        let fact = world.move_to(from, to);
        world.when(Fact::FileMoved(fact)).applied();
    }
    assert_eq!((world.file("a"), world.file("b")), (b, a));
    let at_once = crate::store::Store::fold(&world.journal.0, |_| false);
    assert_eq!(at_once, world.store, "names that were opened and closed in one batch are kept");
}

#[test]
fn nothing_moves_in_a_deleted_space() {
    let mut world = World::with(&["a"]);
    let fact = world.move_to("a", "b");
    world.when(delete_space(fact.space_id, true)).applied();
    world.when(Fact::FileMoved(fact)).rejected("space_gone");
}
